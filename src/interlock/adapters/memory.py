"""What would the world do? One world in memory behind every port, for tests, simulations and plans tried out.

Time stands still until everyone waits (see `VirtualLoop`), so hours pass in milliseconds and nothing depends on the
speed of a machine. The world keeps its own books: `violations` lists every moment in which an interlock did not hold.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from interlock.core.health import Answer, SmokeTest
from interlock.core.release import Entrance, Instance, Revision
from interlock.core.route import Route
from interlock.core.sample import Counters, Reading
from interlock.core.weight import NONE
from interlock.ports.metrics import MetricsError
from interlock.ports.traffic import TrafficError, Verified

T = TypeVar("T")

_SPREAD = ((0.5, 0.3), (1.0, 0.45), (2.0, 0.2), (3.0, 0.035), (4.0, 0.01), (6.0, 0.0045), (8.0, 0.0005))
"""How answers spread around the median: factor of the median -> share of the answers."""

EPOCH = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else is to be done."""

    def __init__(self) -> None:
        self.virtual = 0.0
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        select = selector.select

        def jump(timeout: float | None = None) -> Any:
            if timeout is not None and timeout > 0:
                self.virtual += timeout
                timeout = 0
            elif timeout is None:
                raise RuntimeError("everyone waits and nothing will ever happen: a wait without a deadline")
            return select(timeout)

        selector.select = jump  # type: ignore[method-assign]

    def time(self) -> float:
        """Return virtual seconds."""
        return self.virtual


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()


@dataclass(slots=True)
class Behaviour:
    """How a revision behaves: what share of its requests fails, how slow its median answer is, whether its instances live.

    `starts_in` is how long an instance takes to get ready; `dies_after` ends each one so long after it started.
    """

    error_rate: float = 0.0
    latency_ms: float = 20.0
    starts_in: timedelta = timedelta(seconds=1)
    never_ready: bool = False
    dies_after: timedelta | None = None
    hangs: bool = False
    smoke: Answer = Answer(True)


@dataclass(slots=True)
class _Copy:
    slot: int
    address: str
    since: float
    restarts: int = 0
    draining: bool = False
    admitted: bool = False


