"""Which edges of a latency histogram can tell whether the canary's p99 is too high?

We never estimate a quantile: "p99 is above 2 × stable's" is tested as "more of the canary's answers are slower than 2u
than of stable's are slower than u", for edges u near stable's p99. A histogram either lists all its edges, the last of
them infinite, or only the filled buckets of Envoy's log-linear histogram, whose edges are two digits and a power of
ten. Nothing is interpolated: where there is no such edge, latency cannot be judged, and we say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, inf, log, log10, sqrt

from interlock.core.judge.baseline import UNKNOWN_CLUSTERING, Baseline

ENOUGH_ANSWERS = 500
"""So many answers of stable are needed before its p99 means anything."""

_LEAST_SLOW = 5
_FINEST = 1.0
_NOISE = 1.0 + 1e-9


def slower(latency: Mapping[float, float], edge: float) -> float:
    """How many answers took longer than `edge` milliseconds."""
    beyond = edge * _NOISE
    return float(sum([count for upper, count in latency.items() if upper > beyond]))


def has_edge(latency: Mapping[float, float], edge: float) -> bool:
    """Whether answers slower than `edge` can be counted without guessing."""
    return edge in latency if inf in latency else abs(_log_linear(edge) - edge) <= 1e-6 * edge


def edge_from(latency: Mapping[float, float], at_least: float) -> float | None:
    """Return the smallest finite edge of this layout, in milliseconds, that is not below `at_least`; None if none."""
    if inf not in latency:
        return _log_linear(at_least)
    return min((e for e in latency if at_least <= e * _NOISE and e < inf), default=None)


def edges(baseline: Baseline, canary: Mapping[float, float], factor: float) -> tuple[tuple[float, float, float], ...]:
    """Up to three (u, v, share): `share` of stable's answers are slower than u; v is the canary's edge at factor × u.

    The nearest to p99 come first; empty when none of them is near enough to call the latency safe.
    """
    answers = baseline.answers
    found = []
    for u in [edge for edge in baseline.latency if edge < inf]:
        slow = baseline.slower(u * _NOISE)
        v = edge_from(canary, factor * max(u, _FINEST))
        if v is not None and slow >= _LEAST_SLOW:
            found.append((abs(log(slow / answers / 0.01)), u, v, slow / answers))
    found.sort()
    near = [f for f in found if 0.0025 <= f[3] <= 0.03][:3] or [f for f in found if 0.0002 <= f[3] <= 0.1][:2]
    if not any(share <= 0.02 for _, _, _, share in near):
        return ()
    return tuple((u, v, share) for _, u, v, share in near)


def allowed(share: float, answers: float, samples: int) -> float:
    """The share of slow answers we allow when `share` of so many were seen: one standard error more, and below half."""
    spread = 1.0 + answers / max(samples, 1) * UNKNOWN_CLUSTERING
    return min(share + sqrt(share * spread / answers), 0.5)


def _log_linear(at_least: float) -> float:
    unit = 10.0 ** (floor(log10(at_least) + 1e-12) - 1)
    return ceil(at_least / unit - 1e-6) * unit
