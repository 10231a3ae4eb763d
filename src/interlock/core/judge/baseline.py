"""How did stable do before the canary came?

A `Baseline` is a sum of samples, so two of them add; a `History` keeps the last hour of them in blocks of five minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf, isfinite, sqrt

from interlock.core.sample import Side

UNKNOWN_CLUSTERING = 0.002
"""Assumed correlation of bad requests within one sample when there is too little history to estimate it."""

_LEAST_CLUSTERING = 1e-4


@dataclass(frozen=True, slots=True)
class Baseline:
    """Counts of stable's samples and their latency: upper edge of a bucket in milliseconds -> answers in it.

    The three squares are sums over samples (requests², requests × failed, failed²): they tell how failures cluster.
    """

    samples: int = 0
    requests: float = 0.0
    failed: float = 0.0
    requests_squared: float = 0.0
    requests_failed: float = 0.0
    failed_squared: float = 0.0
    latency: Mapping[float, float] = field(default_factory=dict)

    @classmethod
    def of(cls, side: Side) -> Baseline:
        """One sample as a baseline; nothing of it when its numbers are no numbers."""
        n = side.completed
        k = min(side.failed, n)
        if not (isfinite(n) and isfinite(k)) or n <= 0 or k < 0:
            return cls()
        return cls(1, n, k, n * n, n * k, k * k, dict(side.latency))

    def __add__(self, other: Baseline) -> Baseline:
        latency = dict(self.latency)
        for edge, count in other.latency.items():
            latency[edge] = latency.get(edge, 0.0) + count
        return Baseline(
            self.samples + other.samples,
            self.requests + other.requests,
            self.failed + other.failed,
            self.requests_squared + other.requests_squared,
            self.requests_failed + other.requests_failed,
            self.failed_squared + other.failed_squared,
            latency,
        )

    @property
    def error_rate(self) -> float | None:
        """Failed by all requests, 0 to 1; None without requests."""
        return self.failed / self.requests if self.requests > 0 else None

    @property
    def answers(self) -> float:
        """How many answers have a latency."""
        return sum(self.latency.values())

    def slower(self, edge: float) -> float:
        """How many answers took longer than `edge` milliseconds, an edge of the histogram."""
        return sum(count for upper, count in self.latency.items() if upper > edge)

    @property
    def clustering(self) -> float:
        """Upper estimate (by two standard errors) of the correlation of failures within one sample."""
        count, n, k = self.samples, self.requests, self.failed
        if count < 10 or k < 10 or n <= 2 * count or k >= n:
            return UNKNOWN_CLUSTERING
        p = k / n
        pairs = p * (1 - p) * (self.requests_squared - n)
        excess = self.failed_squared - 2 * p * self.requests_failed + p * p * self.requests_squared - p * (1 - p) * n
        estimate = min(1.0, max(0.0, excess / pairs)) if pairs > 0 else UNKNOWN_CLUSTERING
        mean = n / count
        error = sqrt(2.0 / count) * (1 + (mean - 1) * estimate) / (mean - 1)
        return min(1.0, max(_LEAST_CLUSTERING, estimate + 2 * error))


@dataclass(frozen=True, slots=True)
class History:
    """Stable's last hour: blocks of (seconds covered, what happened), the newest last."""

    block: timedelta = timedelta(minutes=5)
    keep: timedelta = timedelta(minutes=60)
    blocks: tuple[tuple[float, Baseline], ...] = ()

    def add(self, side: Side, covers: timedelta) -> History:
        """Remember one more sample of stable and forget what is older than `keep`."""
        seconds, sample = covers.total_seconds(), Baseline.of(side)
        blocks = list(self.blocks)
        if blocks and blocks[-1][0] + seconds <= self.block.total_seconds():
            blocks[-1] = (blocks[-1][0] + seconds, blocks[-1][1] + sample)
        else:
            blocks.append((seconds, sample))
        while len(blocks) > 1 and sum(s for s, _ in blocks[1:]) >= self.keep.total_seconds():
            del blocks[0]
        return History(self.block, self.keep, tuple(blocks))

    @property
    def baseline(self) -> Baseline:
        """All of it as one value, to begin a judge with."""
        return sum((b for _, b in self.blocks), Baseline())


def sound(latency: Mapping[float, float]) -> bool:
    """Whether a histogram can be used: buckets with finite, non-negative counts."""
    return bool(latency) and all(0.0 <= count < inf and edge >= 0 for edge, count in latency.items())
