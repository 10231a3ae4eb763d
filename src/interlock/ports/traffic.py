"""What may we ask of the data plane?

Order matters, and the engine keeps it: `admit` endpoints, wait until `healthy` names them, `steer` weight, observe with
`verify`, `drain` endpoints, wait until `in_flight` is zero, `dismiss` them, and `forget` the revision once no route
names it. Membership and weight never change in one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from interlock.core.release import Entrance, Revision
from interlock.core.route import Route


class TrafficError(Exception):
    """The data plane did not take what it was given; the message says what was asked, what it has, what to do."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What the data plane says of a route: `ok`, or why not.

    `probes` counts our own requests, `on_canary` those the canary answered. They are in no user's counters.
    """

    ok: bool
    reason: str
    probes: int = 0
    on_canary: int = 0


class Traffic(Protocol):
    """The proxy in front of every environment. Every verb names a state to reach."""

    async def open(self, environment: str, entrance: Entrance) -> None:
        """Have the proxy running and the environment's public listener open. Raises TrafficError (port taken, …)."""

    async def admit(self, revision: Revision, addresses: tuple[str, ...]) -> None:
        """Make exactly these the revision's serving endpoints, beside those that drain. No weight changes."""

    async def healthy(self, revision: str) -> frozenset[str]:
        """Return the addresses that the data plane itself finds healthy and would send requests to."""

    async def steer(self, route: Route) -> None:
        """Publish the route; return when the proxy reports that it uses it. Raises TrafficError when it does not."""

    async def prepare(self, route: Route) -> None:
        """Write the route, durably, beside the live one, so that `fall_back` is one rename that needs no disk space."""

    async def fall_back(self, environment: str) -> Route:
        """Put the prepared route in force; return it when the proxy reports that it uses it."""

    async def route(self, environment: str) -> Route | None:
        """Return the route that the proxy uses now, None when the environment was never opened."""

    async def verify(self, route: Route) -> Verified:
        """Compare the route with the data plane: the version it reports, and random-key probes of our own within the
        binomial bound at 1e-6."""

    async def keys(self, environment: str, within: timedelta) -> frozenset[str]:
        """Return which users ask during `within`, as opaque names of their keys; raise TrafficError when nobody knows.

        It costs the proxy something, and is asked only in doubt.
        """

    async def drain(self, revision: str, addresses: tuple[str, ...]) -> None:
        """Send no new requests to these endpoints; those under way go on."""

    async def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return the number of requests under way at each endpoint of the revision."""

    async def dismiss(self, revision: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Remove these endpoints; return the requests still under way there, as well as the proxy can name them.

        They go on until their instances are stopped; only then is it known which were cut: see `cut_since`.
        """

    async def cut_since(self, revision: str, mark: datetime) -> tuple[str, ...]:
        """Return the requests that instances of the revision broke off since then, by method and path without query."""

    async def forget(self, revision: str) -> None:
        """Remove the revision from the proxy; raises TrafficError when a route still names it."""

    def preview(self, revision: str) -> str:
        """Return the loopback URL that reaches only this revision and stays out of its users' counters."""

    async def close(self, within: timedelta) -> None:
        """Stop the proxy, letting requests under way finish for at most `within`."""
