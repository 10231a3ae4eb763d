"""How does one container of a revision live, answer, and end?"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from interlock.adapters.http import HttpTimeout
from interlock.adapters.workload.containers.engine import Engine, EngineError, Seen
from interlock.adapters.workload.containers.places import reached
from interlock.adapters.workload.containers.spec import Spec
from interlock.adapters.workload.slots import Autopsy, Check, Place, bindable, log
from interlock.core.container import Reach
from interlock.core.health import Answer, Probe, ProbeKind
from interlock.core.secrecy import hidden
from interlock.ports.workload import WorkloadError

_LOOK_AGAIN = timedelta(seconds=10)
_ASK_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Handle:
    """A container at its engine, in one of its lives; `started` is "" while that is not known."""

    engine: str
    name: str
    started: str = ""


class ContainerLife:
    """One life of a container: an engine that starts it again has begun another.

    While the engine does not answer it is taken to go on. Its probes need no engine: they say whether it does.
    """

    def __init__(self, handle: Handle, engine: Engine, spec: Spec, place: Place, check: Check) -> None:
        self._handle, self._engine, self._spec, self._place, self._check = handle, engine, spec, place, check
        self._status: int | None = None

    @property
    def handle(self) -> object:
        return self._handle

    @property
    def word(self) -> str:
        return f"container {self._handle.name}"

    async def gone(self, within: timedelta) -> bool:
        until = time.monotonic() + within.total_seconds()
        while (left := until - time.monotonic()) > 0:
            try:
                seen = await self._engine.inspect(self._handle.name)
                if self._over(seen):
                    return True
                self._status = await self._engine.ended(self._handle.name, min(_LOOK_AGAIN, timedelta(seconds=left)))
                if self._status is not None:
                    return True
            except EngineError:
                await asyncio.sleep(min(left, _ASK_AGAIN.total_seconds()))
        return False

    def _over(self, seen: Seen | None) -> bool:
        if seen is None or not seen.running:
            return True
        if not self._handle.started:
            self._handle = replace(self._handle, started=seen.started)
        return seen.started != self._handle.started

    async def halt(self, within: timedelta) -> bool:
        await self._engine.stop(self._handle.name, within)
        seen = await self._engine.inspect(self._handle.name)
        return seen is not None and seen.killed

    async def trouble(self) -> str | None:
        return None  # the engine keeps logs small and the kernel memory

    async def ask(self, probe: Probe) -> Answer:
        answer = await (self._run(probe) if probe.kind is ProbeKind.COMMAND else self._probe(probe))
        return answer if answer.ok else replace(answer, reason=hidden(answer.reason, self._spec.hidden()))

    async def _probe(self, probe: Probe) -> Answer:
        protocol = self._spec.revision.release.configuration.protocol
        return await self._check(probe, self._place.address, Path("/"), {}, protocol)

    async def _run(self, probe: Probe) -> Answer:
        """Run a probe's command in the container."""
        what = f"command {probe.command[0]} in the container"
        try:
            status, said = await self._engine.run_in(self._handle.name, probe.command, probe.timeout)
        except HttpTimeout:
            return Answer(False, f"{what} did not end within {probe.timeout.total_seconds():g} s")
        except WorkloadError as error:
            return Answer(False, f"{what} cannot be run: {error}")
        last = log.shown(said, 1, ())
        return Answer(status == 0, f"{what} ended with status {status}{f' ({last[0]})' if last else ''}")

    async def autopsy(self, *, was_ready: bool) -> Autopsy:
        try:
            seen = await self._engine.inspect(self._handle.name)
            written = await self._engine.log(self._handle.name, 5) if seen else ""
        except EngineError as error:
            return Autopsy(f"ended; how is not known: {error}")
        last = log.shown(written, 1, self._spec.hidden())
        reason = self._ending(seen) + (f"; last line: {last[0]}" if last else "")
        on_host = reached(self._spec.container, self._place) is Reach.HOST
        down = seen is not None and not seen.running
        taken = on_host and down and not was_ready and not bindable(self._place.port, reuse=False)
        return Autopsy(reason, taken)

    def _ending(self, seen: Seen | None) -> str:
        if seen is None:
            return "ended, and somebody removed its container"
        status = seen.status if not seen.running else self._status
        most = self._spec.revision.release.configuration.memory_max
        if seen.out_of_memory and most is not None:
            return f"ended by the kernel, as it used more than the {most / 2**20:.0f} MiB of memory allowed"
        again = ", and the engine starts it again" if seen.running or seen.restarting else ""
        if not status:
            return f"ended{again}" if again else "exited with status 0"
        return f"{_status(status)}{again}"


def _status(status: int) -> str:
    return f"ended by signal {status - 128}" if 128 < status < 128 + 65 else f"exited with status {status}"
