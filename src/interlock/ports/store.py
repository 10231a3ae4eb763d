"""What may we ask of the memory that outlives us?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from interlock.core.release import Revision

if TYPE_CHECKING:  # only named here: who looks need not wait for all that may be asked
    from interlock.core.audit import Act, Head, Row
    from interlock.core.lock import Lock
    from interlock.core.plan import Plan
    from interlock.core.rollout import Rollout


class StoreError(Exception):
    """The store cannot be read or written now (a full disk, a read-only directory); the message says which and why."""


class Busy(Exception):
    """The environment has an active rollout already: `rollout` is it."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        super().__init__(
            f"{rollout.stage.environment} of {rollout.stage.revision.release.service} has a rollout under way: "
            f"{rollout.id}, {rollout.phase.value}, by {rollout.by or 'unknown'} since "
            f"{rollout.started:%Y-%m-%d %H:%M:%S} UTC. Wait for it (interlock status --watch), or abort it "
            f"(interlock abort {rollout.run}), or replace it (interlock deploy --supersede)"
        )


class Fenced(Exception):
    """Another owner has taken the rollout over since: this one must stop at once and write nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a rollout's journal: what happened, in words for people and as data for programs."""

    at: datetime
    kind: str
    text: str
    data: Mapping[str, Any]
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """That a release was healthy in an environment: `subject` is what staging proves (see `Release.proven_as`)."""

    service: str
    environment: str
    subject: str
    identity: str
    revision: Revision
    rollout: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A release that failed its verdict, until a person releases it."""

    service: str
    identity: str
    version: str
    rollout: str
    reason: str
    at: datetime


class Store(Protocol):
    """Durable records. Every write is one transaction; what it says is on the disk when it returns."""

    async def number(self, service: str) -> int:
        """Return the number for the service's next run, from 1."""

    async def add_plan(self, plan: Plan) -> None:
        """Keep a plan under its hash."""

    async def plan(self, hash: str) -> Plan | None:
        """Return the plan with this hash."""

    async def begin(self, rollout: Rollout, entry: Entry) -> None:
        """Add a rollout; raise Busy when its service and environment have an active one."""

    async def claim(self, id: str, owner: str) -> int:
        """Take ownership of a rollout and return its new epoch; whoever held it before is fenced from now on."""

    async def save(
        self,
        rollout: Rollout,
        epoch: int,
        entries: tuple[Entry, ...] = (),
        proof: Proof | None = None,
        quarantined: Quarantined | None = None,
    ) -> None:
        """Write a rollout's new state with its journal, in one transaction; raise Fenced or StoreError."""

    async def checkpoint(self, id: str, epoch: int, data: Mapping[str, Any]) -> None:
        """Keep the judge's state and the last raw counters together; raise Fenced or StoreError."""

    async def last_checkpoint(self, id: str) -> Mapping[str, Any] | None:
        """Return what was kept last."""

    async def note(self, id: str, entries: tuple[Entry, ...]) -> None:
        """Add lines to a rollout's journal."""

    async def rollout(self, id: str) -> Rollout | None:
        """Return one rollout."""

    async def run(self, run: str) -> tuple[Rollout, ...]:
        """Return the rollouts of one run, in the order of their environments."""

    async def heard(self, key: str) -> Rollout | None:
        """Return the first rollout that has heard this key: what was begun or ordered with it."""

    async def active(self) -> tuple[Rollout, ...]:
        """Return every rollout that is not over."""

    async def under_way(self) -> tuple[str, ...]:
        """Return the ids of the rollouts that are not over, also of those whose record cannot be read."""

    async def rollouts(self, limit: int) -> tuple[Rollout, ...]:
        """Return the newest rollouts, newest first."""

    async def entries(self, id: str, after: int = 0) -> tuple[Entry, ...]:
        """Return a rollout's journal, oldest first, from the line after `after`."""

    async def journals(self, limit: int) -> tuple[tuple[str, int], ...]:
        """Return (rollout's id, number of its journal's last line) of the newest rollouts, newest first."""

    async def told(self, reader: str, id: str) -> int:
        """Return up to which line of a rollout's journal this reader has been told; 0 when it was told nothing."""

    async def tell(self, reader: str, id: str, seq: int) -> None:
        """Keep that this reader has been told a rollout's journal up to this line; it is never told less again."""

    async def proofs(self, service: str, environment: str) -> tuple[Proof, ...]:
        """Return the proofs of an environment, newest first."""

    async def quarantine(self, service: str) -> tuple[Quarantined, ...]:
        """Return the service's quarantined releases, newest first."""

    async def release(self, service: str, identity: str, by: str, reason: str, at: datetime, channel: str = "") -> bool:
        """Let a release out of quarantine, on record; say whether it was there."""

    async def act(self, act: Act) -> None:
        """Add what changed something and is in no rollout's journal to the audit. All other writes add their own."""

    async def audit(self, after: int = 0, limit: int = 10_000) -> tuple[Row, ...]:
        """Return the audit's rows in their order, from the one after the number `after` on."""

    async def head(self) -> Head:
        """Return the audit's last row, as it is published."""

    async def audited(self) -> tuple[tuple[Row, ...], tuple[Act, ...]]:
        """Return the whole audit, and what it must say of each line of each journal, both as of one moment."""

    async def lock(self, lock: Lock, channel: str = "") -> None:
        """Lock a service, on record; whoever locked it before is replaced."""

    async def unlock(self, service: str, by: str, at: datetime, channel: str = "") -> Lock | None:
        """Take a service's lock away, on record; return it, or None when there was none."""

    async def locked(self, service: str) -> Lock | None:
        """Return a service's lock, whether or not it still holds."""

    async def remember(self, environment: str, data: Mapping[str, Any]) -> None:
        """Keep what is known of an environment between rollouts: its stable revision's traffic of the last hour."""

    async def recall(self, environment: str) -> Mapping[str, Any] | None:
        """Return what was kept of an environment."""

    async def prune(self, runs: int, proofs: int) -> tuple[str, ...]:
        """Forget old rollouts with all that is kept of them, in one transaction; return their ids.

        The newest `runs` runs stay, what is under way, and the runs of the newest `proofs` releases proven in each
        environment and of those in quarantine.
        """

    async def mentions(self, name: str) -> bool:
        """Say whether any rollout, plan or proof on record has this name in it."""
