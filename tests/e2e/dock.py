"""What does a town need whose releases run as containers? An engine and a registry; all else is the same."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.town import ENVIRONMENT, Town, Wish, _configuration
from tests.engines import PYTHON, Engine, Registry, container

from interlock.core.release import Artefact, Configuration

LABEL = "io.interlock"


class Dock(Town):
    """A town whose instances are containers with the very same service, in images that are pulled by digest."""

    def __init__(self, place: Path, engine: Engine, registry: Registry) -> None:
        super().__init__(place)
        self.engine, self.registry = engine, registry
        self.reach = "auto"

    def _artefact(self, wish: Wish) -> Artefact:
        service = (Path(__file__).parent / "service.py").read_bytes()
        manners = json.dumps({"version": wish.version, **wish.manners}).encode()
        files = {"app/service.py": service, "app/manners.json": manners}
        return self.registry.push("town/shop", wish.version, files)

    def _configuration(self, wish: Wish) -> Configuration:
        told = (("HOST", "0.0.0.0"), *wish.environment)
        own = container(self.engine)
        own = replace(own, volumes=(*own.volumes, f"{self.place}:{self.place}"), init=False)
        command = (PYTHON, "-I", "-S", "service.py")
        return replace(_configuration(wish), command=command, environment=told, container=own)

    async def containers(self) -> list[dict[str, Any]]:
        """Return all of this town's, running or not."""
        found = await asyncio.to_thread(self.engine.containers)
        mine: list[dict[str, Any]] = [one for one in found if _labels(one).get(f"{LABEL}.state") == self.state.name]
        return mine

    async def processes(self, revision: str = "") -> list[int]:
        """Return the pids of all instances, or of one revision's, as this machine sees them."""
        wanted = [
            one
            for one in await self.containers()
            if one["State"] == "running" and revision in ("", _labels(one)[f"{LABEL}.revision"])
        ]
        return [await asyncio.to_thread(self.engine.pid_of, one["Id"]) for one in wanted]

    async def instances(self) -> list[str]:
        """Return what stands for their labels; what is left of one that runs no more counts too."""
        parts = [(_labels(one)[f"{LABEL}.revision"], _labels(one)[f"{LABEL}.slot"]) for one in await self.containers()]
        return [f"{self.state.label}/{ENVIRONMENT}/{revision}/{slot}" for revision, slot in parts]

    async def end(self) -> None:
        """Stop all that runs, however it stands."""
        await super().end()
        if not self.engine.answers():
            await asyncio.to_thread(self.engine.start)
        await asyncio.to_thread(self.engine.clear)


@asynccontextmanager
async def a_dock(engine: Engine, registry: Registry) -> AsyncIterator[Dock]:
    """Give a town of containers whose keeper runs, and leave nothing of it."""
    dock = Dock(Path(tempfile.mkdtemp(prefix="interlock-")), engine, registry)
    try:
        await dock.begin()
        yield dock
    finally:
        await dock.end()
        shutil.rmtree(dock.place, ignore_errors=True)


def _labels(one: dict[str, Any]) -> dict[str, str]:
    return one.get("Labels") or {}
