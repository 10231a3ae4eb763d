"""Which gates are open at this moment?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta

from interlock.adapters.clock import SystemClock
from interlock.adapters.store.sqlite import SQLite
from interlock.app import standing
from interlock.app.outside import surroundings
from interlock.app.planner import AlreadyRunning, Excuse, Planner
from interlock.app.secrets import keep
from interlock.app.standing import Stands
from interlock.app.state import StateDirectory
from interlock.config.file import Environment, File
from interlock.core import gates
from interlock.core.conditions import Conditions
from interlock.core.gates import Answer
from interlock.core.hooks import GATES, Hook, due
from interlock.core.plan import Plan, Stage
from interlock.core.release import Artefact, Configuration, Release
from interlock.core.steps import GateName, Until, Watch
from interlock.engine.outside import ask
from interlock.engine.ports import Ports
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

_NO_VERSION = Answer(False, "asked of a version: interlock check VERSION")
_NEEDS_A_VERSION = frozenset(
    {GateName.TESTS, GateName.STAGING, GateName.NOT_QUARANTINED, GateName.IMAGE, GateName.ROLLBACK_READY}
)
_APPROVAL, _FLAG = "approval", "flag"
_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one gate of an environment says now. `asked` is False where nobody could be asked, and `answer` says why."""

    environment: str
    gate: str
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
    async for one in check_plan(state, plan):
        yield one


async def check_plan(state: StateDirectory, plan: Plan) -> AsyncIterator[Asked]:
    """Yield the answer of each gate that a plan has, environment by environment. Changes nothing."""
    store = SQLite(state.database)
    try:
        for stage in plan.stages:
            async for one in of_stage(state, store, stage):
                yield one
    finally:
        store.close()


async def of_stage(state: StateDirectory, store: SQLite, stage: Stage) -> AsyncIterator[Asked]:
    """Yield the answer of each gate of one environment's stage."""
    release, now = stage.revision.release, SystemClock().now()
    held = [(one.identity, one.rollout, one.reason) for one in await store.quarantine(release.service)]
    yield Asked(stage.environment, GateName.NOT_QUARANTINED, gates.not_quarantined(release, held))
    if stage.proven_in:
        proofs = await store.proofs(release.service, stage.proven_in)
        found = [(proof.subject, proof.rollout, proof.at) for proof in proofs]
        answer = gates.staging(release, stage.proven_in, found, now, stage.proof_valid_for)
        yield Asked(stage.environment, GateName.STAGING, answer)
    yield await _rollback_ready(state, stage)
    for one in _hooks(stage.environment, stage.hooks):
        yield one
    for gate in stage.conditions.gates:
        answer = await ask(surroundings(state), gate, stage.conditions, release, now)
        yield Asked(stage.environment, gate, answer)
    if any(isinstance(step, Watch) and step.until is Until.APPROVED for step in stage.steps):
        yield _approval(stage.environment, stage.conditions)
    for use in stage.flags:
        yield _flag(await standing.looked(state, stage.environment, use.flag))


async def _rollback_ready(state: StateDirectory, stage: Stage) -> Asked:
    """Say what can be known of the way back without changing anything; a rollout proves it before its first step."""
    from interlock.app.parts import assemble  # imported late: it needs every adapter of this machine

    old, gate = stage.replaces, GateName.ROLLBACK_READY
    if old is None:
        said = "nothing to go back to: this is the first release; going back stops it"
        return Asked(stage.environment, gate, Answer(True, said))
    ports = assemble(state).ports
    try:
        await ports.workload.launchable(old)
        healthy = await _healthy(ports, old.name)
    except WorkloadError as error:
        said = f"the rollback's target could not be started again: {error}"
        return Asked(stage.environment, gate, Answer(False, said))
    finally:
        if isinstance(ports.store, SQLite):
            ports.store.close()
    size = old.release.configuration.instances
    found = f"{old.release.version} ({old.name}): {min(healthy, size)} of {size} instances are healthy at the proxy"
    if healthy < size:
        return Asked(stage.environment, gate, Answer(False, f"{found}; a deploy brings it up first"), asked=False)
    return Asked(stage.environment, gate, Answer(True, f"{found}; the way back is written, and proven, before step 1"))


async def _healthy(ports: Ports, revision: str) -> int:
    """Return how many instances the proxy finds healthy; none where it does not answer."""
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            return len(await ports.traffic.healthy(revision))
    except (TrafficError, TimeoutError):
        return 0


def _approval(environment: str, conditions: Conditions) -> Asked:
    policy = conditions.approvals
    whose = f"{policy.needed} of those listed in {policy.listed_in}" if policy else "a person (nobody is listed)"
    return Asked(environment, _APPROVAL, Answer(False, f"{whose} must approve before the first weight"), asked=False)


async def _without_version(state: StateDirectory, environment: Environment, *, first: bool) -> AsyncIterator[Asked]:
    conditions = _sealed(state, environment.conditions)
    for one in _hooks(environment.name, environment.hooks):
        yield one
    nothing = Release(environment.service, "", Artefact("", ""), Configuration(()), "")
    staging = () if first else (GateName.STAGING,)
    for gate in (GateName.NOT_QUARANTINED, *staging, GateName.ROLLBACK_READY, *conditions.gates):
        if gate in _NEEDS_A_VERSION:
            yield Asked(environment.name, gate, _NO_VERSION, asked=False)
        else:
            answer = await ask(surroundings(state), gate, conditions, nothing, SystemClock().now())
            yield Asked(environment.name, gate, answer)
    if conditions.approvals is not None:
        yield _approval(environment.name, conditions)
    if environment.flag_source is not None:
        for stands in await standing.movable(state, environment):
            yield _flag(stands)


def _flag(stands: Stands) -> Asked:
    """Say whether a flag could be moved now; under no name, whether whoever keeps them answers."""
    if stands.trouble:
        return Asked(stands.environment, _FLAG, Answer(False, stands.trouble))
    said = f"{stands.flag} is {stands.state} and can be moved" if stands.flag else "whoever keeps the flags answers"
    return Asked(stands.environment, _FLAG, Answer(True, said))


def _hooks(environment: str, hooks: tuple[Hook, ...]) -> Iterator[Asked]:
    """Name the hooks that will be asked: to ask them means something, so that is not done before it is due."""
    for gate, when in GATES.items():
        for _, hook in due(hooks, when):
            yield Asked(environment, gate, Answer(False, f"{hook} is asked when it is due"), asked=False)


def _sealed(state: StateDirectory, conditions: Conditions) -> Conditions:
    return conditions.sealed(keep(state.secrets, conditions.references()))
