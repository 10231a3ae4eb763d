"""Which images are on the machine because of us, how do they get there, and when do they go?

Only what we pulled ourselves is removed again: it is written down before the engine is asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from interlock.adapters.workload.containers.engine import Engine, EngineError
from interlock.core.image import Image
from interlock.ports.host import Host
from interlock.ports.images import Credential, ImageError
from interlock.ports.workload import WorkloadError

Credentials = Callable[[str, str], Awaitable[Credential | None]]
"""Says who we are to a registry, and there to a repository; None is nobody."""


class Images:
    """The images of one state directory. `directory` has a file for each that we pulled, named by its digest."""

    def __init__(self, host: Host, directory: Path, credentials: Credentials) -> None:
        self._host, self._directory, self._credentials = host, directory, credentials
        self._pulling: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def have(self, engine: Engine, image: Image, login: Credential | None = None) -> None:
        """Have an image at an engine, by its digest. Whoever is cancelled while it is pulled does not end the pull.

        `login` is who pulls; without it whoever we are to that registry otherwise.

        Raises WorkloadError.
        """
        key = (engine.address, image.pinned)
        if key not in self._pulling:
            if await engine.has(image.pinned):
                return
            task = self._pulling[key] = asyncio.create_task(self._pull(engine, image, login))
            task.add_done_callback(lambda _: self._pulling.pop(key, None))
        await asyncio.shield(self._pulling[key])

    async def _pull(self, engine: Engine, image: Image, login: Credential | None) -> None:
        self._host.write(self._file(image), f"{engine.address} {image.pinned}\n".encode(), mode=0o600)
        try:
            credential = login or await self._credentials(image.registry, image.repository)
        except ImageError as error:
            raise WorkloadError(f"{image.pinned} cannot be pulled: {error}") from error
        await engine.pull(image.name, image.digest, credential, plain=on_loopback(image.registry))
        if not await engine.has(image.pinned):
            raise EngineError(f"{image.pinned} was pulled by {engine.address}, which does not have it", 502)

    async def prune(self, at: Callable[[str], Engine], keep: Collection[str]) -> tuple[str, ...]:
        """Remove what we pulled and nobody needs: all but the digests in `keep`; return what went.

        What an engine still uses stays, and is tried again.
        """
        gone = []
        for path in sorted(self._directory.glob("*")) if self._directory.is_dir() else ():
            address, _, pinned = (self._host.read(path) or b"").decode(errors="replace").strip().partition(" ")
            if not pinned or pinned.rpartition("@")[2] in keep:
                continue
            if await at(address).remove_image(pinned):
                self._host.remove(path)
                gone.append(pinned)
        return tuple(gone)

    def _file(self, image: Image) -> Path:
        return self._directory / image.digest.rpartition(":")[2]


def on_loopback(registry: str) -> bool:
    """Say whether a registry is on this machine, where plain HTTP is spoken."""
    name = registry.rpartition(":")[0] if registry.rpartition(":")[2].isdecimal() else registry
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
