"""What does one page of counters in Prometheus' text format (or OpenMetrics) say of a metric?

Only the lines of the metrics wanted are parsed: a page may have thousands of others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from math import inf, isfinite
from typing import Any

from interlock.core.metric import Label, Metric, Ratio, Series, Slower
from interlock.core.sample import Events

_NAME = re.compile(r"(?:#\s+(?:TYPE|HELP|UNIT)\s+)?([a-zA-Z_:][a-zA-Z0-9_:]*)")
_PARTS = ("_bucket", "_count", "_sum", "_total", "_created", "_gcount", "_gsum")
_EDGES_ARE_OFF_BY = 1e-9

Sample = tuple[str, dict[str, str], float]


class Unseen(Exception):
    """The page does not show the metric; the message says what it shows instead."""


class Page:
    """The counters of one instance at one moment, as far as `metrics` need them. Raises Unseen when it is no page."""

    def __init__(self, text: str, content_type: str, metrics: Iterable[Metric]) -> None:
        wanted = {series.name for metric in metrics for series in _series(metric)}
        wanted |= {name.removesuffix("_total") for name in wanted}
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for name, labels, value in _parse("\n".join(_lines(text, wanted)), content_type):
            self._samples.setdefault(name, []).append((labels, value))

    def events(self, metric: Metric) -> Events:
        """Return what has been counted since the instance began; raise Unseen when it is not all shown."""
        match metric.events:
            case Ratio(bad, of):
                total = self._sum(of)
                return Events(total, self._bad(bad, of))
            case Slower() as slower:
                return self._slower(slower)

    def _bad(self, bad: Series, of: Series) -> float:
        """Count bad events. A part of a counter that is shown may have had none yet; a counter of its own may not."""
        shown = self._samples.get(bad.name, [])
        parts = bad.name == of.name and all(any(label.name in labels for labels, _ in shown) for label in bad.labels)
        if parts and not any(bad.fits(labels) for labels, _ in shown):
            return 0.0
        return self._sum(bad)

    def _slower(self, slower: Slower) -> Events:
        histogram, edge = slower.histogram, slower.edge
        buckets = self._buckets(histogram)
        found = [le for le in buckets if abs(le - edge) <= _EDGES_ARE_OFF_BY * max(1.0, edge)]
        if not found:
            near = sorted(sorted(buckets, key=lambda le: abs(le - edge))[:2])
            nearest = " and ".join(f"{le:g}" for le in near)
            raise Unseen(f"{histogram} has no edge at {edge:g}; the nearest are {nearest}")
        total, quick = buckets.get(inf, []), buckets[found[0]]
        if len(total) != len(quick) or not all(map(isfinite, total + quick)):
            raise Unseen(f"the buckets of {histogram} do not fit together, or have no +Inf")
        return Events(sum(total), sum(total) - sum(quick))

    def _buckets(self, histogram: Series) -> dict[float, list[float]]:
        """Return what each series of the histogram counts up to each edge."""
        buckets: dict[float, list[float]] = {}
        for labels, value in self._fitting(histogram, "_bucket"):
            if "le" in labels:
                buckets.setdefault(float(labels["le"]), []).append(value)
        if not buckets:
            raise Unseen(f"it has no {histogram} with buckets: a classic histogram is expected")
        return buckets

    def _sum(self, series: Series) -> float:
        values = [value for _, value in self._fitting(series)]
        if not values:
            others = sorted({_written(series.name, labels) for labels, _ in self._samples.get(series.name, [])})
            instead = f", only {', '.join(others[:3])}" if others else ""
            raise Unseen(f"it has no {series}{instead}; let it begin at 0")
        if not all(map(isfinite, values)):
            raise Unseen(f"{series} is no number")
        return sum(values)

    def _fitting(self, series: Series, part: str = "") -> list[tuple[dict[str, str], float]]:
        shown = self._samples.get(series.name + part, [])
        return [(labels, value) for labels, value in shown if series.fits(labels)]


def _series(metric: Metric) -> tuple[Series, ...]:
    match metric.events:
        case Ratio(bad, of):
            return bad, of
        case Slower(histogram):
            return (histogram,)


def _lines(text: str, wanted: set[str]) -> Iterator[str]:
    """Yield the lines that speak of the families wanted."""
    for line in text.splitlines():
        name = _NAME.match(line)
        if name is not None and (name[1] in wanted or _family(name[1]) in wanted):
            yield line


def _family(name: str) -> str:
    return next((name.removesuffix(part) for part in _PARTS if name.endswith(part)), name)


def _parse(text: str, content_type: str) -> Iterator[Sample]:
    """Yield (name, labels, value) of each line; raise Unseen when the text is none of the two formats."""
    text = f"{text}\n"
    try:
        for family in _openmetrics(text) if "openmetrics" in content_type else _plain(text):
            for sample in family.samples:
                yield sample.name, sample.labels, float(sample.value)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unseen(f"it cannot be read as Prometheus' text format: {error}") from error


# The parser is not imported at the top: it brings an HTTP server along, for which only who names a metric need wait.
def _plain(text: str) -> Iterable[Any]:
    from prometheus_client.parser import text_string_to_metric_families

    return text_string_to_metric_families(text)


def _openmetrics(text: str) -> Iterable[Any]:
    from prometheus_client.openmetrics import parser

    families: Callable[[str], Iterable[Any]] = parser.text_string_to_metric_families
    return families(f"{text}# EOF\n")


def _written(name: str, labels: dict[str, str]) -> str:
    return str(Series(name, tuple(Label(key, "=", value) for key, value in sorted(labels.items()))))
