"""What does a Prometheus have of each instance of a revision?

Raw counters by instant queries, each with the time at which it was collected: what is collected every 15 s and asked
for every 5 s is counted once, and in between nothing is known, which is not silence. What is not there is no zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import inf, isfinite
from typing import Any, TypeVar
from urllib.parse import urlencode

from interlock.adapters.web import Answer, WebError, ask, shown
from interlock.core.metric import Counted, Label, Metric, Prometheus, Ratio, Series, Slower, unit
from interlock.core.sample import Counters, Events, Reading
from interlock.ports.clock import Clock
from interlock.ports.metrics import MetricsError, Shown

WITHIN = timedelta(milliseconds=900)
_AS = "interlock"  # a label of our own: of which series an answer is a value (v0), or the time of one (t0)
_EDGES_ARE_OFF_BY = 1e-9
_REMEMBERED = 1000

K = TypeVar("K")
V = TypeVar("V")


class NotUnderstood(MetricsError):
    """The server does not understand a query; the message has what it says."""


class _Unseen(Exception):
    """Something is not to be seen; the message says what is instead."""


@dataclass(frozen=True, slots=True)
class _Point:
    """One series as it was collected last: `at` by the server's clock, `age` seconds ago by the same."""

    labels: Mapping[str, str]
    value: float
    at: float
    age: float


_Found = Sequence[_Point]
_Times = dict[str, float]


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
        events: dict[str, dict[str, Events]] = {}
        unseen: dict[str, str] = {}
        for source in dict.fromkeys(one.source for one in metrics if one.source is not None):
            mine = tuple(one for one in metrics if one.source == source)
            try:
                found = iter(
                    await self._fetch(source, [_of(one, source, revision) for m in mine for one in _series(m)])
                )
            except MetricsError as error:
                unseen.update({one.name: str(error) for one in mine})
                continue
            for metric in mine:
                points = [next(found) for _ in _series(metric)]
                try:
                    for instance, counted in self._new(revision, metric, source, points).items():
                        events.setdefault(f"prometheus {instance}", {})[metric.name] = counted
                except _Unseen as why:
                    unseen[metric.name] = f"{shown(source.url)}: {why}"
        return Shown(events, unseen)

    async def requests(self, revisions: tuple[str, ...], counted: Counted) -> Reading:
        """Read the requests of each revision: the very reading of before, until every instance was collected anew.

        So a sample covers the same time of all instances, within one interval of collection. A revision of which
        nothing was collected lately is missing, and so is one that is not shown whole. Raises MetricsError.
        """
        source, parts = counted.source, (counted.requests, counted.failures, _buckets(counted.latency))
        found = iter(await self._fetch(source, [_of(one, source, name) for name in revisions for one in parts]))
        times: _Times = {}
        newest, sides = inf, {}
        for name in revisions:
            points = [[one for one in next(found) if one.age <= source.stale_after.total_seconds()] for _ in parts]
            if side := _side(counted, points):
                sides[name] = side
                times |= {f"{name} {instance}": at for instance, at in _times(source, points[0]).items()}
                newest = min(newest, *(one.age for one in points[0]))
        before = self._read.get((revisions, counted))
        if before is not None and not _newer(before[0], times):
            return before[1]
        at = self._clock.monotonic() - (newest if isfinite(newest) else 0.0)
        reading = Reading(at, self._clock.boot, sides)
        _remember(self._read, (revisions, counted), (times, reading))
        return reading

    async def check(self, metrics: Iterable[Metric], counted: Counted | None) -> None:
        """Have the server parse every query. Raises NotUnderstood for one, MetricsError when it cannot be asked."""
        for metric in metrics:
            if metric.source is not None:
                for series in _series(metric):
                    await self._fetch(metric.source, [series], f"criteria.metrics.{metric.name}")
        if counted is not None:
            for name in ("requests", "failures", "latency"):
                await self._fetch(counted.source, [getattr(counted, name)], f"metrics.prometheus.{name}")

    def _new(self, revision: str, metric: Metric, source: Prometheus, points: Sequence[_Found]) -> dict[str, Events]:
        """Return the events of each instance that was collected since it was last shown; raise _Unseen."""
        counted, times = _events(metric, source, points), _times(source, points[-1])
        old = [one for one in points[-1] if one.age > source.stale_after.total_seconds()]
        if old:
            raise _Unseen(f"{_called(source, old[0])} was last collected {old[0].age:.0f} s ago")
        before = self._shown.get((revision, metric), {})
        _remember(self._shown, (revision, metric), times)
        return {instance: one for instance, one in counted.items() if times[instance] > before.get(instance, -inf)}

    async def _fetch(self, source: Prometheus, series: Sequence[Series], called: str = "") -> list[list[_Point]]:
        """Return the points of each series, all as they were at one moment."""
        query = " or ".join(
            f'label_replace({what}, "{_AS}", "{kind}{number}", "", "")'
            for number, one in enumerate(series)
            for kind, what in (("v", f"{one}"), ("t", f"timestamp({one})"))
        )
        where = f"{source.url}/api/v1/query"
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded", **self._authorization(source)}
            body = urlencode({"query": query}).encode()
            answer = await ask("POST", where, headers=headers, body=body, timeout=self._within)
            return _points(_understood(answer, series, called), len(series))
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


