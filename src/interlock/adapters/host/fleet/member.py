"""How is one machine of several spoken to: this one by its own adapters, another one through its keeper?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from interlock.adapters.host.fleet import wire
from interlock.core.health import Answer, SmokeTest
from interlock.core.metric import Counted, Metric
from interlock.core.release import Entrance, Instance, Revision
from interlock.core.route import Route
from interlock.core.sample import Reading
from interlock.ports.metrics import Metrics, MetricsError
from interlock.ports.probe import Prober
from interlock.ports.traffic import Traffic, TrafficError, Verified
from interlock.ports.workload import Workload, WorkloadError

_SOON, _LONG = timedelta(seconds=10), timedelta(minutes=2)
_ENDS = timedelta(minutes=20)
_COUNTS_WITHIN = timedelta(seconds=2)
_SEEKS_EVERY = timedelta(seconds=2)


class Call(Protocol):
    """Carries a call to another machine; raises FarError when it does not get there, or is refused."""

    async def __call__(self, name: str, arguments: Mapping[str, Any], within: timedelta) -> Any: ...


class FarError(Exception):
    """The other machine could not be asked, or would not; the message says which, why, and what to do."""


class Lost(FarError):
    """The other machine does not answer at all."""


@dataclass(frozen=True, slots=True)
class Member:
    """One machine and its adapters. `name` is its address, as the file has it."""

    name: str
    traffic: Traffic
    workload: Workload
    metrics: Metrics
    prober: Prober
    far: Far | None = None

    @property
    def lost(self) -> bool:
        """Whether it did not answer when it was last asked, and does not yet."""
        return self.far is not None and self.far.lost is not None


class Far:
    """Another machine's adapters, by its keeper. Each error is the port's own, and says at which machine.

    One that does not answer is lost: until it answers again nobody waits for it, and every call of it fails at once.
    """

    def __init__(self, name: str, call: Call) -> None:
        self.name, self._call = name, call
        self.lost: Lost | None = None
        self._seeking: asyncio.Task[None] | None = None

    def member(self) -> Member:
        """Return it as one of several."""
        return Member(self.name, FarTraffic(self), FarWorkload(self), FarMetrics(self), FarProber(self), self)

    async def ask(self, name: str, error: type[Exception], within: timedelta, *arguments: Any) -> Any:
        """Call one verb of a port there."""
        try:
            if self.lost is not None:
                raise self.lost
            record = await self._call(name, wire.question(name, arguments), within)
        except FarError as problem:
            if isinstance(problem, Lost) and self.lost is None:
                self.lost = problem
                self._seeking = asyncio.create_task(self._seek())
            said = str(problem)
            raise error(said if said.startswith(self.name) else f"{self.name}: {said}") from problem
        return wire.answered(name, record)

    async def _seek(self) -> None:
        """Ask until it answers again, be it with a no."""
        while self.lost is not None:
            await asyncio.sleep(_SEEKS_EVERY.total_seconds())
            try:
                await self._call("workload.environments", {}, _SOON)
                self.lost = None
            except Lost as still:
                self.lost = still
            except FarError:
                self.lost = None


class FarTraffic:
    """The proxy of another machine."""

    def __init__(self, far: Far) -> None:
        self._far = far

    async def open(self, environment: str, entrance: Entrance) -> None:
        await self._ask("open", environment, entrance)

    async def admit(self, revision: Revision, addresses: tuple[str, ...]) -> None:
        await self._ask("admit", revision, addresses)

    async def healthy(self, revision: str) -> frozenset[str]:
        found: frozenset[str] = await self._ask("healthy", revision)
        return found

    async def steer(self, route: Route) -> None:
        await self._ask("steer", route)

    async def prepare(self, route: Route) -> None:
        await self._ask("prepare", route)

    async def fall_back(self, environment: str) -> Route:
        route: Route = await self._ask("fall_back", environment)
        return route

    async def route(self, environment: str) -> Route | None:
        route: Route | None = await self._ask("route", environment)
        return route

    async def verify(self, route: Route) -> Verified:
        verified: Verified = await self._ask("verify", route)
        return verified

    async def keys(self, environment: str, within: timedelta) -> frozenset[str]:
        found: frozenset[str] = await self._far.ask("traffic.keys", TrafficError, _SOON + within, environment, within)
        return found

    async def drain(self, revision: str, addresses: tuple[str, ...]) -> None:
        await self._ask("drain", revision, addresses)

    async def in_flight(self, revision: str) -> Mapping[str, int]:
        found: Mapping[str, int] = await self._ask("in_flight", revision)
        return found

    async def dismiss(self, revision: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        found: tuple[str, ...] = await self._ask("dismiss", revision, addresses)
        return found

    async def cut_since(self, revision: str, mark: datetime) -> tuple[str, ...]:
        found: tuple[str, ...] = await self._ask("cut_since", revision, mark)
        return found

    async def forget(self, revision: str) -> None:
        await self._ask("forget", revision)

    def preview(self, revision: str) -> str:
        raise TrafficError(
            f"{self._far.name}: the preview of {revision} is on that machine, and cannot be asked from here"
        )

    async def close(self, within: timedelta) -> None:
        raise TrafficError(f"{self._far.name}: a machine's proxy is stopped on it: interlock down")

    async def _ask(self, method: str, *arguments: Any) -> Any:
        return await self._far.ask(f"traffic.{method}", TrafficError, _LONG, *arguments)


class FarWorkload:
    """The instances of another machine."""

    def __init__(self, far: Far) -> None:
        self._far = far

    async def fetch(self, revision: Revision) -> None:
        await self._ask("fetch", _ENDS, revision)

    async def ensure(self, revision: Revision, instances: int) -> None:
        await self._ask("ensure", _ENDS, revision, instances)

    async def launchable(self, revision: Revision) -> None:
        await self._ask("launchable", _ENDS, revision)

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        found: tuple[Instance, ...] = await self._ask("instances", _SOON, revision)
        return found

    async def environments(self) -> tuple[str, ...]:
        found: tuple[str, ...] = await self._ask("environments", _SOON)
        return found

    async def revisions(self, environment: str) -> tuple[Revision, ...]:
        found: tuple[Revision, ...] = await self._ask("revisions", _SOON, environment)
        return found

    async def stop(self, revision: str, slots: tuple[int, ...]) -> tuple[int, ...]:
        found: tuple[int, ...] = await self._ask("stop", _ENDS, revision, slots)
        return found

    async def log_tail(self, revision: str, lines: int) -> tuple[str, ...]:
        found: tuple[str, ...] = await self._ask("log_tail", _SOON, revision, lines)
        return found

    async def _ask(self, method: str, within: timedelta, *arguments: Any) -> Any:
        return await self._far.ask(f"workload.{method}", WorkloadError, within, *arguments)


class FarMetrics:
    """The counters of another machine's proxy, and of its instances."""

    def __init__(self, far: Far) -> None:
        self._far = far

    async def read(
        self, revisions: tuple[str, ...], metrics: tuple[Metric, ...] = (), counted: Counted | None = None
    ) -> Reading:
        reading: Reading = await self._ask("metrics.read", revisions, metrics)
        return reading

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        reading: Reading = await self._ask("metrics.read_previews", revisions)
        return reading

    async def _ask(self, name: str, *arguments: Any) -> Any:
        return await self._far.ask(name, MetricsError, _COUNTS_WITHIN, *arguments)


class FarProber:
    """Questions asked on another machine, of its own preview."""

    def __init__(self, far: Far) -> None:
        self._far = far

    async def smoke(self, test: SmokeTest, revision: Revision, preview: str) -> Answer:
        answer: Answer = await self._ask("prober.smoke", test.timeout, test, revision, preview)
        return answer

    async def identify(self, revision: Revision, preview: str) -> Answer:
        answer: Answer = await self._ask("prober.identify", _SOON, revision, preview)
        return answer

    async def _ask(self, name: str, within: timedelta, *arguments: Any) -> Any:
        return await self._far.ask(name, TrafficError, _SOON + within, *arguments)
