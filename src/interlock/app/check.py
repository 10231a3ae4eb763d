"""Which gates are open at this moment?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from interlock.adapters.clock import SystemClock
from interlock.adapters.store.sqlite import SQLite
from interlock.app.outside import surroundings
from interlock.app.planner import AlreadyRunning, Excuse, Planner
from interlock.app.secrets import keep
from interlock.app.state import StateDirectory
from interlock.config.file import Environment, File
from interlock.core import gates
from interlock.core.conditions import Conditions
from interlock.core.gates import Answer
from interlock.core.hooks import GATES, Hook, due
from interlock.core.plan import Stage
from interlock.core.release import Artefact, Configuration, Release
from interlock.core.steps import GateName
from interlock.engine.outside import ask

_NO_VERSION = Answer(False, "asked of a version: interlock check VERSION")
_NEEDS_A_VERSION = frozenset({GateName.TESTS, GateName.STAGING, GateName.NOT_QUARANTINED})


@dataclass(frozen=True, slots=True)
class Asked:
    """What one gate of an environment says now. `asked` is False where only a version could be asked about."""

    environment: str
    gate: GateName
    answer: Answer
    asked: bool = True


async def check(state: StateDirectory, file: File, version: str | None, excuse: Excuse) -> AsyncIterator[Asked]:
    """Yield the answer of each gate, environment by environment. Changes nothing but what planning packs."""
    if version is None:
        state.make()
        for environment in file.environments:
            async for one in _without_version(state, environment, first=environment is file.environments[0]):
                yield one
        return
    plan = await Planner(state, file).plan(version, first=True, restart=True, excuse=excuse)
    assert not isinstance(plan, AlreadyRunning)
    store = SQLite(state.database)
    try:
        for stage in plan.stages:
            async for one in _of(state, store, stage):
                yield one
    finally:
        store.close()


async def _of(state: StateDirectory, store: SQLite, stage: Stage) -> AsyncIterator[Asked]:
    release, now = stage.revision.release, SystemClock().now()
    held = [(one.identity, one.rollout, one.reason) for one in await store.quarantine(release.service)]
    yield Asked(stage.environment, GateName.NOT_QUARANTINED, gates.not_quarantined(release, held))
    if stage.proven_in:
        proofs = await store.proofs(release.service, stage.proven_in)
        found = [(proof.subject, proof.rollout, proof.at) for proof in proofs]
        answer = gates.staging(release, stage.proven_in, found, now, stage.proof_valid_for)
        yield Asked(stage.environment, GateName.STAGING, answer)
    for one in _hooks(stage.environment, stage.hooks):
        yield one
    for gate in stage.conditions.gates:
        answer = await ask(surroundings(state), gate, stage.conditions, release, now)
        yield Asked(stage.environment, gate, answer)


async def _without_version(state: StateDirectory, environment: Environment, *, first: bool) -> AsyncIterator[Asked]:
    conditions = _sealed(state, environment.conditions)
    for one in _hooks(environment.name, environment.hooks):
        yield one
    nothing = Release(environment.service, "", Artefact("", ""), Configuration(()), "")
    staging = () if first else (GateName.STAGING,)
    for gate in (GateName.NOT_QUARANTINED, *staging, *conditions.gates):
        if gate in _NEEDS_A_VERSION:
            yield Asked(environment.name, gate, _NO_VERSION, asked=False)
        else:
            answer = await ask(surroundings(state), gate, conditions, nothing, SystemClock().now())
            yield Asked(environment.name, gate, answer)


def _hooks(environment: str, hooks: tuple[Hook, ...]) -> Iterator[Asked]:
    """Name the hooks that will be asked: to ask them means something, so that is not done before it is due."""
    for gate, when in GATES.items():
        for _, hook in due(hooks, when):
            yield Asked(environment, gate, Answer(False, f"{hook} is asked when it is due"), asked=False)


def _sealed(state: StateDirectory, conditions: Conditions) -> Conditions:
    return conditions.sealed(keep(state.secrets, conditions.references()))