def _understood(answer: Answer, series: Sequence[Series], called: str) -> Any:
    """Return the result of a query."""
    if answer.status in (400, 422):
        said = answer.json().get("error", "it does not say why")
        what = f"{called}: " if called else ""
        asked = " and ".join(map(str, series))
        raise NotUnderstood(f"{what}{shown(answer.url)} does not understand {asked}: {said}")
    data = answer.good().json()["data"]
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    return data["result"]


def _points(result: Any, count: int) -> list[list[_Point]]:
    values: dict[tuple[str, frozenset[tuple[str, str]]], tuple[float, float]] = {}
    for one in result:
        labels = {str(name): str(value) for name, value in one["metric"].items() if name != "__name__"}
        kind, (now, value) = labels.pop(_AS), one["value"]
        values[kind, frozenset(labels.items())] = float(now), float(value)
    found: list[list[_Point]] = [[] for _ in range(count)]
    for (kind, labelled), (now, value) in values.items():
        if kind.startswith("v") and (collected := values.get((f"t{kind[1:]}", labelled))) is not None:
            at = collected[1]
            found[int(kind[1:])].append(_Point(dict(labelled), value, at, max(0.0, now - at)))
    return found


def _of(series: Series, source: Prometheus, revision: str) -> Series:
    return Series(series.name, (*series.labels, Label(source.revision, "=", revision)))


def _buckets(histogram: Series) -> Series:
    return Series(f"{histogram.name}_bucket", histogram.labels)


def _series(metric: Metric) -> tuple[Series, ...]:
    """Return what a metric needs; the last one's times are the metric's."""
    match metric.events:
        case Ratio(bad, of):
            return bad, of
        case Slower(histogram):
            return (_buckets(histogram),)


def _events(metric: Metric, source: Prometheus, points: Sequence[_Found]) -> dict[str, Events]:
    """Return what each instance has counted since it began; raise _Unseen when it is not all there."""
    match metric.events:
        case Ratio(bad, of):
            total, failed = _sums(source, of, points[1]), _parts(source, bad, of, points[0], points[1])
            return {instance: Events(total[instance], failed[instance]) for instance in total}
        case Slower(histogram, _) as slower:
            edges = _edges(source, histogram, points[0])
            return {instance: _slower(slower, instance, counts) for instance, counts in edges.items()}


def _slower(slower: Slower, instance: str, counts: Mapping[float, float]) -> Events:
    edge = next((le for le in counts if abs(le - slower.edge) <= _EDGES_ARE_OFF_BY * max(1.0, slower.edge)), None)
    if edge is None:
        nearest = " and ".join(f"{le:g}" for le in sorted(sorted(counts, key=lambda le: abs(le - slower.edge))[:2]))
        raise _Unseen(f"{slower.histogram} of {instance} has no edge at {slower.edge:g}; the nearest are {nearest}")
    return Events(counts[inf], counts[inf] - counts[edge])


