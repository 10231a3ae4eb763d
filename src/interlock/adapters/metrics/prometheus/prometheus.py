"""What does a Prometheus have of each instance of a revision?

Raw counters by instant queries, each with the time at which it was collected: what is collected every 15 s and asked
for every 5 s is counted once, and in between nothing is known, which is not silence. What is not there is no zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from math import inf, isfinite
from typing import Any, TypeVar
from urllib.parse import urlencode

from interlock.adapters.metrics.prometheus.counts import called, deciding, events, side, times
from interlock.adapters.metrics.prometheus.found import Found, Point, Unseen, Wanted, histogram, points, query, wanted
from interlock.adapters.web import Answer, WebError, ask, shown
from interlock.core.metric import Counted, Metric, Prometheus, Series, Slower
from interlock.core.sample import Events, Reading
from interlock.ports.clock import Clock
from interlock.ports.metrics import MetricsError, Shown

WITHIN = timedelta(milliseconds=900)
_REMEMBERED = 1000

K = TypeVar("K")
V = TypeVar("V")
_Times = dict[str, float]


class NotUnderstood(MetricsError):
    """The server does not understand a query, or has something else under its name; the message has what it says."""


class PrometheusMetrics:
    """Asks any server that speaks Prometheus' HTTP API. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str], clock: Clock, *, within: timedelta = WITHIN) -> None:
        self._secret, self._clock, self._within = secret, clock, within
        self._shown: dict[tuple[str, Metric], _Times] = {}
        self._read: dict[tuple[tuple[str, ...], Counted], tuple[_Times, Reading]] = {}

    def knows(self, metric: Metric) -> bool:
        """Know each metric that the file says a Prometheus collects."""
        return metric.source is not None

    async def show(self, revision: str, metrics: tuple[Metric, ...]) -> Shown:
        """Show what was collected since it was last shown; see `MetricSource.show`."""
        found: dict[str, dict[str, Events]] = {}
        unseen: dict[str, str] = {}
        for source in dict.fromkeys(one.source for one in metrics if one.source is not None):
            mine = tuple(one for one in metrics if one.source == source)
            try:
                told = iter(
                    await self._fetch(source, [one.of(source, revision) for each in mine for one in wanted(each)])
                )
            except MetricsError as error:
                unseen.update({one.name: str(error) for one in mine})
                continue
            for metric in mine:
                parts = [next(told) for _ in wanted(metric)]
                try:
                    for life, counted in self._new(revision, metric, source, parts).items():
                        found.setdefault(life, {})[metric.name] = counted
                except Unseen as why:
                    unseen[metric.name] = f"{shown(source.url)}: {why}"
        return Shown(found, unseen)

    async def requests(self, revisions: tuple[str, ...], counted: Counted) -> Reading:
        """Read the requests of each revision: the very reading of before, until every instance was collected anew.

        So a sample covers the same time of all instances, within one interval of collection. A revision of which
        nothing was collected lately is missing, and so is one that is not shown whole. Raises MetricsError.
        """
        source, parts = counted.source, _parts(counted)
        found = iter(await self._fetch(source, [one.of(source, name) for name in revisions for one in parts]))
        collected: _Times = {}
        newest, sides = inf, {}
        for name in revisions:
            fresh = [[one for one in next(found) if one.age <= source.stale_after.total_seconds()] for _ in parts]
            if counters := side(counted, fresh):
                sides[name] = counters
                collected |= {f"{name} {instance}": at for instance, at in times(source, fresh[0]).items()}
                newest = min(newest, *(one.age for one in fresh[0]))
        before = self._read.get((revisions, counted))
        if before is not None and not _newer(before[0], collected):
            return before[1]
        at = self._clock.monotonic() - (newest if isfinite(newest) else 0.0)
        reading = Reading(at, self._clock.boot, sides)
        _remember(self._read, (revisions, counted), (collected, reading))
        return reading

    async def check(self, metrics: Iterable[Metric], counted: Counted | None) -> None:
        """Have the server parse every query, and look whether what is called a histogram is one.

        Raises NotUnderstood for what cannot be meant, MetricsError when the server cannot be asked. That there is
        nothing yet is no error: a release may be the first, or the first to count it.
        """
        for metric in metrics:
            if metric.source is not None:
                name = f"criteria.metrics.{metric.name}"
                if isinstance(metric.events, Slower):
                    await self._check_histogram(metric.source, metric.events.histogram, name)
                else:
                    for one in wanted(metric):
                        await self._check_counter(metric.source, one.series, name)
        if counted is not None:
            for part in ("requests", "failures"):
                await self._check_counter(counted.source, getattr(counted, part), f"metrics.prometheus.{part}")
            await self._check_histogram(counted.source, counted.latency, "metrics.prometheus.latency")

    async def _check_counter(self, source: Prometheus, series: Series, name: str) -> None:
        _, native = await self._fetch(source, [Wanted(series), Wanted(series, native=True)], name)
        if native:
            raise NotUnderstood(f"{name}: {shown(source.url)} has {series} as a native histogram: expected a counter")

    async def _check_histogram(self, source: Prometheus, series: Series, name: str) -> None:
        classic, native, plain = await self._fetch(source, [*histogram(series), Wanted(series)], name)
        if plain and not classic and not native:
            raise NotUnderstood(
                f"{name}: {shown(source.url)} has {series} as numbers: expected a histogram, classic (with "
                f"{series.name}_bucket) or native. Name it without _bucket, _count or _sum"
            )

    def _new(self, revision: str, metric: Metric, source: Prometheus, parts: Sequence[Found]) -> dict[str, Events]:
        """Return the events of each instance that was collected since it was last shown; raise Unseen."""
        counted, collected = events(metric, source, parts), times(source, deciding(metric, parts))
        old = [one for one in deciding(metric, parts) if one.age > source.stale_after.total_seconds()]
        if old:
            raise Unseen(f"{called(source, old[0])} was last collected {old[0].age:.0f} s ago")
        before = self._shown.get((revision, metric), {})
        _remember(self._shown, (revision, metric), collected)
        return dict(one for name, one in counted.items() if collected[name] > before.get(name, -inf))

    async def _fetch(self, source: Prometheus, all: Sequence[Wanted], called: str = "") -> list[list[Point]]:
        """Return the points of each series, all as they were at one moment."""
        where = f"{source.url}/api/v1/query"
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded", **self._authorization(source)}
            body = urlencode({"query": query(all, source)}).encode()
            answer = await ask("POST", where, headers=headers, body=body, timeout=self._within)
            return points(_understood(answer, all, called), all)
        except WebError as error:
            raise MetricsError(str(error)) from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise MetricsError(
                f"{shown(where)} is no Prometheus: expected the answer of an instant query ({type(error).__name__})"
            ) from error

    def _authorization(self, source: Prometheus) -> dict[str, str]:
        if not source.token_secret:
            return {}
        try:
            return {"Authorization": f"Bearer {self._secret(source.token_secret)}"}
        except OSError as error:
            raise MetricsError(f"the token for {shown(source.url)} cannot be read: {error.strerror}") from error


def _understood(answer: Answer, all: Sequence[Wanted], called: str) -> Any:
    """Return the result of a query."""
    if answer.status in (400, 422):
        said = answer.json().get("error", "it does not say why")
        what = f"{called}: " if called else ""
        asked = " and ".join(dict.fromkeys(str(one.series) for one in all))
        raise NotUnderstood(f"{what}{shown(answer.url)} does not understand {asked}: {said}")
    data = answer.good().json()["data"]
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    return data["result"]


def _parts(counted: Counted) -> tuple[Wanted, ...]:
    return (Wanted(counted.requests), Wanted(counted.failures), *histogram(counted.latency))


def _newer(before: _Times, now: _Times) -> bool:
    """Whether all were collected since; one that is new, or gone, is not waited for."""
    return all(now[name] > before[name] for name in now.keys() & before.keys())


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    """Keep the newest; revisions come and go for as long as a keeper lives."""
    memory.pop(key, None)
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.pop(next(iter(memory)))
