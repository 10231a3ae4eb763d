"""Which revisions should run, and how do their instances come to be, stay, and go, whatever runs them?"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, islice
from pathlib import Path

from interlock.adapters.secrets import kept
from interlock.adapters.workload.slots import log, record
from interlock.adapters.workload.slots.record import Place, Record
from interlock.adapters.workload.slots.runtime import Found, Runtime
from interlock.adapters.workload.slots.slot import Slot
from interlock.core.release import Instance, Revision
from interlock.ports.clock import Clock
from interlock.ports.host import Host, HostError
from interlock.ports.workload import WorkloadError

SWEEP_EVERY = timedelta(seconds=30)
_ORPHANS_END_WITHIN = timedelta(seconds=10)
_logger = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(slots=True)
class _Running:
    """A revision that should run; `doing` keeps two verbs from changing it at once."""

    revision: Revision
    runtime: Runtime
    slots: dict[int, Slot] = field(default_factory=dict)
    doing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Revisions:
    """Revisions by the runtimes that run them. What should run is on disk before it runs, and each instance carries a
    label: whatever dies when, the next keeper finds what runs, starts what is missing, and stops what nobody asked for.

    Only one Revisions may supervise a directory at a time. `secrets` is where the values lie that nobody may see.
    """

    def __init__(self, host: Host, directory: Path, clock: Clock, secrets: Path, runtimes: Sequence[Runtime]) -> None:
        self._host, self._clock, self._secrets, self._runtimes = host, clock, secrets, runtimes
        self._records, self._logs = directory / "revisions", directory / "logs"
        self._running: dict[str, _Running] = {}
        self._ending: dict[str, asyncio.Task[bool]] = {}  # by ENVIRONMENT/REVISION/SLOT
        self._adopted = False
        self._adopting = asyncio.Lock()
        self._changed = asyncio.Event()

    async def fetch(self, revision: Revision) -> None:
        await self._runtime(revision).fetch(revision)

    async def ensure(self, revision: Revision, instances: int) -> None:
        await self.adopt()
        running = self._running.get(revision.name) or self._new(revision)
        if running.revision != revision:
            raise WorkloadError(f"{revision.name} already runs as another release; a new release needs a new revision")
        try:
            async with running.doing:
                self._running[revision.name] = running
                await self._add(running, instances - len(running.slots))
        finally:
            self._forget_if_empty(running)
            self._changed.set()

    async def launchable(self, revision: Revision) -> None:
        await self._runtime(revision).launchable(revision)

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        await self.adopt()
        running = self._running.get(revision)
        return tuple(slot.observed for _, slot in sorted(running.slots.items())) if running else ()

    async def environments(self) -> tuple[str, ...]:
        await self.adopt()
        return tuple(sorted({running.revision.environment for running in self._running.values()}))

    async def revisions(self, environment: str) -> tuple[Revision, ...]:
        await self.adopt()
        found = (r.revision for r in self._running.values())
        return tuple(sorted((r for r in found if r.environment == environment), key=lambda r: r.name))

    async def stop(self, revision: str, slots: tuple[int, ...]) -> tuple[int, ...]:
        """Stop these instances; cancelling does not keep them, and asking again waits for those that still end.

        That they should not run is recorded first. A disk that takes no record hinders nothing: a keeper that comes
        after us may then start them once more, and is asked again to stop them.
        """
        await self.adopt()
        if running := self._running.get(revision):
            async with running.doing:
                self._retire(running, slots)
        ending = {n: t for n in sorted(set(slots)) for label, t in self._ending.items() if _names(label, revision, n)}
        killed = await _all(ending.values())
        return tuple(slot for slot, was_killed in zip(ending, killed, strict=True) if was_killed)

    async def log_tail(self, revision: str, lines: int) -> tuple[str, ...]:
        """Return the last lines of each slot, also of stopped ones; where there are several, each says whose it is."""
        return await self._tail(revision, r"\d+", lines)

    async def logs(self, revision: str, lines: int) -> tuple[str, ...]:
        """Return the same, and before it what the release's migration wrote."""
        before = await self._tail(revision, "migration", lines)
        return (*before, *await self._tail(revision, r"\d+", lines))

    async def _tail(self, revision: str, which: str, lines: int) -> tuple[str, ...]:
        name = re.compile(re.escape(revision) + rf"-({which})\.log")
        files = {m[1]: path for path in self._logs.glob("*.log") if (m := name.fullmatch(path.name))}
        asked = await self._asked(revision, lines)
        living = {slot: text for slot, text in asked.items() if re.fullmatch(which, slot)}
        found = sorted({*files, *living}, key=lambda slot: (len(slot), slot))
        hidden, each = kept(self._secrets), max(1, lines // max(1, len(found)))

        def shown(slot: str, most: int) -> tuple[str, ...]:
            if slot in living:
                return log.shown("\n".join(living[slot]), most, hidden)
            return log.tail(files[slot], most, hidden)

        if len(found) == 1 and found[0].isdecimal():
            return shown(found[0], lines)
        return tuple(f"[{slot}] {line}" for slot in found for line in shown(slot, each))[-lines:]

    async def _asked(self, revision: str, lines: int) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for runtime in self._runtimes:
            with suppress(WorkloadError):  # what is in files is shown all the same
                found |= await runtime.tails(revision, lines)
        return found

    async def supervise(self) -> None:
        """Keep every slot's instance alive until cancelled; the instances live on then."""
        await self.adopt()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            while True:
                self._changed.clear()
                for running in self._running.values():
                    for slot in () if running.doing.locked() else running.slots.values():
                        slot.task = slot.task or tasks.create_task(slot.keep())
                await self._changed.wait()

    async def _sweep(self) -> None:
        """End what nobody asked for, again and again: what could not be ended, or seen, when it was to be."""
        while True:
            await self._clock.sleep(SWEEP_EVERY)
            for runtime in self._runtimes:
                with suppress(WorkloadError, HostError):
                    self._end_orphans(runtime, await runtime.find())

    async def adopt(self) -> None:
        """Take over what an earlier keeper left; done once, by whatever verb is used first. Raises WorkloadError."""
        async with self._adopting:
            if self._adopted:
                return
            found = {runtime: await runtime.find() for runtime in self._runtimes}
            self._running = {record.revision.name: self._restore(record) for record in self._records_on_disk()}
            for runtime, those in found.items():
                self._match(runtime, those)
            self._adopted = True

    async def clear(self) -> None:
        """Stop every revision, and what was left of others. Logs and artefacts stay."""
        await self.adopt()
        for running in list(self._running.values()):
            async with running.doing:
                self._retire(running, tuple(running.slots))
        await _all(self._ending.values())

    def _new(self, revision: Revision) -> _Running:
        for name in (revision.name, revision.environment):
            if not _NAME.fullmatch(name):
                raise WorkloadError(f"{name!r} cannot name a revision or environment: expected letters, digits, . _ -")
        log.clear_old(self._logs)
        running = _Running(revision, self._runtime(revision))
        self._running[revision.name] = running
        return running

    async def _add(self, running: _Running, missing: int) -> None:
        """Record more slots, then start them; when one cannot be started none of them stays."""
        added: list[Slot] = []
        try:
            if missing > 0:
                await running.runtime.launchable(running.revision)  # says what is missing before anything is changed
            for number in self._free_numbers(running, missing):
                added.append(self._slot(running, number, await self._free_place(running)))
                running.slots[number] = added[-1]
            if added:
                record.write(self._host, self._path(running), _record(running))
            for slot in added:
                await slot.start()
        except (HostError, WorkloadError) as problem:
            self._retire(running, tuple(slot.number for slot in added))
            raise WorkloadError(f"{running.revision.name}: {problem}") from problem

    def _free_numbers(self, running: _Running, missing: int) -> list[int]:
        """The lowest free ones; that of an instance still ending is not free, for its label would stand for two."""
        used = set(running.slots) | {n for n in range(1000) if _label(running.revision, n) in self._ending}
        return list(islice((n for n in count() if n not in used), max(0, missing)))

    def _retire(self, running: _Running, slots: tuple[int, ...]) -> None:
        """Have these slots end, and take them out of the record."""
        going = [running.slots.pop(number) for number in slots if number in running.slots]
        if going:
            self._save(running)
        self._forget_if_empty(running)
        within = running.revision.release.configuration.stop_within
        for slot in going:
            self._end(_label(running.revision, slot.number), self._halt_slot(running, slot, within))

    async def _halt_slot(self, running: _Running, slot: Slot, within: timedelta) -> bool:
        if slot.task is not None:
            slot.task.cancel()
            await asyncio.wait({slot.task})
        return await self._retired(running.runtime, slot.found, within)

    async def _halt_all(self, runtime: Runtime, orphans: Iterable[Found]) -> bool:
        return any(await asyncio.gather(*(self._retired(runtime, one, _ORPHANS_END_WITHIN) for one in orphans)))

    async def _retired(self, runtime: Runtime, found: Found, within: timedelta) -> bool:
        killed = await runtime.retire(found, within)
        if found.revision not in self._running:
            await runtime.forget(found.revision)
        return killed

    def _end(self, label: str, halting: Coroutine[None, None, bool]) -> None:
        """Let an end take its course whoever waits for it."""
        task = self._ending[label] = asyncio.create_task(halting)
        task.add_done_callback(lambda _: self._ending.pop(label, None))

    def _forget_if_empty(self, running: _Running) -> None:
        if not running.slots and self._running.get(running.revision.name) is running:
            del self._running[running.revision.name]

    def _save(self, running: _Running) -> bool:
        """Bring the record up to date; say whether the disk took it."""
        try:
            if running.slots:
                record.write(self._host, self._path(running), _record(running))
            else:
                self._host.remove(self._path(running))
        except HostError as problem:
            _logger.warning("%s", problem)
            return False
        return True

    def _records_on_disk(self) -> list[Record]:
        paths = sorted(self._records.glob("*.json"))
        return [record.parse(path, content) for path in paths if (content := self._host.read(path)) is not None]

    def _restore(self, recorded: Record) -> _Running:
        running = _Running(recorded.revision, self._runtime(recorded.revision))
        running.slots = {number: self._slot(running, number, place) for number, place in recorded.slots.items()}
        return running

    def _match(self, runtime: Runtime, found: tuple[Found, ...]) -> None:
        """Give each slot its instance; end those that no slot is meant to have, and the younger of two for one slot.

        Where nobody can tell what is there, what should run is believed to: probes say whether it does.
        """
        mine = [running for running in self._running.values() if running.runtime is runtime]
        for running in mine:
            for slot in running.slots.values():
                label = _label(running.revision, slot.number)
                believed = [Found(running.revision.environment, running.revision.name, slot.number, None)]
                living = [one for one in found if _label_of(one) == label and one.alive]
                for one in (living if runtime.sure(running.revision) else believed)[:1]:
                    slot.life = runtime.life(running.revision, slot.number, slot.place, one.handle)
                if twice := living[1:]:
                    self._end(f"{label}#", self._halt_all(runtime, twice))
        self._end_orphans(runtime, found)

    def _end_orphans(self, runtime: Runtime, found: Iterable[Found]) -> None:
        meant = {_label(r.revision, number) for r in self._running.values() for number in r.slots}
        orphans: dict[str, list[Found]] = {}
        for one in found:
            if (label := _label_of(one)) not in meant and label not in self._ending:
                orphans.setdefault(label, []).append(one)
        for label, those in orphans.items():
            self._end(label, self._halt_all(runtime, those))

    def _slot(self, running: _Running, number: int, place: Place) -> Slot:
        return Slot(
            number,
            place,
            running.revision,
            running.runtime,
            self._clock,
            find_place=lambda: self._free_place(running),
            save=lambda: self._save(running),
        )

    def _runtime(self, revision: Revision) -> Runtime:
        for runtime in self._runtimes:
            if runtime.runs(revision):
                return runtime
        raise WorkloadError(f"{revision.name}: nothing here runs such a revision; which version of interlock made it?")

    async def _free_place(self, running: _Running) -> Place:
        """Return a place that no slot of ours has, even while its instance is down."""
        ours = {slot.place for one in self._running.values() for slot in one.slots.values()}
        return await running.runtime.place(running.revision, ours)

    def _path(self, running: _Running) -> Path:
        return self._records / f"{running.revision.name}.json"


def _record(running: _Running) -> Record:
    return Record(running.revision, {number: slot.place for number, slot in sorted(running.slots.items())})


def _label(revision: Revision, slot: int) -> str:
    return f"{revision.environment}/{revision.name}/{slot}"


def _label_of(found: Found) -> str:
    return f"{found.environment}/{found.revision}/{found.slot}"


def _names(label: str, revision: str, slot: int) -> bool:
    return label.endswith(f"/{revision}/{slot}")


async def _all(ending: Iterable[asyncio.Task[bool]]) -> list[bool]:
    """Wait for all of these, then raise the first trouble; being cancelled cancels none of them."""
    results = await asyncio.gather(*(asyncio.shield(task) for task in ending), return_exceptions=True)
    for trouble in (r for r in results if isinstance(r, BaseException)):
        raise WorkloadError(str(trouble)) from trouble
    return [r for r in results if isinstance(r, bool)]
