"""How do revisions run as containers of Docker or Podman?

An engine keeps a container that ended running by itself ("unless-stopped"), also after a reboot and while no keeper is
there. So a slot that finds its container in another life has nothing to start: it takes that life for its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from interlock.adapters.secrets import kept
from interlock.adapters.workload.containers.engine import Engine, EngineError, Json, Seen
from interlock.adapters.workload.containers.images import Credentials, Images
from interlock.adapters.workload.containers.life import ContainerLife, Handle
from interlock.adapters.workload.containers.places import LOOPBACK, Engines, Network, reach, reached
from interlock.adapters.workload.containers.spec import ADDRESS, ENVIRONMENT, REVISION, SLOT, STATE, Spec, name_of
from interlock.adapters.workload.slots import (
    Check,
    Found,
    Life,
    Place,
    PlaceTaken,
    Revisions,
    bindable,
)
from interlock.core.container import Reach
from interlock.core.release import Revision
from interlock.core.secrecy import hidden
from interlock.ports.clock import Clock
from interlock.ports.host import Host, HostError
from interlock.ports.workload import WorkloadError

_logger = logging.getLogger(__name__)
_KEPT_LINES = 2000
_RESTARTS_WITHIN = timedelta(seconds=70)  # an engine waits a minute at the most
_LOOK_EVERY = timedelta(seconds=0.5)


class ContainerRuntime:
    """Runs instances as containers. `state` is the short name of the state directory: our labels and names have it."""

    def __init__(
        self, host: Host, directory: Path, state: str, secrets: Path, check: Check, credentials: Credentials
    ) -> None:
        self._host, self.state, self._secrets, self._check = host, state, secrets, check
        self._logs, self._files = directory / "logs", directory / "secrets"
        self.engines = Engines(host, directory / "engines")
        self.images = Images(host, directory / "images", credentials)
        self._networks: dict[str, Network] = {}
        self._silent: set[str] = set()

    def runs(self, revision: Revision) -> bool:
        return revision.release.configuration.container is not None

    async def fetch(self, revision: Revision) -> None:
        """Have the image at the engine."""
        spec = self.spec(revision)
        await self.images.have(self.engines.of(spec.container), spec.image, spec.login())

    async def launchable(self, revision: Revision) -> None:
        """Have the image at the engine, and say when a secret is missing."""
        spec = self.spec(revision)
        spec.body(0, Place(0))
        await self.images.have(self.engines.of(spec.container), spec.image, spec.login())

    async def place(self, revision: Revision, taken: Collection[Place]) -> Place:
        container = self.spec(revision).container
        engine = self.engines.of(container)
        if await reach(engine, container) is Reach.BRIDGE:
            return await self.network(engine).free(container.port, taken)
        ports = {place.port for place in taken if place.host == LOOPBACK}
        while (port := await self._host.free_port()) in ports:
            pass
        return Place(port)

    async def start(self, revision: Revision, slot: int, place: Place) -> Life:
        spec = self.spec(revision)
        engine, name = self.engines.of(spec.container), spec.name(slot)
        if reached(spec.container, place) is Reach.BRIDGE:
            await self.network(engine).fits(place)
        seen = await self._up(engine, name)
        if seen is not None and seen.labels.get(ADDRESS) != place.address:
            await engine.remove(name)
            seen = None
        if seen is None:
            await self._create(engine, spec, slot, place)
        if seen is None or not seen.running:
            await self._begin(engine, spec, name, place)
            seen = await engine.inspect(name)
        return self._life(spec, Handle(engine.address, name, seen.started if seen else ""), engine, place)

    async def _up(self, engine: Engine, name: str) -> Seen | None:
        """Return the container, None when there is none; one that its engine is starting again is waited for."""
        waited = timedelta(0)
        seen = await engine.inspect(name)
        while seen is not None and seen.restarting:
            if waited >= _RESTARTS_WITHIN:
                raise WorkloadError(f"{name}: the engine has been starting it again for {waited.total_seconds():g} s")
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            waited += _LOOK_EVERY
            seen = await engine.inspect(name)
        return seen

    async def _create(self, engine: Engine, spec: Spec, slot: int, place: Place) -> None:
        await self.images.have(engine, spec.image, spec.login())
        way = reached(spec.container, place)
        if way is not Reach.HOST:
            await self.network(engine).made()
        spec.hand_out()
        await engine.create(spec.name(slot), spec.body(slot, place))
        for network in () if way is Reach.HOST else spec.container.networks:
            await engine.join(network, spec.name(slot))

    async def _begin(self, engine: Engine, spec: Spec, name: str, place: Place) -> None:
        way = reached(spec.container, place)
        if way is Reach.HOST and not bindable(place.port, reuse=True):
            raise PlaceTaken(f"port {place.port} is taken")
        try:
            await engine.start(name)
        except EngineError as error:
            said = str(error).lower()
            if way is Reach.LOOPBACK and not bindable(place.port, reuse=True):
                raise PlaceTaken(str(error)) from error
            if way is Reach.BRIDGE and ("already in use" in said or "already allocated" in said):
                raise PlaceTaken(str(error)) from error
            raise

    def life(self, revision: Revision, slot: int, place: Place, handle: object | None) -> Life:
        spec = self.spec(revision)
        engine = self.engines.of(spec.container)
        believed = Handle(engine.address, spec.name(slot))
        return self._life(spec, handle if isinstance(handle, Handle) else believed, engine, place)

    async def find(self) -> tuple[Found, ...]:
        found: list[Found] = []
        self._silent.clear()
        for engine in self.engines.used():
            try:
                found += [one for raw in await engine.labelled(STATE, self.state) for one in _found(engine, raw)]
            except EngineError as problem:
                _logger.warning("%s", problem)
                self._silent.add(engine.address)
        return tuple(found)

    def sure(self, revision: Revision) -> bool:
        return self.engines.meant(self.spec(revision).container) not in self._silent

    async def retire(self, found: Found, within: timedelta) -> bool:
        """Stop it, keep the end of its log in a file, remove it. Whoever lost sight of it looks at every engine."""
        handle, log = found.handle, f"{found.revision}-{found.slot}"
        if isinstance(handle, Handle):
            return bool(await self._retire_at(self.engines.at(handle.engine), handle.name, log, within))
        ended: list[bool] = []
        silent: EngineError | None = None
        for engine in self.engines.used():
            try:
                killed = await self._retire_at(engine, name_of(self.state, found.revision, found.slot), log, within)
                ended += [] if killed is None else [killed]
            except EngineError as problem:
                silent = problem
        if silent is not None and not ended:
            raise silent
        return any(ended)

    async def _retire_at(self, engine: Engine, name: str, log: str, within: timedelta) -> bool | None:
        """Do so at one engine; say whether it had to be killed, None when it is not there."""
        if await engine.inspect(name) is None:
            return None
        await engine.stop(name, within)
        seen = await engine.inspect(name)
        await self._keep_log(engine, name, log)
        await engine.remove(name)
        return seen is not None and seen.killed

    async def _keep_log(self, engine: Engine, container: str, name: str) -> None:
        """Keep the end of a log: why something failed is asked when its container has gone. A full disk keeps none."""
        try:
            written = hidden(await engine.log(container, _KEPT_LINES), kept(self._secrets))
            self._host.write(self._logs / f"{name}.log", written.encode(), mode=0o600)
        except (EngineError, HostError):
            return

    async def forget(self, revision: str) -> None:
        self._host.remove(self._files / revision)

    async def tails(self, revision: str, lines: int) -> Mapping[str, tuple[str, ...]]:
        written: dict[str, tuple[str, ...]] = {}
        for engine in self.engines.used():
            for raw in await engine.labelled(STATE, self.state):
                labels = raw.get("Labels") or {}
                if labels.get(REVISION) == revision and lines > 0:
                    text = await engine.log(raw["Id"], lines)
                    written[labels.get(SLOT, "?")] = tuple(text.splitlines())
        return written

    async def prune(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove the images that we pulled, but for these digests; return what went. Raises WorkloadError."""
        return await self.images.prune(self.engines.at, keep)

    async def close(self) -> None:
        """Leave no network behind, where nothing is in it. Raises WorkloadError."""
        for engine in self.engines.used():
            await self.network(engine).remove()

    def network(self, engine: Engine) -> Network:
        """Return the network of this state directory at an engine."""
        made = Network(engine, f"interlock-{self.state}", self.state)
        return self._networks.setdefault(engine.address, made)

    def spec(self, revision: Revision) -> Spec:
        """Return what the revision's containers are made from."""
        return Spec(self._host, revision, self.state, f"interlock-{self.state}", self._secrets, self._files)

    def _life(self, spec: Spec, handle: Handle, engine: Engine, place: Place) -> Life:
        return ContainerLife(handle, engine, spec, place, self._check)


class Containers(Revisions):
    """Revisions as containers, and nothing else."""

    def __init__(
        self,
        host: Host,
        directory: Path,
        clock: Clock,
        state: str,
        secrets: Path,
        check: Check,
        credentials: Credentials,
    ) -> None:
        self.runtime = ContainerRuntime(host, directory, state, secrets, check, credentials)
        super().__init__(host, directory, clock, secrets, (self.runtime,))


def _found(engine: Engine, raw: Json) -> Iterator[Found]:
    """Yield the instance that a container is; others that run under our label are none."""
    labels = raw.get("Labels") or {}
    slot, name = str(labels.get(SLOT, "")), str((raw.get("Names") or [raw["Id"]])[0]).lstrip("/")
    if slot.isdecimal():
        alive = raw.get("State") == "running"
        handle = Handle(engine.address, name)
        yield Found(str(labels.get(ENVIRONMENT, "")), str(labels.get(REVISION, "")), int(slot), handle, alive)
