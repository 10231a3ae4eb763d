"""How does one process of a revision live, answer, and end?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from signal import Signals

from interlock.adapters.workload.process.launch import Launch
from interlock.adapters.workload.slots import Autopsy, Check, Place, bindable, log
from interlock.core.health import Answer, Probe
from interlock.core.secrecy import hidden
from interlock.ports.host import Host, Process
from interlock.ports.workload import WorkloadError

_DIES_WITHIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class ProcessLife:
    """One process, as an instance of a slot."""

    process: Process
    launch: Launch
    slot: int
    place: Place
    check: Check

    @property
    def handle(self) -> object:
        return self.process

    @property
    def word(self) -> str:
        return f"pid {self.process.pid}"

    async def gone(self, within: timedelta) -> bool:
        return await self.launch.host.gone(self.process, within)

    async def halt(self, within: timedelta) -> bool:
        return await halt(self.launch.host, self.process, within)

    async def trouble(self) -> str | None:
        """Keep its log small, and say when it holds more memory than it may."""
        log.limit(self.launch.log_of(self.slot))
        most = self.launch.revision.release.configuration.memory_max
        used = await self.launch.host.memory(self.process) if most is not None else None
        if most is None or used is None or used <= most:
            return None
        return f"used {used / 2**20:.0f} MiB of memory, more than the {most / 2**20:.0f} MiB allowed"

    async def ask(self, probe: Probe) -> Answer:
        environment = self.launch.environment(self.slot, self.place.port) if probe.command else {}
        protocol = self.launch.revision.release.configuration.protocol
        answer = await self.check(probe, self.place.address, self.launch.directory, environment, protocol)
        if answer.ok:
            return answer
        return replace(answer, reason=hidden(answer.reason, self.launch.hidden()))  # it quotes what was answered

    async def autopsy(self, *, was_ready: bool) -> Autopsy:
        """Say how it ended, and end what it left behind, which may hold its port."""
        status = await self.launch.host.exit_status(self.process)
        last = log.tail(self.launch.log_of(self.slot), 1, self.launch.hidden())
        reason = f"{_ending(status)}; last line: {last[0]}" if last else _ending(status)
        await self.launch.host.signal(self.process, Signals.SIGKILL, group=True)
        return Autopsy(reason, not was_ready and not bindable(self.place.port, reuse=False))


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


def _ending(status: int | None) -> str:
    if status is None:
        return "ended; how is not known, for an earlier keeper had started it"
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"ended by {Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
