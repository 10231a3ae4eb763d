"""Which series are asked for in one question, and what has the answer of each?

A histogram may be stored as a classic one, whose buckets are series of their own, or as a native one, which is a value:
both are asked for, and what is there is taken. `label_replace` marks of which series a value is; of a native histogram
it would lose everything (Prometheus 2.42 makes a zero of it), so these come unmarked and are told by name and labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.adapters.metrics.prometheus.native import Native
from interlock.core.metric import Label, Metric, Prometheus, Ratio, Series, Slower

_AS = "interlock"  # a label of our own: of which series an answer is a value (v0), or the time of one (t0)
_NAME = "__name__"


class Unseen(Exception):
    """Something is not to be seen; the message says what is instead."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The series of one name whose labels fit; `native` ones are native histograms."""

    series: Series
    native: bool = False

    def of(self, source: Prometheus, revision: str) -> Wanted:
        """Return the same of one revision."""
        labels = (*self.series.labels, Label(source.revision, "=", revision))
        return Wanted(Series(self.series.name, labels), self.native)


@dataclass(frozen=True, slots=True)
class Point:
    """One series as it was collected last: `at` by the server's clock, `age` seconds ago by the same."""

    labels: Mapping[str, str]
    value: float
    at: float
    age: float
    native: Native | None = None


Found = Sequence[Point]


def histogram(series: Series) -> tuple[Wanted, Wanted]:
    """Return what a histogram may be stored as: classic, and native."""
    return Wanted(Series(f"{series.name}_bucket", series.labels)), Wanted(series, native=True)


def wanted(metric: Metric) -> tuple[Wanted, ...]:
    """Return what a metric needs."""
    match metric.events:
        case Ratio(bad, of):
            return Wanted(bad), Wanted(of)
        case Slower(of):
            return histogram(of)


def query(all: Sequence[Wanted], source: Prometheus) -> str:
    """Return the question for all of them, which is answered as they were at one moment."""
    return " or ".join([*_plain(all, source), *(arm for number, one in enumerate(all) for arm in _marked(number, one))])


def points(result: Any, all: Sequence[Wanted]) -> list[list[Point]]:
    """Return the points of each; raise KeyError, TypeError or ValueError when it is no answer to such a question."""
    marked, plain = _read(result)
    return [list(_points(number, one, marked, plain)) for number, one in enumerate(all)]


_Labels = frozenset[tuple[str, str]]
_Marked = Mapping[str, Mapping[_Labels, tuple[float, float]]]
_Plain = Mapping[_Labels, Native]


def _plain(all: Sequence[Wanted], source: Prometheus) -> Iterator[str]:
    """Ask for native histograms by one selector: where labels are alike, `or` would leave out all names but one."""
    if natives := [one.series for one in all if one.native]:
        names = "|".join(sorted({one.name for one in natives}))
        labels = [Label(_NAME, "=~", names)]
        revisions = {label.value for one in natives for label in one.labels if label.name == source.revision}
        if revisions:
            labels.append(Label(source.revision, "=~", "|".join(sorted(map(re.escape, revisions)))))
        yield str(Series("", tuple(labels)))


def _marked(number: int, one: Wanted) -> Iterator[str]:
    values = () if one.native else (("v", f"{one.series}"),)
    for kind, what in (*values, ("t", f"timestamp({one.series})")):
        yield f'label_replace({what}, "{_AS}", "{kind}{number}", "", "")'


def _read(result: Any) -> tuple[_Marked, _Plain]:
    """Return marked values (now, value) by mark and labels, and native histograms by all their labels."""
    marked: dict[str, dict[_Labels, tuple[float, float]]] = {}
    plain: dict[_Labels, Native] = {}
    for one in result:
        labels = {str(name): str(value) for name, value in one["metric"].items()}
        mark = labels.pop(_AS, None)
        if mark is not None and "value" in one:
            labels.pop(_NAME, None)
            now, value = one["value"]
            marked.setdefault(mark, {})[frozenset(labels.items())] = float(now), float(value)
        elif mark is None and "histogram" in one:
            plain[frozenset(labels.items())] = Native.read(one["histogram"][1])
    return marked, plain


def _points(number: int, one: Wanted, marked: _Marked, plain: _Plain) -> Iterator[Point]:
    times = marked.get(f"t{number}", {})
    if one.native:
        for named, native in plain.items():
            labels = dict(named)
            if labels.pop(_NAME) == one.series.name and (found := times.get(frozenset(labels.items()))):
                yield Point(labels, native.count, found[1], max(0.0, found[0] - found[1]), native)
        return
    for labelled, (now, value) in marked.get(f"v{number}", {}).items():
        if found := times.get(labelled):
            yield Point(dict(labelled), value, found[1], max(0.0, now - found[1]))
