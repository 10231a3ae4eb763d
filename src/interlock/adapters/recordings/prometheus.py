"""What does the answer of a Prometheus to a range query say of both sides?

A result is one series with its labels and its values over time. One label tells the sides; what a series counts is told
by its name and labels: see `_kind`. All are cumulative counters, so resets and replaced instances are seen to here, as
in every reading: by source first, summed then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf, isfinite, isnan
from typing import Any

from interlock.core.recording import Recording, RecordingError, Sampled, of_samples
from interlock.core.sample import Counters, Reading, difference
from interlock.core.weight import NONE

CODES = ("code", "status", "status_code", "response_code", "envoy_response_code_class", "envoy_response_code", "class")
"""Labels that carry the status of an answer: 5, 5xx or 503 is a failure."""

_FAILED = ("fail", "error", "5xx")
_EXPECTED = 'expected the answer of /api/v1/query_range: {"status":"success","data":{"resultType":"matrix",…}}'


@dataclass(frozen=True, slots=True)
class Sides:
    """Which label tells the sides, and by which values."""

    label: str = "side"
    canary: str = "canary"
    stable: str = "stable"


@dataclass(slots=True)
class _Source:
    """One source of one side at one moment, as it is put together from its series."""

    total: float = 0.0
    coded: float = 0.0
    failed: float = 0.0
    has_total: bool = False
    has_codes: bool = False
    edges: dict[float, float] = field(default_factory=dict)

    def counters(self) -> Counters:
        """Return its counters; of the two ways to count all requests the one by status is taken."""
        total = self.coded if self.has_codes else self.total
        if not (self.has_codes or self.has_total) and self.edges:
            total = max(self.edges.values())
        latency, below = {}, 0.0
        for edge in sorted(self.edges):
            latency[edge], below = max(0.0, self.edges[edge] - below), self.edges[edge]
        return Counters(total, total, self.failed, latency)


def read(name: str, text: str, sides: Sides = Sides()) -> Recording:
    """Read an answer; raise RecordingError saying what was expected where."""
    series = _series(name, text)
    found = _by_moment(name, series, sides)
    samples = list(_samples(found, sides))
    if not samples:
        raise RecordingError(f"{name}: expected at least two moments with values of the canary, found fewer")
    return of_samples(name, samples)


def _series(name: str, text: str) -> list[tuple[Mapping[str, str], Sequence[Any]]]:
    try:
        answer = json.loads(text)
    except ValueError as broken:
        raise RecordingError(f"{name}: {_EXPECTED}, found no JSON: {broken}") from broken
    if isinstance(answer, dict) and answer.get("status") == "error":
        raise RecordingError(f"{name}: Prometheus answered with an error: {answer.get('error', 'unknown')}")
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        kind = data.get("resultType") if isinstance(data, dict) else None
        found = f'"resultType":"{kind}"' if kind else "another document"
        raise RecordingError(f"{name}: {_EXPECTED}, found {found}")
    series: list[tuple[Mapping[str, str], Sequence[Any]]] = []
    for number, one in enumerate(data["result"], 1):
        values = one.get("values") if isinstance(one, dict) else None
        if not isinstance(values, list) or not isinstance(one.get("metric"), dict):
            raise RecordingError(f'{name}, series {number}: expected "metric" with labels and "values", found none')
        series.append((one["metric"], values))
    return series


def _by_moment(
    name: str, series: Sequence[tuple[Mapping[str, str], Sequence[Any]]], sides: Sides
) -> dict[float, dict[str, dict[str, _Source]]]:
    """Put series together: moment -> side -> source -> what was counted."""
    found: dict[float, dict[str, dict[str, _Source]]] = {}
    values = {sides.canary, sides.stable}
    for number, (labels, points) in enumerate(series, 1):
        side = labels.get(sides.label)
        if side not in values or labels.get("__name__", "").endswith("_sum"):
            continue
        source = _source(labels, sides)
        for at, value in _points(f"{name}, series {number}", points):
            _count(found.setdefault(at, {}).setdefault(side, {}).setdefault(source, _Source()), labels, value)
    if not any(sides.canary in moment for moment in found.values()):
        raise RecordingError(f"{name}: {_no_side(series, sides)}")
    return dict(sorted(found.items()))


def _no_side(series: Sequence[tuple[Mapping[str, str], Sequence[Any]]], sides: Sides) -> str:
    seen = sorted({str(labels[sides.label]) for labels, _ in series if sides.label in labels})
    labels = sorted({label for one, _ in series for label in one} - {"__name__"})
    has = f"it has the values {', '.join(seen)}" if seen else f"there are the labels {', '.join(labels) or 'none'}"
    return (
        f'expected series with the label {sides.label}="{sides.canary}", found none; {has}. '
        "Say which label tells the sides: --sides LABEL=CANARY,STABLE"
    )


def _points(where: str, points: Sequence[Any]) -> Iterator[tuple[float, float]]:
    for position, point in enumerate(points, 1):
        try:
            at, value = point
            moment, number = float(at), float(value)
        except (TypeError, ValueError):
            raise RecordingError(f'{where}, value {position}: expected [seconds, "number"], found {point!r}') from None
        if not isnan(number) and isfinite(moment):
            yield moment, number


def _source(labels: Mapping[str, str], sides: Sides) -> str:
    """Name what counts: all labels but those that tell the side and what is counted."""
    own = sorted(f"{k}={v}" for k, v in labels.items() if k not in ("__name__", "le", "quantile", sides.label, *CODES))
    return ",".join(own)


def _count(source: _Source, labels: Mapping[str, str], value: float) -> None:
    """Add a series' value to what it counts: an edge of the latency, requests by status, failures, or all requests."""
    name = labels.get("__name__", "")
    code = next((labels[label] for label in CODES if labels.get(label)), None)
    if "le" in labels:
        edge = _edge(name, labels["le"])
        source.edges[edge] = source.edges.get(edge, 0.0) + value
    elif code is not None:
        source.has_codes, source.coded = True, source.coded + value
        source.failed += value if code.startswith("5") else 0.0
    elif any(word in name for word in _FAILED):
        source.failed += value
    elif not (source.has_total and name.endswith("_count")):  # a histogram counts what was counted already
        source.has_total, source.total = True, source.total + value


def _edge(name: str, le: str) -> float:
    """Return an edge in milliseconds: Prometheus has seconds, but for names that say so, and Envoy's."""
    edge = float(le)
    milliseconds = "_ms_" in name or "milliseconds" in name or name.startswith("envoy_")
    return edge if milliseconds or edge == inf else round(edge * 1000, 6)


def _samples(found: Mapping[float, Mapping[str, Mapping[str, _Source]]], sides: Sides) -> Iterator[Sampled]:
    """Difference the moments; a source that was not seen for a moment keeps what it had."""
    before: Reading | None = None
    compared = any(sides.stable in moment for moment in found.values())
    for at, moment in found.items():
        revisions = {side: {s: one.counters() for s, one in sources.items()} for side, sources in moment.items()}
        last = before.revisions if before is not None else {}
        now = Reading(at, "", {side: {**last.get(side, {}), **sources} for side, sources in revisions.items()})
        sample = difference(before, now, sides.canary, sides.stable)
        before = Reading(at, "", {**last, **now.revisions})
        if sample is not None and (sample.canary is not None or sides.canary in last):
            yield Sampled(datetime.fromtimestamp(at, UTC), 0, NONE, compared, sample)
