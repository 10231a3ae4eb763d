"""Which route is in force, was it taken, and is it true? An environment's routes: written, taken back, verified."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from interlock.adapters.traffic.envoy import config
from interlock.adapters.traffic.envoy.admin import Admin, rds
from interlock.adapters.traffic.envoy.config import Resource
from interlock.adapters.traffic.envoy.files import Files
from interlock.adapters.traffic.envoy.probes import Question, probe, weigh
from interlock.adapters.traffic.envoy.xds import Xds
from interlock.core.health import GRPC_HEALTH
from interlock.core.release import Entrance
from interlock.core.route import Route
from interlock.ports.clock import Clock
from interlock.ports.traffic import TrafficError, Verified

_WORKERS_FOLLOW_WITHIN = timedelta(milliseconds=250)


class Routes:
    """The routes of every environment: one live file each, and a prepared one beside it."""

    def __init__(self, files: Files, admin: Admin, xds: Xds, clock: Clock, *, retries: bool) -> None:
        self._files, self._admin, self._xds, self._clock, self._retries = files, admin, xds, clock, retries

    async def steer(self, route: Route) -> None:
        """Put the route in force."""
        table, version = self._table(route)
        await self._xds.publish(self._files.rds(route.environment), rds(route.environment), [table], version)

    def prepare(self, route: Route) -> None:
        """Write the route beside the live one."""
        table, version = self._table(route, prepared=True)
        if self._files.version(self._files.prepared(route.environment)) != version:
            self._files.put(self._files.prepared(route.environment), [table], version, durable=True)

    async def fall_back(self, environment: str) -> Route:
        """Rename the prepared route over the live one, which says so: a call repeated finds it in force already."""
        live, prepared = self._files.rds(environment), self._files.prepared(environment)
        renamed = self._files.read(prepared) is not None
        if renamed:
            self._files.rename(prepared, live)
        version = self._files.version(live) or ""
        read = config.read_route_version(environment, version)
        if read is None or not (renamed or read.prepared):
            raise TrafficError(f"no route of {environment} was prepared to fall back to; steer to one instead")
        await self._xds.taken(rds(environment), version)
        with suppress(TrafficError):  # on a full disk what is in force has to do
            self.prepare(read.route)
            if read.content != config.digest([self._table(read.route)[0]]):
                await self.steer(read.route)  # prepared for another entrance, or by an older version of us
        return read.route

    async def current(self, environment: str) -> Route | None:
        """Return the route that Envoy reports, None before there is one."""
        if self._files.version(self._files.rds(environment)) is None:
            return None
        version = (await self._admin.subscription(rds(environment))).version
        read = config.read_route_version(environment, version)
        if read is None:
            raise TrafficError(f"Envoy uses a route of {environment} that is not ours: its version is {version!r}")
        return read.route

    def ensure(self, environment: str) -> Path:
        """Have a live file, with a route to nobody when there was none; return where it is."""
        file = self._files.rds(environment)
        if self._written(environment) is None:
            table, version = self._table(Route(environment, None))
            self._files.put(file, [table], version)
        return file

    async def refresh(self, environment: str) -> None:
        """Write live and prepared route anew, when the entrance has changed under them."""
        await self.steer(self._written(environment) or Route(environment, None))
        prepared = config.read_route_version(environment, self._files.version(self._files.prepared(environment)) or "")
        if prepared:
            self.prepare(prepared.route)

    async def forget(self, environment: str, revision: str) -> None:
        """Drop a prepared route that names the revision; raise TrafficError when the live one does."""
        route = await self.current(environment)
        if route and revision in route.revisions:
            raise TrafficError(f"{revision} cannot be removed: the route of {environment} names it ({_words(route)})")
        file = self._files.prepared(environment)
        prepared = config.read_route_version(environment, self._files.version(file) or "")
        if prepared and revision in prepared.route.revisions:
            self._files.remove(file)

    async def verify(self, route: Route) -> Verified:
        """Compare version, then probes; those that differ are asked once more when every worker must have followed."""
        reason = await self._differs(route)
        if reason is not None:
            return Verified(False, reason)
        question = self._question(route)
        verified = weigh(route, await probe(question))
        if not verified.ok:
            await self._clock.sleep(_WORKERS_FOLLOW_WITHIN)
            verified = weigh(route, await probe(question))
        return verified

    async def _differs(self, route: Route) -> str | None:
        """Say how the route that Envoy reports, or its file, differs from this one; None when neither does."""
        table, _ = self._table(route)
        reported = (await self._admin.subscription(rds(route.environment))).version
        read = config.read_route_version(route.environment, reported)
        asked = f"{route.environment}: asked for {_words(route)}"
        if read is None or read.route != route:
            return f"{asked}; Envoy uses {_words(read.route) if read else 'no route of ours'}"
        if read.content != config.digest([table]):
            return f"{asked}; Envoy uses this route with other time-outs or another key; open the environment again"
        if self._files.version(self._files.rds(route.environment)) != reported:
            return f"{asked}, which Envoy uses; but its file says otherwise, and Envoy did not take it"
        return None

    def _question(self, route: Route) -> Question:
        entrance = self._entrance(route.environment)
        target = f"{_reachable(entrance.address)}:{entrance.port}"
        path, grpc = self._cheap(route)
        return Question(target, path, self._files.secret(route.revisions), entrance.sticky, grpc)

    def _cheap(self, route: Route) -> tuple[str, bool]:
        """Ask for what readiness asks for, which every instance answers cheaply; else a gRPC service for its health.

        "/" where neither is known. The second value says whether it is a call by gRPC.
        """
        clusters = self._files.resources(self._files.cds)
        found = [one for name in (route.canary, route.stable) if name and (one := config.named(clusters, name))]
        for one in found:
            if path := config.health_path(one):
                return path, False
            if config.speaks_grpc(one):
                return GRPC_HEALTH, True
        return "/", False

    def _table(self, route: Route, *, prepared: bool = False) -> tuple[Resource, str]:
        """Return the route's table and version; raise TrafficError when it could not work: nothing is written then."""
        entrance = self._entrance(route.environment)
        known = {cluster["name"] for cluster in self._files.resources(self._files.cds)}
        for revision in route.revisions:
            if revision not in known:
                raise TrafficError(f"the route of {route.environment} names {revision}, which was never admitted")
        table = config.route_table(route, entrance, self._files.secret(route.revisions), retries=self._retries)
        return table, config.route_version(route, table, prepared=prepared)

    def _entrance(self, environment: str) -> Entrance:
        entrance = self._files.entrance(environment)
        if entrance is None:
            raise TrafficError(f"{environment} was never opened; open it before its traffic is steered")
        return entrance

    def _written(self, environment: str) -> Route | None:
        read = config.read_route_version(environment, self._files.version(self._files.rds(environment)) or "")
        return read.route if read else None


def _words(route: Route) -> str:
    if route.canary is None:
        return f"all to {route.stable or 'nobody'}"
    return f"{route.weight} to {route.canary}, the rest to {route.stable or 'nobody'}"


def _reachable(address: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
