"""How are instances run on several machines as if they were on one? The port `Workload` over many."""

from __future__ import annotations

from interlock.adapters.host.fleet.fleet import Fleet, everywhere, joined
from interlock.adapters.host.fleet.member import Member
from interlock.core.release import Instance, Revision
from interlock.ports.workload import WorkloadError


class ManyWorkload:
    """Each machine runs as many instances as the engine asks for; slot by slot they are one."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def fetch(self, revision: Revision) -> None:
        self._fleet.lodge(revision.name, revision.environment)
        await self._fleet.each(revision.name, lambda one: one.workload.fetch(revision), WorkloadError)

    async def ensure(self, revision: Revision, instances: int) -> None:
        self._fleet.lodge(revision.name, revision.environment)
        await self._fleet.each(revision.name, lambda one: one.workload.ensure(revision, instances), WorkloadError)

    async def launchable(self, revision: Revision) -> None:
        members = self._fleet.of(revision.environment)
        await everywhere(members, lambda one: one.workload.launchable(revision), WorkloadError)

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        members, found = await self._fleet.each(revision, lambda one: one.workload.instances(revision), WorkloadError)
        return found[0] if self._fleet.alone(revision) else rows(members, found)

    async def environments(self) -> tuple[str, ...]:
        found = await everywhere(
            self._fleet.present(self._fleet.all()), lambda one: one.workload.environments(), WorkloadError
        )
        return tuple(dict.fromkeys(name for names in found for name in names))

    async def revisions(self, environment: str) -> tuple[Revision, ...]:
        members = self._fleet.present(self._fleet.of(environment))
        found = await everywhere(members, lambda one: one.workload.revisions(environment), WorkloadError)
        return tuple({revision.name: revision for revisions in found for revision in revisions}.values())

    async def stop(self, revision: str, slots: tuple[int, ...]) -> tuple[int, ...]:
        members = self._fleet.of_revision(revision)
        killed = await everywhere(members, lambda one: one.workload.stop(revision, slots), WorkloadError)
        return tuple(sorted({slot for some in killed for slot in some}))

    async def log_tail(self, revision: str, lines: int) -> tuple[str, ...]:
        members = self._fleet.of_revision(revision)
        found = await everywhere(members, lambda one: one.workload.log_tail(revision, lines), WorkloadError)
        if len(members) == 1:
            return found[0]
        named = zip(members, found, strict=True)
        return tuple(f"{one.name}: {line}" for one, said in named for line in said)


def rows(members: tuple[Member, ...], found: tuple[tuple[Instance, ...], ...]) -> tuple[Instance, ...]:
    """Take the instances of every machine together by slot: one lives, and is ready, when it is so everywhere."""
    slots = sorted({instance.slot for instances in found for instance in instances})
    by_slot = [{instance.slot: instance for instance in instances} for instances in found]
    return tuple(
        _row(slot, [(one.name, known.get(slot)) for one, known in zip(members, by_slot, strict=True)]) for slot in slots
    )


def _row(slot: int, parts: list[tuple[str, Instance | None]]) -> Instance:
    there = [(name, one) for name, one in parts if one is not None]
    reasons = [f"{name}: {one.reason}" for name, one in there if one.reason]
    reasons += [f"{name}: not there" for name, one in parts if one is None]
    whole = len(there) == len(parts)
    return Instance(
        there[0][1].revision,
        slot,
        joined([(name, one.address) for name, one in there]),
        whole and all(one.alive for _, one in there),
        whole and all(one.ready for _, one in there),
        sum(one.restarts for _, one in there),
        "; ".join(reasons),
    )
