"""Which revisions should run on this machine, and how do their processes come to be, stay, and go?"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, islice
from pathlib import Path

from interlock.adapters.secrets import kept
from interlock.adapters.workload.process import log, record
from interlock.adapters.workload.process.launch import Launch
from interlock.adapters.workload.process.record import Place, Record
from interlock.adapters.workload.process.slot import Check, Slot, halt
from interlock.core.release import Instance, Revision
from interlock.ports.clock import Clock
from interlock.ports.host import Host, HostError, Process
from interlock.ports.workload import WorkloadError

_ORPHANS_END_WITHIN = timedelta(seconds=10)
_logger = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(slots=True)
class _Running:
    """A revision that should run; `doing` keeps two verbs from changing it at once."""

    revision: Revision
    launch: Launch
    slots: dict[int, Slot] = field(default_factory=dict)
    doing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Processes:
    """Revisions as processes. What should run is on disk before it runs, and each process carries a label: whatever
    dies when, the next keeper finds what runs, starts what is missing, and stops what nobody asked for.

    A process's label is `label`/ENVIRONMENT/REVISION/SLOT. Only one Processes may supervise a directory at a time.
    """

    def __init__(
        self, host: Host, directory: Path, clock: Clock, label: str, artefacts: Path, secrets: Path, check: Check
    ) -> None:
        self._host, self._clock, self._check = host, clock, check
        self._label, self._artefacts, self._secrets = label, artefacts, secrets
        self._records, self._logs = directory / "revisions", directory / "logs"
        self._running: dict[str, _Running] = {}
        self._ending: dict[str, asyncio.Task[bool]] = {}  # by label
        self._adopted = False
        self._adopting = asyncio.Lock()
        self._changed = asyncio.Event()

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
        Launch(self._host, revision, self._label, self._artefacts, self._secrets, self._logs).command(0, 0)

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
        return self._tail(revision, r"\d+", lines)

    async def logs(self, revision: str, lines: int) -> tuple[str, ...]:
        """Return the same, and before it what the release's migration wrote."""
        return (*self._tail(revision, "migration", lines), *self._tail(revision, r"\d+", lines))

    def _tail(self, revision: str, which: str, lines: int) -> tuple[str, ...]:
        name = re.compile(re.escape(revision) + rf"-({which})\.log")
        found = [(m[1], path) for path in self._logs.glob("*.log") if (m := name.fullmatch(path.name))]
        found.sort(key=lambda one: (len(one[0]), one[0]))
        hidden, each = kept(self._secrets), max(1, lines // max(1, len(found)))
        if len(found) == 1 and found[0][0].isdecimal():
            return log.tail(found[0][1], lines, hidden)
        return tuple(f"[{slot}] {line}" for slot, path in found for line in log.tail(path, each, hidden))[-lines:]

    async def supervise(self) -> None:
        """Keep every slot's process alive until cancelled; the processes live on then."""
        await self.adopt()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                for running in self._running.values():
                    for slot in () if running.doing.locked() else running.slots.values():
                        slot.task = slot.task or tasks.create_task(slot.keep())
                await self._changed.wait()

    async def adopt(self) -> None:
        """Take over what an earlier keeper left; done once, by whatever verb is used first. Raises WorkloadError."""
        async with self._adopting:
            if self._adopted:
                return
            found = await self._host.find(f"{self._label}/")
            self._running = {record.revision.name: self._restore(record) for record in self._records_on_disk()}
            self._match(found)
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
        running = _Running(revision, self._launch(revision))
        self._running[revision.name] = running
        return running

    async def _add(self, running: _Running, missing: int) -> None:
        """Record more slots, then start them; when one cannot be started none of them stays."""
        added: list[Slot] = []
        try:
            if missing > 0:
                running.launch.command(0, 0)  # says what is missing before anything is changed
            for number in self._free_numbers(running, missing):
                added.append(self._slot(running, number, Place(await self._free_port())))
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
        used = set(running.slots) | {n for n in range(1000) if running.launch.label_of(n) in self._ending}
        return list(islice((n for n in count() if n not in used), max(0, missing)))

    def _retire(self, running: _Running, slots: tuple[int, ...]) -> None:
        """Have these slots end, and take them out of the record."""
        going = [running.slots.pop(number) for number in slots if number in running.slots]
        if going:
            self._save(running)
        self._forget_if_empty(running)
        within = running.revision.release.configuration.stop_within
        for slot in going:
            self._end(running.launch.label_of(slot.number), self._halt_slot(slot, within))

    async def _halt_slot(self, slot: Slot, within: timedelta) -> bool:
        if slot.task is not None:
            slot.task.cancel()
            await asyncio.wait({slot.task})
        return slot.process is not None and await halt(self._host, slot.process, within)

    async def _halt_all(self, processes: list[Process]) -> bool:
        return any(await asyncio.gather(*(halt(self._host, p, _ORPHANS_END_WITHIN) for p in processes)))

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
        running = _Running(recorded.revision, self._launch(recorded.revision))
        running.slots = {number: self._slot(running, number, place) for number, place in recorded.slots.items()}
        return running

    def _match(self, found: Iterable[Process]) -> None:
        """Give each slot its process; end those that no slot is meant to have, and the younger of two for one slot."""
        by_label: dict[str, list[Process]] = {}
        for process in found:
            by_label.setdefault(process.label, []).append(process)
        for running in self._running.values():
            for slot in running.slots.values():
                label = running.launch.label_of(slot.number)
                mine = by_label.pop(label, [])
                slot.process = mine[0] if mine else None
                if twice := mine[1:]:
                    self._end(f"{label}#", self._halt_all(twice))
        for label, orphans in by_label.items():
            if _is_instance(label.removeprefix(f"{self._label}/")):
                self._end(label, self._halt_all(orphans))

    def _slot(self, running: _Running, number: int, place: Place) -> Slot:
        return Slot(
            number,
            place,
            running.launch,
            self._clock,
            self._check,
            find_port=self._free_port,
            save=lambda: self._save(running),
        )

    def _launch(self, revision: Revision) -> Launch:
        return Launch(self._host, revision, self._label, self._artefacts, self._secrets, self._logs)

    async def _free_port(self) -> int:
        """Return a port that no slot of ours has, even while its process is down."""
        ours = {slot.place.port for running in self._running.values() for slot in running.slots.values()}
        while (port := await self._host.free_port()) in ours:
            pass
        return port

    def _path(self, running: _Running) -> Path:
        return self._records / f"{running.revision.name}.json"


def _record(running: _Running) -> Record:
    return Record(running.revision, {number: slot.place for number, slot in sorted(running.slots.items())})


def _is_instance(name: str) -> bool:
    """Other things that run under our label (the keeper, the proxy) have names of another form."""
    parts = name.split("/")
    return len(parts) == 3 and parts[-1].isdecimal()


def _names(label: str, revision: str, slot: int) -> bool:
    return label.endswith(f"/{revision}/{slot}")


async def _all(ending: Iterable[asyncio.Task[bool]]) -> list[bool]:
    """Wait for all of these, then raise the first trouble; being cancelled cancels none of them."""
    results = await asyncio.gather(*(asyncio.shield(task) for task in ending), return_exceptions=True)
    for trouble in (r for r in results if isinstance(r, BaseException)):
        raise WorkloadError(str(trouble)) from trouble
    return [r for r in results if isinstance(r, bool)]
