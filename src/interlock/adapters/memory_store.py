"""How does a store behave, without a disk and without a thread? For tests in virtual time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interlock.core import audit
from interlock.core.audit import Act, Head, Row
from interlock.core.lock import Lock
from interlock.core.plan import Plan
from interlock.core.record import plain
from interlock.core.rollout import Rollout
from interlock.ports.store import Busy, Entry, Fenced, Proof, Quarantined, StoreError


@dataclass(slots=True)
class _Row:
    rollout: Rollout
    epoch: int = 0
    owner: str = ""


class MemoryStore:
    """A store that forgets everything with the process. While `failing` is set every write raises StoreError."""

    def __init__(self) -> None:
        self.failing = False
        self._numbers: dict[str, int] = {}
        self._plans: dict[str, Plan] = {}
        self._rows: dict[str, _Row] = {}
        self._entries: dict[str, list[Entry]] = {}
        self._checkpoints: dict[str, str] = {}
        self._proofs: list[Proof] = []
        self._quarantine: list[Quarantined] = []
        self._released: list[tuple[Quarantined, str, str, datetime]] = []
        self._environments: dict[str, str] = {}
        self._audit: list[Row] = []
        self._locks: dict[str, Lock] = {}
        self._told: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Do nothing: there is no file to let go of."""

    async def number(self, service: str) -> int:
        self._check()
        self._numbers[service] = self._numbers.get(service, 0) + 1
        return self._numbers[service]

    async def add_plan(self, plan: Plan) -> None:
        self._check()
        self._plans.setdefault(plan.hash, plan)

    async def plan(self, hash: str) -> Plan | None:
        return self._plans.get(hash)

    async def begin(self, rollout: Rollout, entry: Entry) -> None:
        self._check()
        self._refuse_second(rollout)
        if rollout.id in self._rows:
            raise ValueError(f"{rollout.id} was begun already, and is over")
        self._rows[rollout.id] = _Row(rollout)
        self._append(rollout.id, (entry,))

    async def claim(self, id: str, owner: str) -> int:
        self._check()
        row = self._known(id)
        row.epoch, row.owner = row.epoch + 1, owner
        return row.epoch

    async def save(
        self,
        rollout: Rollout,
        epoch: int,
        entries: tuple[Entry, ...] = (),
        proof: Proof | None = None,
        quarantined: Quarantined | None = None,
    ) -> None:
        self._check()
        row = self._owned(rollout.id, epoch)
        if not rollout.over:
            self._refuse_second(rollout, rollout.id)
        row.rollout = rollout
        self._append(rollout.id, entries)
        if proof is not None:
            self._proofs = [p for p in self._proofs if _proof_key(p) != _proof_key(proof)] + [proof]
        if quarantined is not None:
            self._drop(quarantined.service, quarantined.identity)
            self._quarantine.append(quarantined)

    async def checkpoint(self, id: str, epoch: int, data: Mapping[str, Any]) -> None:
        self._check()
        self._owned(id, epoch)
        self._checkpoints[id] = _json(data)

    async def last_checkpoint(self, id: str) -> Mapping[str, Any] | None:
        return _mapping(self._checkpoints.get(id))

    async def note(self, id: str, entries: tuple[Entry, ...]) -> None:
        self._check()
        self._known(id)
        self._append(id, entries)

    async def rollout(self, id: str) -> Rollout | None:
        return self._rows[id].rollout if id in self._rows else None

    async def run(self, run: str) -> tuple[Rollout, ...]:
        return tuple(row.rollout for row in self._rows.values() if row.rollout.run == run)

    async def heard(self, key: str) -> Rollout | None:
        return next((row.rollout for row in self._rows.values() if key in row.rollout.heard), None)

    async def active(self) -> tuple[Rollout, ...]:
        return tuple(row.rollout for row in self._rows.values() if not row.rollout.over)

    async def under_way(self) -> tuple[str, ...]:
        return tuple(id for id, row in self._rows.items() if not row.rollout.over)

    async def rollouts(self, limit: int) -> tuple[Rollout, ...]:
        return tuple(row.rollout for row in reversed(self._rows.values()))[:limit]

    async def entries(self, id: str, after: int = 0) -> tuple[Entry, ...]:
        return tuple(entry for entry in self._entries.get(id, ()) if entry.seq > after)

    async def journals(self, limit: int) -> tuple[tuple[str, int], ...]:
        newest = [*reversed(self._rows)][:limit]
        return tuple((id, len(self._entries.get(id, ()))) for id in newest)

    async def told(self, reader: str, id: str) -> int:
        return self._told.get((reader, id), 0)

    async def tell(self, reader: str, id: str, seq: int) -> None:
        self._check()
        self._told[reader, id] = max(seq, self._told.get((reader, id), 0))

    async def proofs(self, service: str, environment: str) -> tuple[Proof, ...]:
        return tuple(p for p in reversed(self._proofs) if (p.service, p.environment) == (service, environment))

    async def quarantine(self, service: str) -> tuple[Quarantined, ...]:
        return tuple(q for q in reversed(self._quarantine) if q.service == service)

    async def release(self, service: str, identity: str, by: str, reason: str, at: datetime, channel: str = "") -> bool:
        self._check()
        dropped = self._drop(service, identity)
        self._released += [(quarantined, by, reason, at) for quarantined in dropped]
        if dropped:
            self._seal(audit.released(service, identity, by, reason, at, channel))
        return bool(dropped)

    async def act(self, act: Act) -> None:
        self._check()
        self._seal(act)

    async def audit(self, after: int = 0, limit: int = 10_000) -> tuple[Row, ...]:
        return tuple(row for row in self._audit if row.number > after)[:limit]

    async def head(self) -> Head:
        return self._head

    async def audited(self) -> tuple[tuple[Row, ...], tuple[Act, ...]]:
        lines = (_act(id, entry) for id, entries in self._entries.items() for entry in entries)
        return tuple(self._audit), tuple(lines)

    async def lock(self, lock: Lock, channel: str = "") -> None:
        self._check()
        self._locks[lock.service] = lock
        self._seal(audit.locked(lock, channel))

    async def unlock(self, service: str, by: str, at: datetime, channel: str = "") -> Lock | None:
        self._check()
        lock = self._locks.pop(service, None)
        if lock is not None:
            self._seal(audit.unlocked(lock, by, at, channel))
        return lock

    async def locked(self, service: str) -> Lock | None:
        return self._locks.get(service)

    async def remember(self, environment: str, data: Mapping[str, Any]) -> None:
        self._check()
        self._environments[environment] = _json(data)

    async def recall(self, environment: str) -> Mapping[str, Any] | None:
        return _mapping(self._environments.get(environment))

    async def prune(self, runs: int, proofs: int) -> tuple[str, ...]:
        self._check()
        needed = {proof.rollout for proof in self._newest_proofs(proofs)} | {one.rollout for one in self._quarantine}
        of_run: dict[str, list[Rollout]] = {}
        for row in reversed(self._rows.values()):
            of_run.setdefault(row.rollout.run, []).append(row.rollout)
        old = [run for run in list(of_run.values())[runs:] if all(one.over and one.id not in needed for one in run)]
        gone = tuple(one.id for run in old for one in run)
        plans = {self._rows[id].rollout.plan for id in gone}
        for id in gone:
            del self._rows[id]
            self._entries.pop(id, None)
            self._checkpoints.pop(id, None)
            self._told = {key: seq for key, seq in self._told.items() if key[1] != id}
        for hash in plans - {row.rollout.plan for row in self._rows.values()}:
            self._plans.pop(hash, None)
        self._proofs = [proof for proof in self._proofs if proof.rollout not in gone]
        if gone:
            self._seal(audit.forgot(gone, self._audit[-1].act.at))  # there is no clock here
        return gone

    async def mentions(self, name: str) -> bool:
        known = [*(row.rollout for row in self._rows.values()), *self._plans.values(), *self._proofs]
        return any(name in json.dumps(plain(one)) for one in known)

    def _newest_proofs(self, keep: int) -> list[Proof]:
        newest: dict[tuple[str, str], dict[str, Proof]] = {}
        for proof in reversed(self._proofs):
            newest.setdefault((proof.service, proof.environment), {}).setdefault(proof.identity, proof)
        return [proof for known in newest.values() for proof in list(known.values())[:keep]]

    def _check(self) -> None:
        if self.failing:
            raise StoreError("cannot write the store in memory: it was told to fail")

    def _known(self, id: str) -> _Row:
        if id not in self._rows:
            raise KeyError(f"no rollout {id}")
        return self._rows[id]

    def _owned(self, id: str, epoch: int) -> _Row:
        row = self._rows.get(id)
        if row is None:
            raise Fenced(f"there is no rollout {id} any more: stop at once")
        if row.epoch != epoch:
            raise Fenced(
                f"{id} was taken over by {row.owner or 'nobody'} (epoch {row.epoch}, ours is {epoch}): stop at once"
            )
        return row

    def _refuse_second(self, rollout: Rollout, but: str = "") -> None:
        for row in self._rows.values():
            other = row.rollout
            if not other.over and other.id != but and _place(other) == _place(rollout):
                raise Busy(other)

    def _append(self, id: str, entries: tuple[Entry, ...]) -> None:
        lines = self._entries.setdefault(id, [])
        for entry in entries:
            lines.append(replace(entry, seq=len(lines) + 1, data=json.loads(_json(entry.data))))
            self._seal(_act(id, lines[-1]))

    @property
    def _head(self) -> Head:
        return self._audit[-1].head if self._audit else audit.EMPTY

    def _seal(self, act: Act) -> None:
        self._audit.append(audit.after(self._head, act))

    def _drop(self, service: str, identity: str) -> list[Quarantined]:
        dropped = [q for q in self._quarantine if (q.service, q.identity) == (service, identity)]
        self._quarantine = [q for q in self._quarantine if q not in dropped]
        return dropped


def _act(id: str, entry: Entry) -> Act:
    return audit.of_line(id, entry.seq, entry.at, entry.kind, entry.text, entry.data)


def _place(rollout: Rollout) -> tuple[str, str]:
    return rollout.stage.revision.release.service, rollout.stage.environment


def _proof_key(proof: Proof) -> tuple[str, str, str, str]:
    return proof.service, proof.environment, proof.subject, proof.rollout


def _json(data: Mapping[str, Any]) -> str:
    """Keep data as a real store would, so that a test sees lists where it put tuples."""
    return json.dumps(plain(data))


def _mapping(record: str | None) -> Mapping[str, Any] | None:
    return None if record is None else dict(json.loads(record))
