"""How do revisions run as processes of this machine?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path

from interlock.adapters.workload.process.launch import Launch
from interlock.adapters.workload.process.life import ProcessLife, halt
from interlock.adapters.workload.slots import Check, Found, Life, Place, PlaceTaken, Revisions, bindable
from interlock.core.release import Revision
from interlock.ports.clock import Clock
from interlock.ports.host import Host, Process
from interlock.ports.workload import WorkloadError


class ProcessRuntime:
    """Runs instances as processes. A process's label is `label`/ENVIRONMENT/REVISION/SLOT."""

    def __init__(self, host: Host, directory: Path, label: str, artefacts: Path, secrets: Path, check: Check) -> None:
        self._host, self._label, self._check = host, label, check
        self._artefacts, self._secrets, self._logs = artefacts, secrets, directory / "logs"

    def runs(self, revision: Revision) -> bool:
        return revision.release.configuration.container is None

    async def fetch(self, revision: Revision) -> None:
        self._launch(revision).present()

    async def launchable(self, revision: Revision) -> None:
        self._launch(revision).command(0, 0)

    async def place(self, revision: Revision, taken: Collection[Place]) -> Place:
        ports = {place.port for place in taken}
        while (port := await self._host.free_port()) in ports:
            pass
        return Place(port)

    async def start(self, revision: Revision, slot: int, place: Place) -> Life:
        if not bindable(place.port, reuse=True):
            raise PlaceTaken(f"port {place.port} is taken")
        launch = self._launch(revision)
        process = await self._host.start(launch.command(slot, place.port))
        return ProcessLife(process, launch, slot, place, self._check)

    def life(self, revision: Revision, slot: int, place: Place, handle: object | None) -> Life:
        if not isinstance(handle, Process):
            raise WorkloadError(f"{revision.name}: what runs on this machine cannot be seen; is /proc mounted?")
        return ProcessLife(handle, self._launch(revision), slot, place, self._check)

    async def find(self) -> tuple[Found, ...]:
        """Return them; other things that run under our label (the keeper, the proxy) have names of another form."""
        found = [(one, one.label.removeprefix(f"{self._label}/")) for one in await self._host.find(f"{self._label}/")]
        return tuple(_found(one, name) for one, name in found if _is_instance(name))

    def sure(self, revision: Revision) -> bool:
        return True

    async def retire(self, found: Found, within: timedelta) -> bool:
        return isinstance(found.handle, Process) and await halt(self._host, found.handle, within)

    async def forget(self, revision: str) -> None:
        """Keep nothing that could be forgotten."""

    async def tails(self, revision: str, lines: int) -> Mapping[str, tuple[str, ...]]:
        return {}  # each process writes to a file of its own

    def _launch(self, revision: Revision) -> Launch:
        return Launch(self._host, revision, self._label, self._artefacts, self._secrets, self._logs)


class Processes(Revisions):
    """Revisions as processes, and nothing else."""

    def __init__(
        self, host: Host, directory: Path, clock: Clock, label: str, artefacts: Path, secrets: Path, check: Check
    ) -> None:
        runtime = ProcessRuntime(host, directory, label, artefacts, secrets, check)
        super().__init__(host, directory, clock, secrets, (runtime,))


def _is_instance(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[-1].isdecimal()


def _found(process: Process, name: str) -> Found:
    environment, revision, slot = name.split("/")
    return Found(environment, revision, int(slot), process)
