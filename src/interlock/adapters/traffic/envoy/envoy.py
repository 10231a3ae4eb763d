"""How do we have an Envoy on this machine carry the traffic? The port `Traffic`, by xDS files and an admin socket.

Its files are the whole state: whoever comes after us reads them back and goes on, and an Envoy that restarts serves at
once what they say. Every file is replaced by rename, and every change is read back from Envoy before it counts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from interlock.adapters.traffic.envoy import config
from interlock.adapters.traffic.envoy.admin import CDS, LDS, Admin, eds
from interlock.adapters.traffic.envoy.config import Resource
from interlock.adapters.traffic.envoy.cuts import LARGEST, cut_requests, older
from interlock.adapters.traffic.envoy.files import Files
from interlock.adapters.traffic.envoy.front import SharedFront
from interlock.adapters.traffic.envoy.keys import keys
from interlock.adapters.traffic.envoy.port import obstacle
from interlock.adapters.traffic.envoy.process import FLUSH, EnvoyProcess, socket_in
from interlock.adapters.traffic.envoy.routes import Routes
from interlock.adapters.traffic.envoy.shared import Claim
from interlock.adapters.traffic.envoy.xds import Xds
from interlock.core.release import Entrance, Revision
from interlock.core.route import Route
from interlock.ports.clock import Clock
from interlock.ports.host import Host, HostError, Process
from interlock.ports.traffic import TrafficError, Verified

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(milliseconds=100), timedelta(seconds=5)
_STEADY_AFTER = timedelta(seconds=10)
_LOOKS_AGAIN = timedelta(milliseconds=50)
_ATTEMPTS = 3


class Envoy:
    """One Envoy for every environment of a project.

    `directory` holds its files, `runtime` its admin socket (a short path), `label` finds its process again. Without
    `retries` a connection that is refused is a failed request: for benchmarks, which must not hide one. An entrance
    that shares its port has its own listener on loopback, behind the `front`.
    """

    def __init__(
        self,
        host: Host,
        directory: Path,
        runtime: Path,
        clock: Clock,
        label: str = "envoy",
        *,
        retries: bool = True,
        workers: int | None = None,
        front: SharedFront | None = None,
    ) -> None:
        self.socket = Path(socket_in(runtime))
        self._host, self._clock = host, clock
        self._admin = Admin(self.socket)
        self._files = Files(host, directory)
        self._process = EnvoyProcess(host, clock, self._admin, label, directory, workers or min(4, os.cpu_count() or 1))
        self._xds = Xds(self._files, self._admin, self._process, clock)
        self._routes = Routes(self._files, self._admin, self._xds, clock, retries=retries)
        self._starting, self._shaping = asyncio.Lock(), asyncio.Lock()
        self._closed = False
        self._front, self._owner = front, label.removesuffix("/envoy").replace(":", "-")

    # --- entrances

    async def open(self, environment: str, entrance: Entrance) -> None:
        _check_name("environment", environment)
        self._closed = False
        if entrance.front is None and self._front is not None:
            await self._front.withdraw(self._claimant(environment))
        own = await self._behind(environment, entrance)
        if not await self._listens(environment, own):
            self._check_port(environment, own)
        await self._ensure_running()
        async with self._shaping:
            await self._put_listener(environment, own)
        if own is not entrance:
            await self._share(environment, entrance, own)

    async def close(self, within: timedelta) -> None:
        self._closed = True
        if self._front is not None:
            for environment in self._environments():
                await self._front.withdraw(self._claimant(environment))
        async with self._starting:
            if await self._process.running() is not None:
                await self._finish(within)
            await self._process.stop()
            if self._files.read(self._files.lds):
                self._files.put(self._files.lds, [])

    async def supervise(self) -> None:
        """Keep Envoy running while an environment is open, and the one in front; when we are cancelled they live on."""
        if self._front is None:
            await self._supervise()
            return
        async with asyncio.TaskGroup() as both:
            both.create_task(self._supervise())
            both.create_task(self._front.supervise())

    async def _supervise(self) -> None:
        """Start it again when it has ended, with back-off."""
        pause = _FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            try:
                if self._wanted():
                    await self._process.watch(await self._ensure_running(), self._look_after)
            except (TrafficError, HostError):
                pass  # said to whoever asks something of us; here only time helps
            steady = self._clock.monotonic() - began > _STEADY_AFTER.total_seconds()
            pause = _FIRST_PAUSE if steady or not self._wanted() else min(2 * pause, _LONGEST_PAUSE)
            await self._clock.sleep(pause)

    def _claimant(self, environment: str) -> str:
        return f"{self._owner}-{environment}"

    async def _behind(self, environment: str, entrance: Entrance) -> Entrance:
        """Return the entrance on loopback that stands behind a shared port; the entrance itself where none is shared.

        The proxy in front appends the user's address to X-Forwarded-For: one hop more is believed than the file says.
        """
        if entrance.front is None:
            return entrance
        known = self._files.entrance(environment)
        port = known.port if known is not None and known.front is not None else await self._host.free_port()
        sticky = replace(entrance.sticky, trusted_hops=entrance.sticky.trusted_hops + 1)
        return replace(entrance, port=port, address="127.0.0.1", sticky=sticky)

    async def _share(self, environment: str, entrance: Entrance, own: Entrance) -> None:
        if self._front is None or entrance.front is None:
            raise TrafficError(f"{environment} is to share port {entrance.port}, and nothing is there to share it with")
        said = f"{environment} of {self._files.directory.parent}"
        target = f"{own.address}:{own.port}"
        owner = self._claimant(environment)
        await self._front.claim(Claim(owner, said, entrance.address, entrance.port, entrance.front, target))

    # --- endpoints

    async def admit(self, revision: Revision, addresses: tuple[str, ...]) -> None:
        _check_name("revision", revision.name)
        _, draining = self._endpoints(revision.name)
        fresh = not self._files.resources(self._files.eds(revision.name))
        if fresh:  # a cluster whose endpoint file is missing is rejected for good: the file comes first
            self._put_endpoints(revision.name, frozenset(addresses), frozenset())
        async with self._shaping:  # the preview comes first: once its instances are healthy, nobody admits it again
            await self._put_preview(revision.name)
            await self._put_clusters(revision)
        await self._publish_endpoints(revision.name, frozenset(addresses), draining - frozenset(addresses))

    async def healthy(self, revision: str) -> frozenset[str]:
        serving, _ = self._endpoints(revision)
        seen = await self._admin.endpoints(revision) if serving else {}
        return frozenset(address for address in serving if (one := (seen or {}).get(address)) and one.fit)

    async def drain(self, revision: str, addresses: tuple[str, ...]) -> None:
        serving, draining = self._endpoints(revision)
        leaving = (serving | draining) & frozenset(addresses)
        if leaving:
            await self._publish_endpoints(revision, serving - leaving, draining | leaving)

    async def in_flight(self, revision: str) -> Mapping[str, int]:
        serving, draining = self._endpoints(revision)
        flight = dict.fromkeys(sorted(serving | draining), 0)
        for cluster in (revision, config.preview_of(revision)):
            for address, one in (await self._admin.endpoints(cluster) or {}).items():
                flight[address] = flight.get(address, 0) + one.active
        return flight

    async def dismiss(self, revision: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        serving, draining = self._endpoints(revision)
        gone = frozenset(addresses)
        if not (serving | draining) & gone:
            return ()
        flight = await self.in_flight(revision)
        await self._publish_endpoints(revision, serving - gone, draining - gone)
        return tuple(f"a request at {address}" for address in sorted(gone) for _ in range(flight.get(address, 0)))

    async def cut_since(self, revision: str, mark: datetime) -> tuple[str, ...]:
        await self._clock.sleep(2 * FLUSH)
        clusters = (revision, config.preview_of(revision))
        try:
            return cut_requests(self._host, self._files.cuts, clusters, mark)
        except HostError as error:
            raise TrafficError(str(error)) from error

    async def forget(self, revision: str) -> None:
        for environment in self._environments():
            await self._routes.forget(environment, revision)
        names = (revision, config.preview_of(revision))
        async with self._shaping:
            await self._xds.publish(
                self._files.lds, LDS, config.without(self._files.resources(self._files.lds), names[1])
            )
            await self._xds.publish(
                self._files.cds, CDS, config.without(self._files.resources(self._files.cds), *names)
            )
        self._files.remove(self._files.eds(revision))

    def preview(self, revision: str) -> str:
        name = config.preview_of(revision)
        listener = config.named(self._files.resources(self._files.lds), name)
        if listener is None:
            raise TrafficError(f"{revision} has no preview: it was never admitted to the proxy, or is forgotten")
        address, port = config.port_of(listener)
        return f"http://{address}:{port}"

    # --- routes

    async def steer(self, route: Route) -> None:
        await self._routes.steer(route)

    async def prepare(self, route: Route) -> None:
        self._routes.prepare(route)

    async def fall_back(self, environment: str) -> Route:
        return await self._routes.fall_back(environment)

    async def route(self, environment: str) -> Route | None:
        return await self._routes.current(environment) if environment in self._environments() else None

    async def verify(self, route: Route) -> Verified:
        return await self._routes.verify(route)

    async def keys(self, environment: str, within: timedelta) -> frozenset[str]:
        entrance = self._files.entrance(environment)
        if entrance is None:
            raise TrafficError(f"{environment} was never opened; open it before its users are counted")
        return await keys(self.socket, environment, entrance.sticky, within)

    # --- what the files say

    def _wanted(self) -> bool:
        try:
            return not self._closed and bool(self._environments())
        except TrafficError:
            return False

    def _environments(self) -> tuple[str, ...]:
        names = (listener["name"] for listener in self._files.resources(self._files.lds))
        return tuple(name for name in names if config.proper(name))

    def _endpoints(self, revision: str) -> tuple[frozenset[str], frozenset[str]]:
        found = self._files.resources(self._files.eds(revision))
        return config.addresses(found[0]) if found else (frozenset(), frozenset())

    # --- telling Envoy

    def _put_endpoints(self, revision: str, serving: frozenset[str], draining: frozenset[str]) -> str:
        return self._files.put(self._files.eds(revision), [config.endpoints(revision, serving, draining)])

    async def _publish_endpoints(self, revision: str, serving: frozenset[str], draining: frozenset[str]) -> None:
        resources = [config.endpoints(revision, serving, draining)]
        await self._xds.publish(self._files.eds(revision), eds(revision), resources)
        await self._xds.taken(eds(config.preview_of(revision)), config.digest(resources))

    async def _put_clusters(self, revision: Revision) -> None:
        pair = config.clusters(revision, self._files.eds(revision.name))
        others = config.without(self._files.resources(self._files.cds), *(cluster["name"] for cluster in pair))
        await self._xds.publish(self._files.cds, CDS, sorted([*others, *pair], key=_name))

    async def _put_preview(self, revision: str) -> None:
        name = config.preview_of(revision)
        if name in await self._admin.listeners():
            return
        others = config.without(self._files.resources(self._files.lds), name)
        for attempt in range(_ATTEMPTS):  # a free port may be taken by another before Envoy has it
            listener = config.preview_listener(revision, await self._host.free_port(), self._files.cuts)
            try:
                await self._xds.publish(self._files.lds, LDS, [*others, listener])
                return
            except TrafficError:
                if attempt == _ATTEMPTS - 1:
                    self._files.put(self._files.lds, others)
                    raise

    async def _put_listener(self, environment: str, entrance: Entrance) -> None:
        """Publish listener and routes for this entrance; when Envoy refuses them, put back what was there."""
        files = (self._files.entrance_file(environment), self._files.rds(environment), self._files.lds)
        before = {file: self._files.read(file) for file in files}
        try:
            await self._enter(environment, entrance)
        except TrafficError as error:
            for file, content in before.items():
                self._files.restore(file, content)
            raise TrafficError(f"{environment} cannot be opened: {error}") from error

    async def _enter(self, environment: str, entrance: Entrance) -> None:
        self._files.put_entrance(environment, entrance)
        file = self._routes.ensure(environment)  # the file that a listener names has to be there first
        listener = config.public_listener(environment, entrance, file, self._files.cuts)
        others = config.without(self._files.resources(self._files.lds), environment)
        await self._xds.publish(self._files.lds, LDS, [*others, listener])
        await self._routes.refresh(environment)

    # --- the process

    async def _listens(self, environment: str, entrance: Entrance) -> bool:
        """Say whether Envoy listens there already; an Envoy that is only starting is waited for."""
        if await self._process.running() is None:
            return False
        await self._ensure_running()
        listener = config.named(self._files.resources(self._files.lds), environment)
        there = listener is not None and config.port_of(listener) == (entrance.address, entrance.port)
        return there and environment in await self._admin.listeners()

    def _check_port(self, environment: str, entrance: Entrance) -> None:
        for other in config.without(self._files.resources(self._files.lds), environment):
            if not _is_preview(other) and config.port_of(other)[1] == entrance.port:
                raise TrafficError(f"port {entrance.port} cannot be {environment}'s: it is the port of {other['name']}")
        reason = obstacle(entrance.address, entrance.port)
        if reason is not None:
            raise TrafficError(f"{environment} cannot be opened: {reason}")

    async def _ensure_running(self) -> Process:
        async with self._starting:
            if self._closed:
                raise TrafficError("the proxy is being stopped")
            if await self._process.running() is None:
                self._prepare_start()
            return await self._process.ensure()

    def _prepare_start(self) -> None:
        """Write what Envoy needs to find when it starts: it reads no file that was not there then."""
        self._files.write(self._files.boot, config.bootstrap(self._files.directory, self.socket))
        self._files.write(self.socket.with_name("envoy.of"), f"{self._files.directory}\n".encode())
        if not self._files.read(self._files.cds):
            self._files.put(self._files.cds, [config.nobody()])
        if not self._files.read(self._files.lds):
            self._files.put(self._files.lds, [])

    async def _look_after(self) -> None:
        """Listen where we should but do not (a port was taken when Envoy started), and keep the logs small."""
        async with self._shaping:
            wanted = self._files.resources(self._files.lds)
            listening = await self._admin.listeners()
            missing = [one for one in wanted if one["name"] not in listening]
            possible = [one for one in missing if _is_preview(one) or not obstacle(*config.port_of(one))]
            if possible and not self._closed:
                moved = [await self._elsewhere(one) if _is_preview(one) and one in missing else one for one in wanted]
                self._files.put(
                    self._files.lds, moved, f"{config.digest(moved)} once more at {self._clock.monotonic()}"
                )
        await self._limit_logs()

    async def _elsewhere(self, preview: Resource) -> Resource:
        return config.preview_listener(
            config.previewed(preview["name"]), await self._host.free_port(), self._files.cuts
        )

    async def _limit_logs(self) -> None:
        if _size(self._files.cuts) > LARGEST:
            self._files.rename(self._files.cuts, Path(older(self._files.cuts)))
            await self._admin.reopen_logs()
        if _size(self._process.log) > LARGEST:
            os.truncate(self._process.log, 0)  # it is appended to, so Envoy goes on at its start

    async def _finish(self, within: timedelta) -> None:
        """Accept nothing new, and wait until no request is under way."""
        deadline = self._clock.monotonic() + within.total_seconds()
        try:
            await self._admin.stop_listening()
            while await self._admin.under_way() and self._clock.monotonic() < deadline:
                await self._clock.sleep(_LOOKS_AGAIN)
        except TrafficError:
            return  # it does not even answer: what is under way there cannot be waited for


def _check_name(kind: str, name: str) -> None:
    if not config.proper(name):
        raise TrafficError(
            f'the {kind} "{name}" cannot be one of Envoy\'s names: expected letters, digits, "-" and "_"'
        )


def _name(resource: Resource) -> str:
    return str(resource["name"])


def _is_preview(listener: Resource) -> bool:
    return not config.proper(_name(listener))


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
