"""How is one instance kept alive: started, asked whether it is ready and lives, and started again when it is not?"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from signal import Signals

from interlock.adapters.workload.process import log
from interlock.adapters.workload.process.launch import Launch
from interlock.adapters.workload.process.record import Place
from interlock.core.health import Answer, Probe, ProbeKind
from interlock.core.release import Instance, Protocol
from interlock.core.secrecy import hidden
from interlock.ports.clock import Clock
from interlock.ports.host import Host, HostError, Process
from interlock.ports.workload import WorkloadError

Check = Callable[[Probe, str, Path, Mapping[str, str], Protocol], Awaitable[Answer]]
"""Asks one probe of the instance at an address, with the directory and environment that a command probe needs, and what
the instance speaks."""

FIRST_PAUSE = timedelta(seconds=0.5)
LONGEST_PAUSE = timedelta(seconds=30)
HEALTHY_AFTER = timedelta(seconds=60)
LOOK_EVERY = timedelta(seconds=1)
_DIES_WITHIN = timedelta(seconds=5)
_NEVER = timedelta(days=365)

_logger = logging.getLogger(__name__)


class Slot:
    """One place of a revision: at most one process, whichever keeper started it.

    `place` is what the record says of it; `save` writes the record (False when it could not), `find_port` finds a port
    that no other slot has.
    """

    def __init__(
        self,
        number: int,
        place: Place,
        launch: Launch,
        clock: Clock,
        check: Check,
        *,
        find_port: Callable[[], Awaitable[int]],
        save: Callable[[], bool],
        process: Process | None = None,
    ) -> None:
        self.number = number
        self.place = place
        self.process = process
        self.task: asyncio.Task[None] | None = None
        self._launch, self._clock, self._check = launch, clock, check
        self._find_port, self._save = find_port, save
        self._host: Host = launch.host
        self._configuration = launch.revision.release.configuration
        self._pause = FIRST_PAUSE
        self._port_taken = False
        self._ready = False
        self._reason = "starting"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.place.port}"

    @property
    def observed(self) -> Instance:
        """The instance as last seen."""
        pid = f"pid {self.process.pid}" if self.process else ""
        ready = self._ready and self.process is not None
        name, restarts, reason = self._launch.revision.name, self.place.restarts, self._reason
        return Instance(name, self.number, self.address, self.process is not None, ready, restarts, reason, pid)

    async def start(self) -> None:
        """Start the process, elsewhere when its port was taken. Raises WorkloadError or HostError."""
        if self._port_taken or not _bindable(self.place.port, reuse=True):
            await self._move()
        self.process = await self._host.start(self._launch.command(self.number, self.place.port))
        self._ready, self._reason = False, "starting"

    async def keep(self) -> None:
        """Keep one process of this slot alive until cancelled; the process itself lives on then."""
        while True:
            try:
                if self.process is None:
                    await self.start()
                    self._count_restart()
                if self.process is not None:
                    await self._watch(self.process)
            except (HostError, WorkloadError) as problem:
                self._ready, self._reason = False, str(problem)
            except Exception as problem:  # one slot's trouble must not end the supervision of all others
                _logger.exception("supervising %s failed", self._launch.label_of(self.number))
                self._ready, self._reason = False, f"supervision failed: {problem!r}"
            await self._clock.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _count_restart(self) -> None:
        self.place = replace(self.place, restarts=self.place.restarts + 1)
        self._save()  # the count alone is worth no error on a full disk

    async def _move(self) -> None:
        """Take another port. It is recorded first: the next keeper would look for the instance at the old one."""
        before, self.place = self.place, replace(self.place, port=await self._find_port())
        if self._save():
            self._port_taken = False
            return
        self.place = before
        raise WorkloadError(f"port {before.port} is taken, and another cannot be recorded; is the disk full?")

    async def _watch(self, process: Process) -> None:
        """Look at a process until it has ended, by itself or because it has to be started again."""
        seen = _Seen(self._clock.monotonic())
        ended = asyncio.create_task(self._host.gone(process, _NEVER))
        try:
            while not ended.done():
                trouble = await _unless(ended, self._look(process, seen))
                if trouble is not None:
                    await self._end(process, trouble)
                    return
                await asyncio.wait({ended}, timeout=self._until_next_look(seen).total_seconds())
            ended.result()
        finally:
            ended.cancel()
        await self._autopsy(process, seen)

    async def _look(self, process: Process, seen: _Seen) -> str | None:
        """Look once; return why the process has to be started again, or None."""
        log.limit(self._launch.log_of(self.number))
        if too_large := await self._too_large(process):
            return too_large
        readiness, liveness = self._configuration.readiness, self._configuration.liveness
        age = timedelta(seconds=self._clock.monotonic() - seen.since)
        if liveness is None or not (seen.ready_at or age > self._configuration.start_within):
            self._note(await self._ask(readiness), seen)
            return None
        if liveness == readiness:
            ready = lives = await self._ask(readiness)
        else:
            ready, lives = await asyncio.gather(self._ask(readiness), self._ask(liveness))
        self._note(ready, seen)
        seen.failures = 0 if lives.ok else seen.failures + 1
        if seen.failures < self._configuration.unhealthy_after:
            return None
        return f"alive but failed its liveness probe {seen.failures} times in a row: {lives.reason}"

    def _note(self, readiness: Answer, seen: _Seen) -> None:
        now = self._clock.monotonic()
        self._ready, self._reason = readiness.ok, "" if readiness.ok else readiness.reason
        if readiness.ok:
            seen.ready_at = seen.ready_at or now
            seen.healthy_since = seen.healthy_since or now
            if now - seen.healthy_since >= HEALTHY_AFTER.total_seconds():
                self._pause = FIRST_PAUSE
        else:
            seen.healthy_since = None

    async def _ask(self, probe: Probe) -> Answer:
        environment = self._launch.environment(self.number, self.place.port) if probe.command else {}
        protocol = self._configuration.protocol
        answer = await self._check(probe, self.address, self._launch.directory, environment, protocol)
        if answer.ok:
            return answer
        return replace(answer, reason=hidden(answer.reason, self._launch.hidden()))  # it quotes what was answered

    async def _too_large(self, process: Process) -> str | None:
        most = self._configuration.memory_max
        used = await self._host.memory(process) if most is not None else None
        if most is None or used is None or used <= most:
            return None
        return f"used {used / 2**20:.0f} MiB of memory, more than the {most / 2**20:.0f} MiB allowed"

    def _until_next_look(self, seen: _Seen) -> timedelta:
        """Until first ready look after each twentieth of its age: seen promptly, and cheap where a start takes long."""
        if seen.ready_at:
            return LOOK_EVERY
        shortest = timedelta(seconds=0.5 if self._configuration.readiness.kind is ProbeKind.COMMAND else 0.05)
        age = timedelta(seconds=self._clock.monotonic() - seen.since)
        return min(LOOK_EVERY, max(shortest, age / 20))

    async def _end(self, process: Process, trouble: str) -> None:
        self._ready, self._reason = False, trouble
        await halt(self._host, process, self._configuration.stop_within)
        self.process, self._reason = None, f"{trouble}; it was stopped to be started again"

    async def _autopsy(self, process: Process, seen: _Seen) -> None:
        """Say how it ended, and end what it left behind, which may hold its port."""
        self.process, self._ready = None, False
        status = await self._host.exit_status(process)
        last = log.tail(self._launch.log_of(self.number), 1, self._launch.hidden())
        self._reason = f"{_ending(status)}; last line: {last[0]}" if last else _ending(status)
        await self._host.signal(process, Signals.SIGKILL, group=True)
        self._port_taken = seen.ready_at is None and not _bindable(self.place.port, reuse=False)


class _Seen:
    """What was seen of one process since we watch it, on the monotonic clock."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.ready_at: float | None = None
        self.healthy_since: float | None = None
        self.failures = 0