@dataclass(slots=True)
class World:
    """Every port at once. `calls` is the record of what was asked of it, `before_call` may raise to play a crash."""

    requests_per_second: float = 100.0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    prepared: dict[str, Route] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    blind: bool = False
    wall_offset: timedelta = timedelta(0)
    stuck: bool = False
    before_call: Callable[[str], None] = field(default=lambda call: None)
    boot: str = "boot-1"
    _revisions: dict[str, Revision] = field(default_factory=dict)
    _copies: dict[str, list[_Copy]] = field(default_factory=dict)
    _counters: dict[str, Counters] = field(default_factory=dict)
    _counted_at: dict[str, float] = field(default_factory=dict)
    _ports: int = 20000

    # --- clock

    def now(self) -> datetime:
        """Return the wall clock, which tests may make jump by `wall_offset`."""
        return EPOCH + timedelta(seconds=self.monotonic()) + self.wall_offset

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, duration: timedelta) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(duration.total_seconds())

    # --- workload

    async def ensure(self, revision: Revision, instances: int) -> None:
        """Launch what is missing."""
        self._call(f"ensure {revision.name} {instances}")
        self._revisions[revision.name] = revision
        copies = self._copies.setdefault(revision.name, [])
        while len(copies) < instances:
            self._ports += 1
            used = {copy.slot for copy in copies}
            slot = next(number for number in range(instances) if number not in used)
            copies.append(_Copy(slot, f"127.0.0.1:{self._ports}", self.monotonic()))

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        """Return what runs, restarting whatever has died meanwhile."""
        return tuple(self._observe(revision, copy) for copy in self._copies.get(revision, []))

    async def environments(self) -> tuple[str, ...]:
        """Return where something runs."""
        return tuple({self._revisions[name].environment for name, copies in self._copies.items() if copies})

    async def revisions(self, environment: str) -> tuple[Revision, ...]:
        """Return what runs there."""
        return tuple(
            revision
            for name, revision in self._revisions.items()
            if revision.environment == environment and self._copies.get(name)
        )

    async def stop(self, revision: str, slots: tuple[int, ...]) -> tuple[int, ...]:
        """Stop at once."""
        self._call(f"stop {revision} {len(slots)}")
        share = self._share(revision)
        self._copies[revision] = [copy for copy in self._copies.get(revision, []) if copy.slot not in slots]
        if share != NONE and not self._copies[revision]:
            self.violations.append(f"{revision} stopped with {share}")
        return ()

    async def log_tail(self, revision: str, lines: int) -> tuple[str, ...]:
        """Return no lines."""
        return ()

    # --- traffic

    async def open(self, environment: str, entrance: Entrance) -> None:
        """Have a listener."""
        self._call(f"open {environment}")
        self.routes.setdefault(environment, Route(environment, None))

    async def admit(self, revision: Revision, addresses: tuple[str, ...]) -> None:
        """Make these the endpoints."""
        self._call(f"admit {revision.name} {len(addresses)}")
        for copy in self._copies.get(revision.name, []):
            copy.admitted = copy.address in addresses
            copy.draining = copy.draining and not copy.admitted

    async def healthy(self, revision: str) -> frozenset[str]:
        """Return the admitted addresses whose instances are ready."""
        self._fail_when_stuck()
        return frozenset(
            copy.address
            for copy in self._copies.get(revision, [])
            if copy.admitted and not copy.draining and self._observe(revision, copy).ready
        )

    async def steer(self, route: Route) -> None:
        """Put the route in force, and note when that breaks an interlock."""
        self._call(f"steer {route.environment} {route.weight}")
        self._fail_when_stuck()
        self._put(route)

    async def prepare(self, route: Route) -> None:
        """Remember the way back."""
        self._call(f"prepare {route.environment}")
        self.prepared[route.environment] = route

    async def fall_back(self, environment: str) -> Route:
        """Put the prepared route in force."""
        self._call(f"fall back {environment}")
        self._fail_when_stuck()
        if environment not in self.prepared:
            raise TrafficError(f"{environment}: no way back was prepared")
        self._put(self.prepared[environment])
        return self.prepared[environment]

    async def route(self, environment: str) -> Route | None:
        """Return the route in force."""
        return self.routes.get(environment)

    async def verify(self, route: Route) -> Verified:
        """Compare."""
        ok = self.routes.get(route.environment) == route
        return Verified(ok, "" if ok else f"{self.routes.get(route.environment)} is in force")

    async def drain(self, revision: str, addresses: tuple[str, ...]) -> None:
        """Mark as draining."""
        self._call(f"drain {revision} {len(addresses)}")
        for copy in self._copies.get(revision, []):
            copy.draining = copy.draining or copy.address in addresses
        self._check(revision)

    async def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return zero everywhere."""
        return {copy.address: 0 for copy in self._copies.get(revision, [])}

    async def dismiss(self, revision: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Remove endpoints; only drained ones may go."""
        self._call(f"dismiss {revision} {len(addresses)}")
        for copy in self._copies.get(revision, []):
            if copy.address in addresses:
                if copy.admitted and not copy.draining:
                    self.violations.append(f"{copy.address} of {revision} dismissed without a drain")
                copy.admitted = False
        return ()

    async def cut_since(self, revision: str, mark: datetime) -> tuple[str, ...]:
        """Nothing is ever cut here."""
        return ()

    async def forget(self, revision: str) -> None:
        """Remove the revision; a route must not name it."""
        self._call(f"forget {revision}")
        for route in self.routes.values():
            if revision in route.revisions:
                self.violations.append(f"{revision} forgotten while {route} names it")
        self._copies.pop(revision, None)

    def preview(self, revision: str) -> str:
        """Return a URL that nobody asks."""
        return f"memory://{revision}"

    async def close(self, within: timedelta) -> None:
        """Forget all routes."""
        self.routes.clear()

    # --- metrics and probes

    async def read(self, revisions: tuple[str, ...]) -> Reading:
        """Return counters that have grown by the traffic since they were last read."""
        if self.blind:
            raise MetricsError("the proxy does not answer")
        counted = {name: {"memory": self._count(name)} for name in revisions if name in self._copies}
        return Reading(self.monotonic(), self.boot, counted)

    async def smoke(self, test: SmokeTest, revision: Revision, preview: str) -> Answer:
        """Answer as the behaviour says."""
        return self._behaviour(revision.name).smoke

    async def identify(self, revision: Revision, preview: str) -> Answer:
        """Answer as the right release."""
        return Answer(True)

    # --- its own books

    def weight(self, environment: str) -> int:
        """Return the canary's share in basis points as users see it."""
        route = self.routes.get(environment)
        return 0 if route is None else route.weight.points

    def _call(self, call: str) -> None:
        self.calls.append(call)
        self.before_call(call)

    def _fail_when_stuck(self) -> None:
        if self.stuck:
            raise TrafficError("the proxy does not answer")

    def _behaviour(self, revision: str) -> Behaviour:
        return self.behaviours.setdefault(revision, Behaviour())

    def _observe(self, revision: str, copy: _Copy) -> Instance:
        behaviour, now = self._behaviour(revision), self.monotonic()
        if behaviour.dies_after is not None and now - copy.since > behaviour.dies_after.total_seconds():
            copy.since, copy.restarts = now, copy.restarts + 1
        ready = not behaviour.never_ready and now - copy.since >= behaviour.starts_in.total_seconds()
        return Instance(revision, copy.slot, copy.address, True, ready, copy.restarts, "" if ready else "not ready yet")

    def _ready(self, revision: str) -> int:
        return sum(
            1
            for copy in self._copies.get(revision, [])
            if copy.admitted and not copy.draining and self._observe(revision, copy).ready
        )

    def _share(self, revision: str) -> Any:
        route = self.routes.get(self._revisions[revision].environment) if revision in self._revisions else None
        return NONE if route is None else route.share(revision)

    def _put(self, route: Route) -> None:
        for name in self._copies:
            self._count(name)
        before = self.routes.get(route.environment)
        self.routes[route.environment] = route
        for name in route.revisions:
            if before is None or route.share(name) > before.share(name):
                self._check(name)

    def _check(self, revision: str) -> None:
        share = self._share(revision)
        if share == NONE or revision not in self._revisions:
            return
        needed = max(1, share.needs(self._revisions[revision].release.configuration.instances))
        if self._ready(revision) < needed:
            self.violations.append(f"{share} on {revision} with {self._ready(revision)} ready of {needed} needed")

    def _count(self, revision: str) -> Counters:
        now, before = self.monotonic(), self._counters.get(revision, Counters())
        seconds = now - self._counted_at.get(revision, now)
        behaviour = self._behaviour(revision)
        requests = self.requests_per_second * seconds * self._share(revision).share
        failed = requests if not self._ready(revision) else requests * behaviour.error_rate
        latency = dict(before.latency)
        for factor, part in _SPREAD:
            edge = behaviour.latency_ms * factor
            latency[edge] = latency.get(edge, 0.0) + requests * part
        answered = 0.0 if behaviour.hangs else requests
        self._counted_at[revision] = now
        self._counters[revision] = Counters(
            before.started + requests,
            before.completed + answered,
            before.failed + (0.0 if behaviour.hangs else failed),
            before.latency if behaviour.hangs else latency,
        )
        return self._counters[revision]
