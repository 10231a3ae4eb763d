"""What would be done if this version were released now?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

from interlock.adapters.artefacts.local import Directory
from interlock.adapters.clock import SystemClock
from interlock.adapters.store.sqlite import SQLite
from interlock.app import standing, window
from interlock.app.announce import announced, announced_anyway
from interlock.app.forget import RELEASES, UNUSED_FOR
from interlock.app.measured import understood
from interlock.app.parcel import SENT
from interlock.app.running import running
from interlock.app.secrets import keep
from interlock.app.shown import unshown
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked, who
from interlock.config.file import Environment, File
from interlock.core import flag
from interlock.core.conditions import OVERRIDABLE, Conditions, Override
from interlock.core.flag import FlagUse
from interlock.core.image import image_of
from interlock.core.judge import History
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.planning import Intent, Known, already_running, lay_out
from interlock.core.record import restore
from interlock.core.release import Artefact, Release
from interlock.ports.store import Proof
from interlock.ports.workload import WorkloadError


@dataclass(frozen=True, slots=True)
class Excuse:
    """What a person says for a release that may pass a closed gate: words for gates, and the incident it `fixes`."""

    overrides: tuple[Override, ...] = ()
    fixes: str = ""

    def applied(self, conditions: Conditions) -> Conditions:
        """Return the conditions with what is said to them; words for gates that are not asked are left out."""
        words = tuple(word for word in self.overrides if word.gate in conditions.gates)
        return replace(conditions, overrides=words, fixes=self.fixes if conditions.incidents else "")

    def check(self, declared: Sequence[Conditions]) -> None:
        """Raise Blocked when something is excused that nobody asks, or nobody may excuse."""
        asked = {gate for conditions in declared for gate in conditions.gates}
        for word in self.overrides:
            if word.gate not in OVERRIDABLE:
                may = ", ".join(sorted(gate.value for gate in OVERRIDABLE))
                raise Blocked(f"nobody may override {word.gate.value}; with a reason a person may override {may}")
            if word.gate not in asked:
                raise Blocked(f"{word.gate.value} is not asked anywhere: there is nothing to override")
        if self.fixes and not any(one.approvals and one.on_call and one.incidents for one in declared):
            raise Blocked(
                f"to fix {self.fixes} somebody on call has to approve, and prove it: declare gates.approvals, "
                "gates.on_call and gates.incidents together"
            )


NONE = Excuse()


def with_signers(conditions: Conditions) -> Conditions:
    """Fix who may approve at the present content of the file that lists them; raise Blocked when it lists nobody."""
    policy = conditions.approvals
    if policy is None:
        return conditions
    try:
        lines = [line.strip() for line in Path(policy.listed_in).read_text().splitlines()]
    except OSError as error:
        raise Blocked(f"{policy.listed_in}, which lists who may approve, cannot be read: {error.strerror}") from error
    signers = tuple(line for line in lines if line and not line.startswith("#"))
    if len(signers) < policy.needed:
        raise Blocked(f"{policy.listed_in} lists {len(signers)} of the {policy.needed} who have to approve")
    return replace(conditions, approvals=replace(policy, signers=signers))


def with_keys(conditions: Conditions) -> Conditions:
    """Fix by whose keys an image must be signed at the present content of their files; raise Blocked without one."""
    demanded = conditions.image
    if demanded is None:
        return conditions
    keys = []
    for name in demanded.listed_in:
        try:
            keys.append(Path(name).read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no PEM"
            raise Blocked(f"{name}, by whose key the image must be signed, cannot be read: {why}") from error
        if "PUBLIC KEY-----" not in keys[-1]:
            raise Blocked(f"{name} is no public key in PEM: cosign's cosign.pub is one, cosign.key is not")
    return replace(conditions, image=replace(demanded, keys=tuple(keys)))


class NothingYet(Blocked):
    """Production runs nothing: whoever releases there first must say that this is meant."""


@dataclass(frozen=True, slots=True)
class AlreadyRunning:
    """Exactly this release is stable everywhere already: nothing is to do but to see that it runs, as `plan` says."""

    version: str
    identity: str
    since: str
    plan: Plan


class Planner:
    """Makes plans from a file and from what is known of the world. Packs artefacts; changes nothing that serves.

    `told` hears what goes on while an image is built.
    """

    def __init__(self, state: StateDirectory, file: File, told: Callable[[str], None] = lambda _: None) -> None:
        self._state, self._file, self._told = state, file, told
        self._clock = SystemClock()

    async def plan(
        self, version: str, *, first: bool = False, restart: bool = False, digest: str = "", excuse: Excuse = NONE
    ) -> Plan | AlreadyRunning:
        """Plan the release of a version (directory, git ref, or digest) through every environment of the file.

        With `digest` it is the artefact kept under it that is released as `version`, whatever that names by now.
        Raises Blocked when production has nothing to go back to and `first` does not say that this is known, when an
        `excuse` is for nothing that is asked, and when there is a calendar that nothing here can read.
        """
        excuse.check([environment.conditions for environment in self._file.environments])
        for environment in self._file.environments:
            window.check(environment.conditions)
        self._state.make()
        artefacts = Directory(self._state.artefacts, beside=[self._state.path])
        artefact = await self._artefact(artefacts, digest or os.environ.get(SENT) or version)
        store = SQLite(self._state.database)
        try:
            with suppress(WorkloadError):  # what runs cannot be read: then nothing goes
                await artefacts.prune({artefact.digest, *await self._needed(store)}, UNUSED_FOR)
            name = called(version, artefact)
            plan = await self._plan(store, name, artefact, excuse, first=first, restart=restart)
            return plan if isinstance(plan, AlreadyRunning) else announced(plan, self._file, self._state)
        finally:
            store.close()

    async def artefact(self, version: str) -> Artefact:
        """Pack or build what the version names, and plan nothing: what another machine is then sent."""
        self._state.make()
        return await self._artefact(Directory(self._state.artefacts, beside=[self._state.path]), version)

    async def _artefact(self, artefacts: Directory, version: str) -> Artefact:
        """Pack what the version names, or have it as an image that its registry has."""
        if self._file.image is None:
            return await artefacts.pack(self._file.artefact, version)
        from interlock.app.build import Builds  # imported late: who releases no images needs none of it

        return await Builds(self._state, self._file.image, told=self._told).artefact(version)

    async def _needed(self, store: SQLite) -> set[str]:
        """Return the digests that something runs, is on its way, or could be gone back to.

        What runs is needed also where the file names its environment no more. Raises WorkloadError.
        """
        releases = [rollout.stage.revision.release for rollout in await store.active()]
        releases += [revision.release for revision in running(self._state)]
        for environment in self._file.environments:
            proofs = await store.proofs(self._file.service, environment.name)
            releases += [proof.revision.release for proof in proofs[:RELEASES]]
        return {release.artefact.digest for release in releases}

    async def rollback(self, to: str | None) -> Plan:
        """Plan the return of production to an earlier release that was proven there; the one before when None."""
        store = SQLite(self._state.database)
        environment = self._file.production
        try:
            known = await self._known(store, environment)
            proofs = await store.proofs(self._file.service, environment.name)
            release = _earlier(proofs, to).revision.release
            wanted = self._intent(environment, release, "")
            unasked = replace(environment.pace, approve=False)  # to go back is never held by a gate or a person
            back = replace(wanted, strategy=StrategyName.BLUE_GREEN, criteria=None, pace=unasked)
            intent = replace(back, conditions=Conditions())
            plan = Plan(self._file.service, release.version, (lay_out(intent, known),), self._clock.now(), who())
            return await announced_anyway(plan, self._file, self._state, store)
        finally:
            store.close()

    async def flag_alone(self, environment: Environment, use: FlagUse, excuse: Excuse = NONE) -> Plan:
        """Plan the rollout of a flag in one environment, whose code runs there already and stays.

        A flag that only goes off is the way to safety: no gate is asked, and nobody. Raises Blocked where nothing runs.
        """
        back = not use.ramp
        self._state.make()
        store = SQLite(self._state.database)
        try:
            known = await self._known(store, environment)
            stable = known.stable
            if stable is None:
                raise Blocked(f"{environment.name} of {self._file.service} runs nothing yet: no code could read a flag")
            secrets = keep(self._state.secrets, () if back else self._asked(environment))
            declared = replace(
                environment.conditions, tests=None, image=None
            )  # asked of what runs when it was released
            conditions = Conditions() if back else excuse.applied(with_signers(declared.sealed(secrets)))
            known = replace(known, window=await window.seen(self._state, conditions, timedelta(0)))
            pace = replace(environment.pace, approve=environment.pace.approve and not back)
            intent = replace(
                self._intent(environment, stable.release, ""),
                strategy=StrategyName.FLAG,
                pace=pace,
                criteria=await understood(environment.criteria, secrets, self._state) if not back else None,
                conditions=conditions,
                hooks=() if back else tuple(hook.sealed(secrets) for hook in environment.hooks),
                flags=(use,),
                notes=await standing.notes(self._state, (use,)),
            )
            version = stable.release.version
            plan = Plan(self._file.service, version, (lay_out(intent, known),), self._clock.now(), who())
            return announced(plan, self._file, self._state)
        finally:
            store.close()

    def _asked(self, environment: Environment) -> list[str]:
        """Return the secrets of all that is asked while a flag is rolled out, as the file names them."""
        references = [*environment.conditions.references()]
        references += environment.criteria.references() if environment.criteria else []
        return references + [r for hook in environment.hooks for r in hook.references()]

    async def _plan(
        self, store: SQLite, version: str, artefact: Artefact, excuse: Excuse, *, first: bool, restart: bool
    ) -> Plan | AlreadyRunning:
        references = [r for one in self._file.environments for _, r in one.secret_references()]
        references += [r for one in self._file.environments for r in one.login_references()]
        references += [r for one in self._file.environments for r in one.conditions.references()]
        references += [r for one in self._file.environments if one.criteria for r in one.criteria.references()]
        references += [r for one in self._file.environments for hook in one.hooks for r in hook.references()]
        references += flag.references(use.flag.source for one in self._file.environments for use in one.flags)
        secrets = keep(self._state.secrets, references)
        stages: list[Stage] = []
        running: list[Stage] = []
        before = ""
        for environment in self._file.environments:
            release = environment.release(version, artefact, secrets)
            known = await self._known(store, environment)
            conditions = excuse.applied(with_keys(with_signers(environment.conditions.sealed(secrets))))
            after = sum((stage.shortest for stage in stages), timedelta(0))
            known = replace(known, window=await window.seen(self._state, conditions, after))
            hooks = tuple(hook.sealed(secrets) for hook in environment.hooks)
            intent = replace(
                self._intent(environment, release, before),
                criteria=await understood(environment.criteria, secrets, self._state),
                conditions=conditions,
                hooks=hooks,
                migration=environment.migration,
                flags=tuple(flag.sealed_use(use, secrets) for use in environment.flags),
            )
            hidden = await unshown(intent.criteria, known.stable, self._state)
            stand = await standing.notes(self._state, intent.flags)
            intent = replace(intent, notes=(*intent.notes, *hidden, *stand))
            before = environment.name
            if environment is self._file.production and known.stable is None and not first:
                raise NothingYet(
                    f"{environment.name} of {self._file.service} runs nothing yet: this first release has nothing to "
                    "go back to. If that is meant, say so with --first"
                )
            if restart or not await self._still_proven(store, intent, known):
                stages.append(lay_out(intent, known))
            else:
                running.append(lay_out(intent, known))
        if not stages:
            plan = Plan(self._file.service, version, tuple(running), self._clock.now(), who())
            return await self._running(store, plan, release)
        return Plan(self._file.service, version, tuple(stages), self._clock.now(), who())

    def _intent(self, environment: Environment, release: Release, before: str) -> Intent:
        return Intent(
            environment.name,
            environment.entrance,
            environment.strategy,
            environment.pace,
            environment.weights,
            environment.criteria,
            release,
            before,
            self._file.proof_valid_for,
            self._unproven(environment),
        )

    def _unproven(self, environment: Environment) -> tuple[str, ...]:
        """Say what staging cannot prove for production, because the file has something else for it."""
        if environment is not self._file.production or not self._file.unproven:
            return ()
        names = ", ".join(self._file.unproven)
        return (f"not proven by staging, because {environment.name} has its own: {names}",)

    async def _known(self, store: SQLite, environment: Environment) -> Known:
        proofs = await store.proofs(self._file.service, environment.name)
        kept = await store.recall(environment.name)
        newest = await store.rollouts(1)
        number = int(newest[0].run.rsplit("-", 1)[1]) + 1 if newest else 1
        history = _history(kept["history"]) if kept else History()
        return Known(proofs[0].revision if proofs else None, _rate(history), number, history.baseline.answers)

    async def _still_proven(self, store: SQLite, intent: Intent, known: Known) -> bool:
        """Say whether this release runs here already and, where that proves it for production, not too long ago."""
        if not already_running(intent, known):
            return False
        if any(one.stage.environment == intent.environment for one in await store.active()):
            return False  # another release is on its way there
        proofs = await store.proofs(self._file.service, intent.environment)
        last = intent.environment == self._file.production.name
        return last or self._clock.now() - proofs[0].at < self._file.proof_valid_for

    async def _running(self, store: SQLite, plan: Plan, release: Release) -> AlreadyRunning:
        proof = (await store.proofs(self._file.service, self._file.production.name))[0]
        since = f"{proof.at:%Y-%m-%d %H:%M:%S} UTC ({proof.rollout})"
        return AlreadyRunning(plan.version, release.identity, since, plan)


def called(version: str, artefact: Artefact) -> str:
    """Return what people call the version: a directory's own name, without the way to it; an image's tag.

    A directory without a name of its own, as ".", and an image without a tag are called by their digest, shortened.
    """
    if ":" in version and (image := image_of(artefact)) is not None:
        return image.tag or artefact.digest.removeprefix("sha256:")[:12]
    if "/" not in version and version not in (".", ".."):
        return version
    name = PurePath(version).name
    return name if name not in ("", "..") else artefact.digest.removeprefix("sha256:")[:12]


def _earlier(proofs: tuple[Proof, ...], to: str | None) -> Proof:
    """Return the proof of the release to go back to; raise Blocked when there is none."""
    if not proofs:
        raise Blocked("nothing was ever proven in production: there is nothing to go back to")
    now = proofs[0].identity
    earlier = [proof for proof in proofs if proof.identity != now]
    if to is not None:
        earlier = [proof for proof in earlier if to in (proof.revision.release.version, proof.identity)]
    if not earlier:
        known = ", ".join(dict.fromkeys(f"{proof.revision.release.version} ({proof.identity})" for proof in proofs))
        raise Blocked(f"no earlier release {to or ''} was proven in production; proven were: {known}")
    return earlier[0]


def _history(kept: Any) -> History:
    """Return stable's last hour; none when it was written by another version, as if nothing had been measured."""
    try:
        return restore(History, kept)
    except ValueError:
        return History()


def _rate(history: History) -> float | None:
    """Return requests per second over the last hour; None before there were twenty seconds of it."""
    seconds = sum(covered for covered, _ in history.blocks)
    return history.baseline.requests / seconds if seconds >= timedelta(seconds=20).total_seconds() else None
