"""Which edges of a latency histogram can tell whether the canary's p99 is too high?

We never estimate a quantile: "p99 is above 2 × stable's" is tested as "more of the canary's answers are slower than 2u
than of stable's are slower than u", for edges u near stable's p99. A histogram either lists all its edges, the last of
them infinite, or only the filled buckets of Envoy's log-linear histogram, whose edges are two digits and a power of
ten. Nothing is interpolated: where there is no such edge, latency cannot be judged, and we say so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from math import ceil, floor, inf, log, log10, sqrt

from interlock.core.criteria import Criteria
from interlock.core.judge.baseline import UNKNOWN_CLUSTERING, Baseline
from interlock.core.judge.stream import Count, Limits, Stream
from interlock.core.sample import Side

ENOUGH_ANSWERS = 500
"""So many answers of stable are needed before its p99 means anything."""

_P99 = 0.01
_LEAST_SLOW = 5
_FINEST = 1.0
_NOISE = 1.0 + 1e-9


@dataclass(frozen=True, slots=True)
class Edge:
    """Where slow begins, in milliseconds, on stable's and on canary's side; `share` of stable's answers were slower."""

    stable: float
    canary: float
    share: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The evidence on slow answers: beyond which edges they are counted, the nearest to p99 first, and what they say.

    Without any edge latency cannot be judged, and the stream stays without evidence.
    """

    edges: tuple[Edge, ...]
    stream: Stream

    def take(self, canary: Side | None, stable: Side | None, guarded: bool, left: float) -> Latency:
        """Take in one sample, as `Stream.take` does."""
        mine = _count(canary, tuple([e.canary for e in self.edges]))
        theirs = _count(stable, tuple([e.stable for e in self.edges]))
        return Latency(self.edges, self.stream.take(mine, theirs, guarded, left))

    @property
    def answers(self) -> float:
        """How many of the canary's answers have been weighed."""
        return self.stream.counts.requests


def choose(
    criteria: Criteria, canary: Mapping[float, float], known: tuple[Baseline, ...], hazard: float
) -> Latency | None:
    """Choose the edges from the canary's layout and what is known of stable; None while too little is known of it."""
    if criteria.latency_p99 is not None:
        edge = _edge_from(canary, criteria.latency_p99 / timedelta(milliseconds=1))
        return _fixed(criteria, None if edge is None else Edge(edge, edge, _P99), UNKNOWN_CLUSTERING, hazard)
    enough = [b for b in known if b.answers >= ENOUGH_ANSWERS]
    if not enough:
        return None
    factor = criteria.latency_factor
    found = [(b, edges) for b in enough if (edges := _near_p99(b, canary, factor))]
    if not found:
        return _fixed(criteria, _beyond_p99(enough[0], canary, factor), enough[0].slowness.clustering, hazard)
    baseline, edges = found[0]
    first = edges[0]
    fine = 0.005 <= first.share <= 0.02 and first.canary <= 1.2 * factor * max(first.stable, _FINEST)
    allowed = tuple([_allowed(e.share, baseline) for e in edges])
    clustering = baseline.slowness.clustering
    limits = Limits.of(criteria, allowed, 1 if fine else len(edges), compared=True, clustering=clustering)
    return Latency(edges, Stream.start(limits, hazard))


def _fixed(criteria: Criteria, edge: Edge | None, clustering: float, hazard: float) -> Latency:
    """Allow one answer in a hundred beyond one edge, whatever stable has there; without an edge nothing is judged."""
    limits = Limits.of(criteria, (_P99,), 1, compared=False, clustering=clustering)
    return Latency(() if edge is None else (edge,), Stream.start(limits, hazard))


def _beyond_p99(baseline: Baseline, canary: Mapping[float, float], factor: float) -> Edge | None:
    """The first edge that at most one of stable's answers in a hundred is beyond: for tails that end as if cut off.

    Hardly any answer is beyond it, so that nothing can be compared; but the canary's p99 is too high exactly when more
    than one of its answers in a hundred is beyond `factor` times that edge.
    """
    for u in sorted(edge for edge in baseline.latency if edge < inf):
        share = baseline.slower(u) / baseline.answers
        if share <= _P99:
            v = _edge_from(canary, factor * max(u, _FINEST))
            return None if v is None else Edge(u, v, share)
    return None


def _near_p99(baseline: Baseline, canary: Mapping[float, float], factor: float) -> tuple[Edge, ...]:
    """Up to three edges, the nearest to p99 first; none when all are too far from it to call the latency safe."""
    answers = baseline.answers
    found = []
    for u in [edge for edge in baseline.latency if edge < inf]:
        slow = baseline.slower(u)
        v = _edge_from(canary, factor * max(u, _FINEST))
        if v is not None and slow >= _LEAST_SLOW:
            found.append(Edge(u, v, slow / answers))
    found.sort(key=lambda e: abs(log(e.share / _P99)))
    near = [e for e in found if 0.0025 <= e.share <= 0.03][:3] or [e for e in found if 0.0002 <= e.share <= 0.1][:2]
    return tuple(near) if any(e.share <= 0.02 for e in near) else ()


def _allowed(share: float, baseline: Baseline) -> float:
    """The share of slow answers we allow beside what was seen: one standard error more, and at most half."""
    spread = 1.0 + baseline.answers / max(baseline.samples, 1) * baseline.slowness.clustering
    return min(share + sqrt(share * spread / baseline.answers), 0.5)


def _edge_from(layout: Mapping[float, float], at_least: float) -> float | None:
    """The smallest finite edge of this layout, in milliseconds, that is not below `at_least`; None if there is none."""
    if inf not in layout:
        return _log_linear(at_least)
    return min((e for e in layout if at_least <= e * _NOISE and e < inf), default=None)


def _count(side: Side | None, edges: tuple[float, ...]) -> Count | None:
    """Count a side's answers and the slow ones; None when that takes guessing."""
    if side is None or not side.latency:
        return None
    order, starts = _places(tuple(side.latency), edges)
    if not starts:
        return None
    counts = list(side.latency.values()) if order is None else [side.latency[e] for e in order]
    total, slow = float(sum(counts)), tuple([float(sum(counts[i:])) for i in starts])
    return Count(total, slow) if total < inf and min(slow) >= 0.0 and max(slow) <= total else None


@lru_cache(maxsize=256)
def _places(layout: tuple[float, ...], edges: tuple[float, ...]) -> tuple[tuple[float, ...] | None, tuple[int, ...]]:
    """Return the layout in order, None if it was, and at which bucket slow begins for each edge, if that is known."""
    if not (set(edges) <= set(layout) if inf in layout else _on_grid(edges)):
        return None, ()
    order = tuple(sorted(layout))
    starts = tuple(bisect_right(order, edge * _NOISE) for edge in edges)
    return (None if order == layout else order), starts


def _on_grid(edges: tuple[float, ...]) -> bool:
    return all(e == 0 or abs(_log_linear(e) - e) <= 1e-6 * e for e in edges)


def _log_linear(at_least: float) -> float:
    unit = 10.0 ** (floor(log10(at_least) + 1e-12) - 1)
    return ceil(at_least / unit - 1e-6) * unit
