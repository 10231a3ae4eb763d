"""How long do answers take, and how do histograms tell of it?

Latencies are mixtures of lognormal distributions. All times are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import erf, log, nan, sqrt

import numpy as np
from numpy.typing import NDArray

Mixture = tuple[tuple[float, float, float], ...]
"""Parts of a distribution: share of the answers, their median, and the standard deviation of their logarithm."""

USUAL: Mixture = ((1.0, 50.0, 0.5),)
"""A service with a median of 50 ms and a p99 of 160 ms."""

BIMODAL: Mixture = ((0.95, 50.0, 0.5), (0.05, 500.0, 0.5))
"""The same service, of whose answers one in twenty takes ten times as long."""

FINE = tuple(round(5 * 2 ** (i / 4), 4) for i in range(49))
"""Edges that are 19 % apart, from 5 ms to 20 s: like those of the Envoy that Interlock brings along."""

COARSE = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6)
"""Envoy's edges, if nobody sets others (`defaultBuckets` in its source/common/stats/histogram_impl.cc)."""


def upto(mixture: Mixture, ms: float) -> float:
    """Share of the answers that take at most so long."""
    return sum(w * 0.5 * (1 + erf(log(ms / m) / (s * sqrt(2)))) for w, m, s in mixture)


def slowed(mixture: Mixture, factor: float) -> Mixture:
    """Let everything take `factor` times as long."""
    return tuple((w, m * factor, s) for w, m, s in mixture)


def slowed_in_part(mixture: Mixture, share: float, factor: float) -> Mixture:
    """Let a share of the answers take `factor` times as long."""
    return tuple((w * (1 - share), m, s) for w, m, s in mixture) + tuple(
        (w * share, m * factor, s) for w, m, s in mixture
    )


def quantile(mixture: Mixture, q: float) -> float:
    """How long the fastest share `q` of the answers takes at most, by bisection."""
    low, high = 1e-3, 1e8
    for _ in range(200):
        middle = sqrt(low * high)
        low, high = (middle, high) if upto(mixture, middle) < q else (low, middle)
    return low


@lru_cache(maxsize=256)
def shares(mixture: Mixture, edges: tuple[float, ...]) -> NDArray[np.float64]:
    """Share of the answers in each bucket, the last of which is open."""
    below = np.array([0.0, *(upto(mixture, e) for e in edges), 1.0])
    share = np.maximum(np.diff(below), 0.0)
    return np.asarray(share / share.sum())


def histogram_quantile(q: float, edges: Sequence[float], counts: Sequence[float]) -> float:
    """Estimate a quantile as Prometheus does: by a straight line within the bucket in which it lies.

    `counts` are cumulative, the last of them all answers; nan without answers, the last edge beyond it. Source:
    `bucketQuantile` in Prometheus' promql/quantile.go.
    """
    if counts[-1] <= 0:
        return nan
    rank = q * counts[-1]
    i = next(i for i, c in enumerate(counts) if c >= rank)
    if i >= len(edges):
        return float(edges[-1])
    low, before = (float(edges[i - 1]), float(counts[i - 1])) if i else (0.0, 0.0)
    within = counts[i] - before
    return float(edges[i]) if within <= 0 else low + (edges[i] - low) * (rank - before) / within