def _sums(source: Prometheus, series: Series, points: _Found) -> dict[str, float]:
    """Return the sum of the series by instance."""
    if not points:
        raise _Unseen(f"it has no {series} of this revision")
    sums: dict[str, float] = {}
    for point in points:
        if not isfinite(point.value):
            raise _Unseen(f"{series} of {_called(source, point)} is no number")
        sums[_called(source, point)] = sums.get(_called(source, point), 0.0) + point.value
    return sums


def _parts(source: Prometheus, bad: Series, of: Series, failed: _Found, every: _Found) -> dict[str, float]:
    """Return bad events by instance. A part of a counter may have had none yet; a counter of its own must be there."""
    part = bad.name == of.name and _known(bad, every)
    found = _sums(source, bad, failed) if failed or not part else {}
    instances = dict.fromkeys(_called(source, point) for point in every)
    missing = [one for one in instances if one not in found]
    if missing and not part:
        raise _Unseen(f"it has no {bad} of {missing[0]}; let it begin at 0")
    return {one: found.get(one, 0.0) for one in instances}


def _known(series: Series, points: _Found) -> bool:
    """Whether every label that a series is selected by exists: a slip of the pen must not be a count of zero."""
    return all(any(label.name in point.labels for point in points) for label in series.labels)


def _edges(source: Prometheus, histogram: Series, points: _Found) -> dict[str, dict[float, float]]:
    """Return how many were counted up to each edge, by instance."""
    edges: dict[str, dict[float, list[float]]] = {}
    for point in points:
        if "le" in point.labels:
            edges.setdefault(_called(source, point), {}).setdefault(float(point.labels["le"]), []).append(point.value)
    if not edges:
        raise _Unseen(f"it has no {histogram} with buckets of this revision: a classic histogram is expected")
    for instance, counts in edges.items():
        whole = counts.get(inf, [])
        if not whole or any(len(one) != len(whole) or not all(map(isfinite, one)) for one in counts.values()):
            raise _Unseen(f"the buckets of {histogram} of {instance} do not fit together, or have no +Inf")
    return {instance: {le: sum(counts) for le, counts in by.items()} for instance, by in edges.items()}


def _side(counted: Counted, points: Sequence[_Found]) -> dict[str, Counters]:
    """Return the counters of each instance; none at all when a part is missing, for half of it would mislead."""
    source = counted.source
    try:
        total = _sums(source, counted.requests, points[0])
        failed = _parts(source, counted.failures, counted.requests, points[1], points[0])
        edges = _edges(source, counted.latency, points[2])
    except _Unseen:
        return {}
    thousandths = unit(counted.latency) / timedelta(milliseconds=1)
    return {
        f"prometheus {one}": Counters(n, n, failed[one], _bins(edges.get(one, {}), thousandths))
        for one, n in total.items()
    }


def _bins(edges: Mapping[float, float], thousandths: float) -> dict[float, float]:
    """Return how many fell between each edge, in milliseconds, and the one below."""
    bins, below = {}, 0.0
    for edge in sorted(edges):
        bins[round(edge * thousandths, 6)] = max(0.0, edges[edge] - below)
        below = edges[edge]
    return bins


def _times(source: Prometheus, points: _Found) -> _Times:
    """Return when each instance was collected: the oldest of its series."""
    times: _Times = {}
    for point in points:
        instance = _called(source, point)
        times[instance] = min(point.at, times.get(instance, inf))
    return times


def _newer(before: _Times, now: _Times) -> bool:
    """Whether all were collected since; one that is new, or gone, is not waited for."""
    return all(now[name] > before[name] for name in now.keys() & before.keys())


def _called(source: Prometheus, point: _Point) -> str:
    return " ".join(point.labels.get(name, "") for name in source.instances)


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    """Keep the newest; revisions come and go for as long as a keeper lives."""
    memory.pop(key, None)
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.pop(next(iter(memory)))
