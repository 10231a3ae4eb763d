"""How is traffic steered on several machines as if there were one proxy? The port `Traffic` over many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from interlock.adapters.host.fleet.fleet import Fleet, everywhere, parted
from interlock.adapters.host.fleet.member import Member
from interlock.adapters.host.fleet.workload import rows
from interlock.core.release import Entrance, Revision
from interlock.core.route import Route
from interlock.ports.traffic import TrafficError, Verified
from interlock.ports.workload import WorkloadError


class ManyTraffic:
    """Each machine has its own proxy. A step is over when it is over on each; one that fails fails it for all."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def open(self, environment: str, entrance: Entrance) -> None:
        self._fleet.settle(environment, entrance.hosts)
        await everywhere(self._fleet.of(environment), lambda one: one.traffic.open(environment, entrance), TrafficError)

    async def admit(self, revision: Revision, addresses: tuple[str, ...]) -> None:
        name = revision.name
        self._fleet.lodge(name, revision.environment)
        await self._fleet.each(
            name, lambda one: one.traffic.admit(revision, self._on(one, name, addresses)), TrafficError
        )

    async def healthy(self, revision: str) -> frozenset[str]:
        members, found = await self._fleet.each(revision, lambda one: one.traffic.healthy(revision), TrafficError)
        if self._fleet.alone(revision):
            return found[0]
        well = {one.name: addresses for one, addresses in zip(members, found, strict=True)}
        return frozenset(
            row for row in await self._rows(revision) if all(parted(row, name) in well[name] for name in well)
        )

    async def steer(self, route: Route) -> None:
        await everywhere(self._fleet.of(route.environment), lambda one: one.traffic.steer(route), TrafficError)

    async def prepare(self, route: Route) -> None:
        self._fleet.goes_back_to(route.environment, route.stable)
        await everywhere(self._fleet.of(route.environment), lambda one: one.traffic.prepare(route), TrafficError)

    async def fall_back(self, environment: str) -> Route:
        members = self._fleet.of(environment)
        routes = await everywhere(members, lambda one: one.traffic.fall_back(environment), TrafficError)
        return _furthest(routes)

    async def route(self, environment: str) -> Route | None:
        """Where machines differ, as somebody was killed in the middle of a step, it is the one with the highest weight.

        `verify` says then that they differ, and the step is taken again on all.
        """
        members = self._fleet.present(self._fleet.of(environment))
        routes = await everywhere(members, lambda one: one.traffic.route(environment), TrafficError)
        known = [route for route in routes if route is not None]
        return _furthest(known) if known else None

    async def verify(self, route: Route) -> Verified:
        members = self._fleet.of(route.environment)
        found = await everywhere(members, lambda one: one.traffic.verify(route), TrafficError)
        if len(members) == 1:
            return found[0]
        wrong = [f"{one.name}: {said.reason}" for one, said in zip(members, found, strict=True) if not said.ok]
        return Verified(
            not wrong, "; ".join(wrong), sum(one.probes for one in found), sum(one.on_canary for one in found)
        )

    async def keys(self, environment: str, within: timedelta) -> frozenset[str]:
        members = self._fleet.of(environment)
        return frozenset().union(
            *await everywhere(members, lambda one: one.traffic.keys(environment, within), TrafficError)
        )

    async def drain(self, revision: str, addresses: tuple[str, ...]) -> None:
        await self._fleet.each(
            revision, lambda one: one.traffic.drain(revision, self._on(one, revision, addresses)), TrafficError
        )

    async def in_flight(self, revision: str) -> Mapping[str, int]:
        members, found = await self._fleet.each(revision, lambda one: one.traffic.in_flight(revision), TrafficError)
        if self._fleet.alone(revision):
            return found[0]
        named = {one.name: flight for one, flight in zip(members, found, strict=True)}
        return {
            row: sum(flight.get(parted(row, name) or "", 0) for name, flight in named.items())
            for row in await self._rows(revision)
        }

    async def dismiss(self, revision: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        members, found = await self._fleet.each(
            revision, lambda one: one.traffic.dismiss(revision, self._on(one, revision, addresses)), TrafficError
        )
        return _named(members, found)

    async def cut_since(self, revision: str, mark: datetime) -> tuple[str, ...]:
        members = self._fleet.of_revision(revision)
        return _named(
            members, await everywhere(members, lambda one: one.traffic.cut_since(revision, mark), TrafficError)
        )

    async def forget(self, revision: str) -> None:
        await everywhere(self._fleet.of_revision(revision), lambda one: one.traffic.forget(revision), TrafficError)
        self._fleet.leave(revision)

    def preview(self, revision: str) -> str:
        """Return this machine's; what is asked of it is asked of the others by `ManyProber`."""
        return self._fleet.own.traffic.preview(revision)

    async def close(self, within: timedelta) -> None:
        await self._fleet.own.traffic.close(within)

    def _on(self, one: Member, revision: str, addresses: Iterable[str]) -> tuple[str, ...]:
        """Return the addresses as that machine has them."""
        if self._fleet.alone(revision):
            return tuple(addresses)
        return tuple(own for address in addresses if (own := parted(address, one.name)) is not None)

    async def _rows(self, revision: str) -> tuple[str, ...]:
        try:
            members, found = await self._fleet.each(
                revision, lambda one: one.workload.instances(revision), WorkloadError
            )
        except WorkloadError as error:
            raise TrafficError(str(error)) from error
        return tuple(row.address for row in rows(members, found))


def _furthest(routes: Iterable[Route]) -> Route:
    return max(routes, key=lambda route: (route.canary is not None, route.weight.points))


def _named(members: tuple[Member, ...], found: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    if len(members) == 1:
        return found[0]
    return tuple(f"{what} at {one.name}" for one, said in zip(members, found, strict=True) for what in said)
