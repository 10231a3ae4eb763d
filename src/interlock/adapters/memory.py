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
from interlock.core.metric import Counted, Metric
from interlock.core.release import Entrance, Instance, Revision
from interlock.core.route import Route
from interlock.core.sample import Counters, Events, Reading
from interlock.core.steps import Load
from interlock.core.weight import NONE, Weight
from interlock.ports.metrics import MetricsError
from interlock.ports.traffic import TrafficError, Verified
from interlock.ports.workload import WorkloadError

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
    """How a revision behaves: what share of its requests fails, how slow its median is, whether its instances live.

    `starts_in` is how long an instance takes to get ready; `dies_after` ends each one so long after it started.
    `answers_within` is how long its longest request takes: so long a draining instance is busy. `launches` is False for
    a revision whose program is missing. `bad_events` is the share of bad ones that the application itself counts.
    """

    error_rate: float = 0.0
    latency_ms: float = 20.0
    starts_in: timedelta = timedelta(seconds=1)
    never_ready: bool = False
    dies_after: timedelta | None = None
    hangs: bool = False
    smoke: Answer = Answer(True)
    answers_within: timedelta = timedelta(0)
    launches: bool = True
    bad_events: float = 0.0


@dataclass(slots=True)
class _Copy:
    slot: int
    address: str
    since: float
    starts_in: timedelta
    restarts: int = 0
    draining: bool = False
    drained_at: float = 0.0
    admitted: bool = False


