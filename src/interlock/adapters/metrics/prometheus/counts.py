"""What has each instance counted, by the series of it that were found? Where it is not all there nothing is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import inf, isfinite

from interlock.adapters.metrics.prometheus import native
from interlock.adapters.metrics.prometheus.found import Found, Point, Unseen
from interlock.adapters.metrics.prometheus.native import Native, Unusable
from interlock.core.metric import Counted, Metric, Prometheus, Ratio, Series, Slower, unit
from interlock.core.sample import Counters, Events

_EDGES_ARE_OFF_BY = 1e-9


def events(metric: Metric, source: Prometheus, points: Sequence[Found]) -> dict[str, tuple[str, Events]]:
    """Return by instance what counts there, and what it has counted since it began; raise Unseen."""
    match metric.events:
        case Ratio(bad, of):
            total, failed = _sums(source, of, points[1]), _parts(source, bad, of, points[0], points[1])
            return {one: (f"prometheus {one}", Events(total[one], failed[one])) for one in total}
        case Slower(_, _) as slower if points[1]:
            found = _natives(source, points[1])
            return {one: _beyond(slower, one, histograms) for one, histograms in found.items()}
        case Slower(histogram, _) as slower:
            edges = _edges(source, histogram, points[0])
            return {one: (f"prometheus {one}", _slower(slower, one, counts)) for one, counts in edges.items()}


def deciding(metric: Metric, points: Sequence[Found]) -> Found:
    """Return those whose times are the metric's: all events, or the histogram that there is."""
    return points[1] or (() if isinstance(metric.events, Ratio) else points[0])


def side(counted: Counted, points: Sequence[Found]) -> dict[str, Counters]:
    """Return the counters of each instance; none at all when a part is missing, for half of it would mislead."""
    source = counted.source
    try:
        total = _sums(source, counted.requests, points[0])
        failed = _parts(source, counted.failures, counted.requests, points[1], points[0])
        edges = _latency(counted, points[2], points[3])
    except Unseen:
        return {}
    thousandths = unit(counted.latency) / timedelta(milliseconds=1)
    return {
        f"prometheus {one}": Counters(n, n, failed[one], _bins(edges.get(one, {}), thousandths))
        for one, n in total.items()
    }


def times(source: Prometheus, points: Found) -> dict[str, float]:
    """Return when each instance was collected: the oldest of its series."""
    found: dict[str, float] = {}
    for point in points:
        instance = called(source, point)
        found[instance] = min(point.at, found.get(instance, inf))
    return found


def called(source: Prometheus, point: Point) -> str:
    """Return what an instance is called: by the labels that tell one from another."""
    return " ".join(point.labels.get(name, "") for name in source.instances)


def _slower(slower: Slower, instance: str, counts: Mapping[float, float]) -> Events:
    edge = next((le for le in counts if abs(le - slower.edge) <= _EDGES_ARE_OFF_BY * max(1.0, slower.edge)), None)
    if edge is None:
        nearest = " and ".join(f"{le:g}" for le in sorted(sorted(counts, key=lambda le: abs(le - slower.edge))[:2]))
        raise Unseen(f"{slower.histogram} of {instance} has no edge at {slower.edge:g}; the nearest are {nearest}")
    return Events(counts[inf], counts[inf] - counts[edge])


def _beyond(slower: Slower, instance: str, histograms: Sequence[Native]) -> tuple[str, Events]:
    """Count beyond the nearest edge. Another resolution may have another one, and that is another count."""
    try:
        edge = native.nearest(histograms, slower.edge)
        return f"prometheus {instance} beyond {edge:g}", Events(*native.slower(histograms, edge))
    except Unusable as why:
        raise Unseen(f"{slower.histogram} of {instance} {why}") from why


def _natives(source: Prometheus, points: Found) -> dict[str, list[Native]]:
    """Return the native histograms of each instance."""
    found: dict[str, list[Native]] = {}
    for point in points:
        if point.native is not None:
            found.setdefault(called(source, point), []).append(point.native)
    return found


def _latency(counted: Counted, classic: Found, natives: Found) -> dict[str, dict[float, float]]:
    """Return how many were counted up to each edge, by instance, however the histogram is stored."""
    source, histogram = counted.source, counted.latency
    if not natives:
        return _edges(source, histogram, classic)
    try:
        return {one: native.edges(some, unit(histogram)) for one, some in _natives(source, natives).items()}
    except Unusable as why:
        raise Unseen(f"{histogram} {why}") from why


def _sums(source: Prometheus, series: Series, points: Found) -> dict[str, float]:
    """Return the sum of the series by instance."""
    if not points:
        raise Unseen(f"it has no {series} of this revision")
    sums: dict[str, float] = {}
    for point in points:
        if not isfinite(point.value):
            raise Unseen(f"{series} of {called(source, point)} is no number")
        sums[called(source, point)] = sums.get(called(source, point), 0.0) + point.value
    return sums


def _parts(source: Prometheus, bad: Series, of: Series, failed: Found, every: Found) -> dict[str, float]:
    """Return bad events by instance. A part of a counter may have had none yet; a counter of its own must be there."""
    part = bad.name == of.name and _known(bad, every)
    found = _sums(source, bad, failed) if failed or not part else {}
    instances = dict.fromkeys(called(source, point) for point in every)
    missing = [one for one in instances if one not in found]
    if missing and not part:
        raise Unseen(f"it has no {bad} of {missing[0]}; let it begin at 0")
    return {one: found.get(one, 0.0) for one in instances}


def _known(series: Series, points: Found) -> bool:
    """Whether every label that a series is selected by exists: a slip of the pen must not be a count of zero."""
    return all(any(label.name in point.labels for point in points) for label in series.labels)


def _edges(source: Prometheus, histogram: Series, points: Found) -> dict[str, dict[float, float]]:
    """Return how many were counted up to each edge of a classic histogram, by instance."""
    edges: dict[str, dict[float, list[float]]] = {}
    for point in points:
        if "le" in point.labels:
            edges.setdefault(called(source, point), {}).setdefault(float(point.labels["le"]), []).append(point.value)
    if not edges:
        raise Unseen(
            f"it has no {histogram} of this revision that is a histogram, classic (with {histogram.name}_bucket) or "
            "native (which it stores with --enable-feature=native-histograms)"
        )
    for instance, counts in edges.items():
        whole = counts.get(inf, [])
        if not whole or any(len(one) != len(whole) or not all(map(isfinite, one)) for one in counts.values()):
            raise Unseen(f"the buckets of {histogram} of {instance} do not fit together, or have no +Inf")
    return {instance: {le: sum(counts) for le, counts in by.items()} for instance, by in edges.items()}


def _bins(edges: Mapping[float, float], thousandths: float) -> dict[float, float]:
    """Return how many fell between each edge, in milliseconds, and the one below."""
    bins, below = {}, 0.0
    for edge in sorted(edges):
        bins[round(edge * thousandths, 6)] = max(0.0, edges[edge] - below)
        below = edges[edge]
    return bins
