"""Where do the workload's contract tests run: as processes, in Docker, in Podman?

A site has a directory, its keepers that come and go, and the very same small server as whatever instances are there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.adapters.workload.test_process import SERVER
from tests.engines import PYTHON, Engine, Registry, container

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import LocalHost
from interlock.adapters.probe.network import check
from interlock.adapters.workload.containers import ContainerMigrations, Containers
from interlock.adapters.workload.process import Migrations, Processes
from interlock.adapters.workload.slots import Revisions
from interlock.core.health import Probe
from interlock.core.release import Artefact, Configuration, Instance, Release, Revision
from interlock.ports.images import Credential

DEADLINE = 30.0
OBEDIENT = SERVER.replace('(("127.0.0.1", ', '((os.environ.get("HOST", "127.0.0.1"), ').replace(
    "class Answers", "else:\n    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\nclass Answers", 1
)
assert OBEDIENT.count("HOST") == 1


class Site:
    """As processes; the base of the others."""

    kind = "process"

    def __init__(self, place: Path) -> None:
        self.place, self.label = place, f"test-{uuid.uuid4()}"
        (place / "secrets").mkdir()
        self.artefact = self._artefact()

    def _artefact(self) -> Artefact:
        (self.place / "artefacts" / "ab").mkdir(parents=True)
        (self.place / "artefacts" / "ab" / "server.py").write_text(OBEDIENT)
        return Artefact("sha256:ab", "here")

    def revision(self, name: str = "web-1", *argv: str, **more: Any) -> Revision:
        """Return a revision whose instances are the server, with these arguments."""
        configuration = Configuration(
            (PYTHON, "-S", "server.py", "--port={port}", *argv),
            environment=(("GREETING", "hello"),),
            readiness=Probe(path="/ready"),
            stop_within=timedelta(seconds=2),
        )
        release = Release("web", "v1", self.artefact, replace(configuration, **more), "c")
        return Revision(name, "staging", release)

    def workload(self) -> Revisions:
        d = self.place
        return Processes(LocalHost(), d / "state", SystemClock(), self.label, d / "artefacts", d / "secrets", check)

    def migrations(self) -> Any:
        """Return what runs the migrations of a keeper that has just begun."""
        d = self.place
        return Migrations(LocalHost(), d / "state", SystemClock(), self.label, d / "artefacts", d / "secrets")

    @asynccontextmanager
    async def keeper(self) -> AsyncIterator[Revisions]:
        """A keeper that supervises, and dies without a word when the block ends."""
        workload = self.workload()
        supervising = asyncio.create_task(workload.supervise())
        try:
            yield workload
            assert not supervising.done(), supervising.exception()
        finally:
            supervising.cancel()
            await asyncio.wait({supervising})

    async def running(self) -> list[int]:
        """Return the pids of all instances and migrations that run."""
        return [one.pid for one in await LocalHost().find(f"{self.label}/")]

    def pid(self, instance: Instance) -> int:
        return int(instance.process.removeprefix("pid "))

    async def end(self) -> None:
        for pid in await self.running():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


class ContainerSite(Site):
    """As containers of an engine."""

    kind = "containers"

    def __init__(self, place: Path, engine: Engine, registry: Registry) -> None:
        self.engine, self.registry = engine, registry
        super().__init__(place)
        self.label = uuid.uuid4().hex[:12]

    def _artefact(self) -> Artefact:
        return self.registry.push("t/web", "v1", {"app/server.py": OBEDIENT.encode()})

    def revision(self, name: str = "web-1", *argv: str, **more: Any) -> Revision:
        one = super().revision(name, *argv, **{"container": container(self.engine), **more})
        told = replace(one.release.configuration, environment=(("GREETING", "hello"), ("HOST", "0.0.0.0")))
        return replace(one, release=replace(one.release, configuration=told))

    def workload(self) -> Revisions:
        d = self.place
        return Containers(LocalHost(), d / "state", SystemClock(), self.label, d / "secrets", check, nobody)

    def migrations(self) -> Any:
        d, workload = self.place, self.workload()
        assert isinstance(workload, Containers)
        return ContainerMigrations(workload.runtime, LocalHost(), d / "state", SystemClock(), d / "secrets")

    def containers(self) -> list[dict[str, object]]:
        """Return those of this site, running or not."""
        return [one for one in self.engine.containers() if self.label in str(one["Names"])]

    async def running(self) -> list[int]:
        return [self.engine.pid_of(str(one["Id"])) for one in self.containers() if one["State"] == "running"]

    def pid(self, instance: Instance) -> int:
        return self.engine.pid_of(instance.process.removeprefix("container "))

    async def end(self) -> None:
        if not self.engine.answers():
            self.engine.start()
        self.engine.clear()


async def nobody(registry: str, repository: str) -> Credential | None:
    """Nobody has logged in anywhere."""
    return None


async def until(holds: Callable[[], Awaitable[object]], what: str = "it") -> None:
    """Wait until it holds."""
    async with asyncio.timeout(DEADLINE):
        while not await holds():
            await asyncio.sleep(0.05)


async def seen(
    workload: Revisions, holds: Callable[[tuple[Instance, ...]], object], name: str = "web-1"
) -> tuple[Instance, ...]:
    """Wait until the instances are as wanted; return them."""
    end = asyncio.get_running_loop().time() + DEADLINE
    while not holds(found := await workload.instances(name)):
        assert asyncio.get_running_loop().time() < end, f"not in time; last seen: {found}"
        await asyncio.sleep(0.05)
    return found


def all_ready(count: int) -> Callable[[tuple[Instance, ...]], object]:
    return lambda found: len(found) == count and all(i.alive and i.ready for i in found)