@dataclass(slots=True)
class World:
    """Every port at once. `calls` is the record of what was asked of it, `before_call` may raise to play a crash.

    `blind`: nobody counts requests; `blind_to`: those revisions are not counted. `unshown`: no instance shows those
    metrics. `stuck`: the proxy answers nothing, and raises; `hanging`: it does not even raise. `unverified`: it says
    yes and does something else. `passed_by`: no user gets to these revisions, whatever the route says.
    """

    requests_per_second: float = 100.0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    prepared: dict[str, Route] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    blind: bool = False
    blind_to: set[str] = field(default_factory=set)
    unshown: set[str] = field(default_factory=set)
    wall_offset: timedelta = timedelta(0)
    users: int = 2000
    passed_by: set[str] = field(default_factory=set)
    stuck: bool = False
    hanging: bool = False
    unverified: bool = False
    before_call: Callable[[str], None] = field(default=lambda call: None)
    boot: str = "boot-1"
    _revisions: dict[str, Revision] = field(default_factory=dict)
    _copies: dict[str, list[_Copy]] = field(default_factory=dict)
    _admitted: set[str] = field(default_factory=set)
    _tested: set[str] = field(default_factory=set)
    _cut: list[tuple[str, datetime, str]] = field(default_factory=list)
    _counters: dict[str, Counters] = field(default_factory=dict)
    _counted_at: dict[str, float] = field(default_factory=dict)
    _previewed: dict[str, Counters] = field(default_factory=dict)
    _previewed_at: dict[str, float] = field(default_factory=dict)
    _loads: dict[str, float] = field(default_factory=dict)
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
        if not self.behaviour(revision.name).launches:
            raise WorkloadError(f"{revision.name}: no such program: {revision.release.configuration.command[0]}")
        self._revisions[revision.name] = revision
        copies = self._copies.setdefault(revision.name, [])
        while len(copies) < instances:
            self._ports += 1
            used = {copy.slot for copy in copies}
            slot = next(number for number in range(instances) if number not in used)
            starts_in = self.behaviour(revision.name).starts_in
            copies.append(_Copy(slot, f"127.0.0.1:{self._ports}", self.monotonic(), starts_in))

    async def fetch(self, revision: Revision) -> None:
        """Have all at hand: nothing is far away in memory."""

    async def launchable(self, revision: Revision) -> None:
        """Say whether it launches."""
        if not self.behaviour(revision.name).launches:
            raise WorkloadError(f"{revision.name}: no such program: {revision.release.configuration.command[0]}")

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
        """Stop at once; only what the proxy no longer knows may be stopped, and requests under way are cut."""
        self._call(f"stop {revision} {len(slots)}")
        for copy in self._copies.get(revision, []):
            if copy.slot in slots:
                self._cut += [(revision, self.now(), f"GET /{revision}/slow")] * self._under_way(revision, copy)
                if copy.admitted:
                    self.violations.append(f"{copy.address} of {revision} stopped while the proxy sends it requests")
        self._copies[revision] = [copy for copy in self._copies.get(revision, []) if copy.slot not in slots]
        share = self._share(revision)
        if share != NONE and not self._copies[revision]:
            self.violations.append(f"{revision} stopped with {share}")
        return ()

    async def log_tail(self, revision: str, lines: int) -> tuple[str, ...]:
        """Return no lines."""
        return ()

    # --- traffic

    async def open(self, environment: str, entrance: Entrance) -> None:
        """Have a listener."""
        await self._ask(f"open {environment}")
        self.routes.setdefault(environment, Route(environment, None))

    async def admit(self, revision: Revision, addresses: tuple[str, ...]) -> None:
        """Make these the endpoints; that must not take from a revision what its weight needs."""
        await self._ask(f"admit {revision.name} {len(addresses)}")
        self._admitted.add(revision.name)
        self._revisions[revision.name] = revision
        before = self._ready(revision.name)
        for copy in self._copies.get(revision.name, []):
            copy.admitted = copy.address in addresses or (copy.admitted and copy.draining)
            copy.draining = copy.draining and copy.address not in addresses
        if self._ready(revision.name) < before:
            self._check(revision.name)

    async def healthy(self, revision: str) -> frozenset[str]:
        """Return the admitted addresses whose instances are ready."""
        await self._answer()
        return frozenset(
            copy.address
            for copy in self._copies.get(revision, [])
            if copy.admitted and not copy.draining and self._observe(revision, copy).ready
        )

    async def steer(self, route: Route) -> None:
        """Put the route in force, and note when that breaks an interlock."""
        await self._ask(f"steer {route.environment} {route.weight}")
        self._known(route)
        self._put(route)

    async def prepare(self, route: Route) -> None:
        """Remember the way back."""
        self._call(f"prepare {route.environment}")
        self._known(route)
        self.prepared[route.environment] = route

    async def fall_back(self, environment: str) -> Route:
        """Put the prepared route in force."""
        await self._ask(f"fall back {environment}")
        if environment not in self.prepared:
            raise TrafficError(f"{environment}: no way back was prepared")
        self._put(self.prepared[environment])
        return self.prepared[environment]

    async def route(self, environment: str) -> Route | None:
        """Return the route in force."""
        await self._answer()
        return self.routes.get(environment)

    async def verify(self, route: Route) -> Verified:
        """Compare."""
        await self._answer()
        if self.unverified:
            return Verified(False, f"asked for {route.weight}, the probes say otherwise", 100, 0)
        ok = self.routes.get(route.environment) == route
        return Verified(ok, "" if ok else f"{self.routes.get(route.environment)} is in force")

    async def keys(self, environment: str, within: timedelta) -> frozenset[str]:
        """Show the users, who all ask within any time."""
        await self._answer()
        await self.sleep(within)
        return frozenset(f"user {number}" for number in range(self.users))

    async def drain(self, revision: str, addresses: tuple[str, ...]) -> None:
        """Mark as draining."""
        await self._ask(f"drain {revision} {len(addresses)}")
        for copy in self._copies.get(revision, []):
            if copy.address in addresses and not copy.draining:
                copy.draining, copy.drained_at = True, self.monotonic()
        self._check(revision)

    async def in_flight(self, revision: str) -> Mapping[str, int]:
        """Return one long request at each instance that has begun to drain less than `answers_within` ago."""
        await self._answer()
        return {copy.address: self._under_way(revision, copy) for copy in self._copies.get(revision, [])}

    async def dismiss(self, revision: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Remove endpoints; only drained ones may go."""
        await self._ask(f"dismiss {revision} {len(addresses)}")
        under_way: list[str] = []
        for copy in self._copies.get(revision, []):
            if copy.address in addresses:
                if copy.admitted and not copy.draining:
                    self.violations.append(f"{copy.address} of {revision} dismissed without a drain")
                under_way += [f"a request at {copy.address}"] * self._under_way(revision, copy)
                copy.admitted = False
        return tuple(under_way)

    async def cut_since(self, revision: str, mark: datetime) -> tuple[str, ...]:
        """Return the requests that were under way at instances when they were stopped."""
        await self._answer()
        return tuple(request for name, at, request in self._cut if name == revision and at >= mark)

    async def forget(self, revision: str) -> None:
        """Remove the revision; a route must not name it. A way back that names it goes along."""
        await self._ask(f"forget {revision}")
        for route in self.routes.values():
            if revision in route.revisions:
                self.violations.append(f"{revision} forgotten while {route} names it")
        self.prepared = {name: route for name, route in self.prepared.items() if revision not in route.revisions}
        self._admitted.discard(revision)

    def preview(self, revision: str) -> str:
        """Return a URL that nobody asks."""
        if revision not in self._admitted:
            raise TrafficError(f"{revision} has no preview: it was never admitted to the proxy, or is forgotten")
        return f"memory://{revision}"

    async def close(self, within: timedelta) -> None:
        """Forget all routes."""
        self.routes.clear()

    # --- metrics and probes

    async def read(
        self, revisions: tuple[str, ...], metrics: tuple[Metric, ...] = (), counted: Counted | None = None
    ) -> Reading:
        """Return counters that have grown by the traffic since they were last read."""
        if self.blind:
            raise MetricsError("the proxy does not answer")
        seen = [name for name in revisions if name in self._copies and name not in self.blind_to]
        counters = {name: {"memory": self._count(name)} for name in seen}
        shown = {name: {"memory": self._show(name, counted["memory"], metrics)} for name, counted in counters.items()}
        unseen = {name: {one.name: "told to be unseen" for one in metrics if one.name in self.unshown} for name in seen}
        return Reading(self.monotonic(), self.boot, counters, shown, unseen)

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        """Return counters that have grown by the synthetic load."""
        if self.blind:
            raise MetricsError("the proxy does not answer")
        seen = [name for name in revisions if name in self._admitted and name not in self.blind_to]
        return Reading(self.monotonic(), self.boot, {name: {"memory": self._count_preview(name)} for name in seen})

    async def send(self, preview: str, load: Load, requests: int, patience: timedelta) -> None:
        """Send requests at the load's rate, to be counted when they have been sent."""
        name = preview.removeprefix("memory://")
        self._call(f"load {name} {requests}")
        self._count_preview(name)
        self._loads[name] = load.rate
        try:
            await asyncio.sleep(requests / load.rate)
        finally:
            self._count_preview(name)
            self._loads.pop(name, None)

    async def smoke(self, test: SmokeTest, revision: Revision, preview: str) -> Answer:
        """Answer as the behaviour says."""
        return self._test(revision.name, self.behaviour(revision.name).smoke)

    async def identify(self, revision: Revision, preview: str) -> Answer:
        """Answer as the right release, if anything can answer."""
        ready = self._ready(revision.name) > 0
        return self._test(revision.name, Answer(ready, "" if ready else "connection refused"))

    # --- its own books

    def weight(self, environment: str) -> int:
        """Return the canary's share in basis points as users see it."""
        route = self.routes.get(environment)
        return 0 if route is None else route.weight.points

    def running(self, environment: str) -> dict[str, int]:
        """Return how many instances of each revision run there: what is left at the end must be one revision's."""
        return {
            name: len(copies)
            for name, copies in self._copies.items()
            if copies and self._revisions[name].environment == environment
        }

    def vouch(self, revision: str) -> None:
        """Have a revision pass for one that was tested before this world began."""
        self._tested.add(revision)

    def strike(self, revision: str, slot: int, lasts: timedelta = timedelta(0)) -> None:
        """End one instance; its successor gets ready `starts_in` after `lasts`."""
        for copy in self._copies.get(revision, []):
            if copy.slot == slot:
                copy.since, copy.restarts = self.monotonic() + lasts.total_seconds(), copy.restarts + 1

    def _call(self, call: str) -> None:
        self.calls.append(call)
        self.before_call(call)

    async def _ask(self, call: str) -> None:
        self._call(call)
        await self._answer()

    async def _answer(self) -> None:
        if self.hanging:
            await asyncio.sleep(timedelta(days=30).total_seconds())
        if self.stuck:
            raise TrafficError("the proxy does not answer")

    def behaviour(self, revision: str) -> Behaviour:
        """Return how the revision behaves, to be changed at will."""
        return self.behaviours.setdefault(revision, Behaviour())

    def _test(self, revision: str, answer: Answer) -> Answer:
        (self._tested.add if answer.ok else self._tested.discard)(revision)
        return answer

    def _observe(self, revision: str, copy: _Copy) -> Instance:
        behaviour, now = self.behaviour(revision), self.monotonic()
        if behaviour.dies_after is not None and now - copy.since > behaviour.dies_after.total_seconds():
            copy.since, copy.restarts = now, copy.restarts + 1
        ready = not behaviour.never_ready and now - copy.since >= copy.starts_in.total_seconds()
        return Instance(revision, copy.slot, copy.address, True, ready, copy.restarts, "" if ready else "not ready yet")

    def _under_way(self, revision: str, copy: _Copy) -> int:
        busy = self.behaviour(revision).answers_within.total_seconds()
        return int(copy.draining and self.monotonic() - copy.drained_at < busy)

    def _ready(self, revision: str) -> int:
        return sum(
            1
            for copy in self._copies.get(revision, [])
            if copy.admitted and not copy.draining and self._observe(revision, copy).ready
        )

    def _share(self, revision: str) -> Weight:
        route = self.routes.get(self._revisions[revision].environment) if revision in self._revisions else None
        return NONE if route is None else route.share(revision)

    def _known(self, route: Route) -> None:
        for name in route.revisions:
            if name not in self._admitted:
                raise TrafficError(f"the route of {route.environment} names {name}, which was never admitted")

    def _put(self, route: Route) -> None:
        for name in self._copies:
            self._count(name)
        before = self.routes.get(route.environment)
        hopeless = before is not None and not any(self._ready(n) for n in before.revisions if route.share(n) == NONE)
        self.routes[route.environment] = route
        for name in route.revisions:
            if before is None or route.share(name) > before.share(name):
                self._check(name, at_least_one=hopeless)
                if name not in self._tested:
                    self.violations.append(f"{route.share(name)} on {name}, which was never tested")

    def _check(self, revision: str, *, at_least_one: bool = False) -> None:
        """Note a revision that carries more than it can; one will do when the side it takes over from has none."""
        share = self._share(revision)
        if share == NONE or revision not in self._revisions:
            return
        full = self._revisions[revision].release.configuration.instances
        needed = 1 if at_least_one else max(1, share.needs(full))
        if self._ready(revision) < needed:
            self.violations.append(f"{share} on {revision} with {self._ready(revision)} ready of {needed} needed")

    def _count(self, revision: str) -> Counters:
        now = self.monotonic()
        seconds = now - self._counted_at.get(revision, now)
        reached = NONE if revision in self.passed_by else self._share(revision)
        requests = self.requests_per_second * seconds * reached.share
        self._counted_at[revision] = now
        self._counters[revision] = self._grown(revision, self._counters.get(revision, Counters()), requests)
        return self._counters[revision]

    def _show(self, revision: str, counters: Counters, metrics: tuple[Metric, ...]) -> dict[str, Events]:
        """Count each completed request as one event of each metric; as many are bad as the behaviour says."""
        rate, n = self.behaviour(revision).bad_events, counters.completed
        return {one.name: Events(n, n * rate) for one in metrics if one.name not in self.unshown}

    def _count_preview(self, revision: str) -> Counters:
        now = self.monotonic()
        seconds = now - self._previewed_at.get(revision, now)
        requests = self._loads.get(revision, 0.0) * seconds
        self._previewed_at[revision] = now
        self._previewed[revision] = self._grown(revision, self._previewed.get(revision, Counters()), requests)
        return self._previewed[revision]

    def _grown(self, revision: str, before: Counters, requests: float) -> Counters:
        behaviour = self.behaviour(revision)
        failed = requests if not self._ready(revision) else requests * behaviour.error_rate
        latency = dict(before.latency)
        for factor, part in _SPREAD:
            edge = behaviour.latency_ms * factor
            latency[edge] = latency.get(edge, 0.0) + requests * part
        answered = 0.0 if behaviour.hangs else requests
        return Counters(
            before.started + requests,
            before.completed + answered,
            before.failed + (0.0 if behaviour.hangs else failed),
            before.latency if behaviour.hangs else latency,
        )