async def halt(host: Host, process: Process, within: timedelta) -> bool:
    """End a process and all its group: TERM to itself, grace, then KILL. Say whether it had to be killed.

    The group is killed in any case: workers that their leader left behind would keep its port.
    """
    await host.signal(process, Signals.SIGTERM)
    obeyed = await host.gone(process, within)
    await host.signal(process, Signals.SIGKILL, group=True)
    if not await host.gone(process, _DIES_WITHIN):
        advice = f"`ps -o stat,wchan {process.pid}` says what holds it"
        raise WorkloadError(f"{process.label}: pid {process.pid} was killed and does not end; {advice}")
    return not obeyed


async def _unless(ended: asyncio.Task[bool], look: Awaitable[str | None]) -> str | None:
    """Wait for what a look finds, but no longer than the process lives: a probe may hang as long as its time-out."""
    looking = asyncio.ensure_future(look)
    try:
        await asyncio.wait({ended, looking}, return_when=asyncio.FIRST_COMPLETED)
        return None if ended.done() else looking.result()
    finally:
        if not looking.done():
            looking.cancel()
            await asyncio.wait({looking})


def _bindable(port: int, *, reuse: bool) -> bool:
    """Say whether an instance could listen there; without `reuse` as strictly as a program that sets no option."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _ending(status: int | None) -> str:
    if status is None:
        return "ended; how is not known, for an earlier keeper had started it"
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"ended by {Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
