"""How did stable do before the canary came?

A `Baseline` is a sum of samples, so two of them add; a `History` keeps the last hour of them in blocks of five minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import isfinite, sqrt

from interlock.core.sample import Side

UNKNOWN_CLUSTERING = 0.002
"""Assumed correlation of bad requests within one sample when there is too little history to estimate it."""

_LEAST_CLUSTERING = 1e-4


@dataclass(frozen=True, slots=True)
class Spread:
    """How far bad events of one kind cluster in samples: how many samples were looked at, the sums over them of the
    squared deviation beyond the binomial one, and of what that would be if all requests of a sample went together."""

    samples: int = 0
    excess: float = 0.0
    whole: float = 0.0
    requests: float = 0.0

    def __add__(self, other: Spread) -> Spread:
        return Spread(
            self.samples + other.samples,
            self.excess + other.excess,
            self.whole + other.whole,
            self.requests + other.requests,
        )

    @classmethod
    def of(cls, n: float, k: float, past: float, past_bad: float) -> Spread:
        """One sample, k of n, beside what the past made us expect; nothing when the past is too thin for that."""
        if n <= 1 or past_bad < 5 or past_bad >= past:
            return cls()
        p = past_bad / past
        binomial = p * (1 - p) * n
        return cls(1, (k - n * p) ** 2 - binomial * (1 + n / past), binomial * (n - 1), n)

    @property
    def clustering(self) -> float:
        """Upper estimate, by two standard errors, of the correlation of bad events within one sample."""
        mean = self.requests / self.samples if self.samples else 0.0
        if self.samples < 10 or mean <= 2 or self.whole <= 0:
            return UNKNOWN_CLUSTERING
        estimate = min(1.0, max(0.0, self.excess / self.whole))
        error = sqrt(2.0 / self.samples) * (1 + (mean - 1) * estimate) / (mean - 1)
        return min(1.0, max(_LEAST_CLUSTERING, estimate + 2 * error))


@dataclass(frozen=True, slots=True)
class Baseline:
    """Counts of stable's samples, their latency (upper edge of a bucket in milliseconds -> answers in it), and how much
    failures and slow answers cluster."""

    samples: int = 0
    requests: float = 0.0
    failed: float = 0.0
    latency: Mapping[float, float] = field(default_factory=dict)
    failures: Spread = Spread()
    slowness: Spread = Spread()

    @classmethod
    def of(cls, side: Side) -> Baseline:
        """One sample as a baseline; nothing of it when its numbers are no numbers."""
        n = side.completed
        k = min(side.failed, n)
        if not (isfinite(n) and isfinite(k)) or n <= 0 or k < 0:
            return cls()
        return cls(1, n, k, dict(side.latency) if sound(side.latency) else {})

    def __add__(self, other: Baseline) -> Baseline:
        known = self.latency.get
        latency = {**self.latency, **{edge: known(edge, 0.0) + count for edge, count in other.latency.items()}}
        return Baseline(
            self.samples + other.samples,
            self.requests + other.requests,
            self.failed + other.failed,
            latency,
            self.failures + other.failures,
            self.slowness + other.slowness,
        )

    def add(self, side: Side) -> Baseline:
        """Take in one more sample, and compare it with those before to learn how bad events cluster."""
        return self + self.beside(side)

    def beside(self, side: Side) -> Baseline:
        """One sample as a baseline, with its spread beside what is known so far."""
        one = Baseline.of(side)
        failures = Spread.of(one.requests, one.failed, self.requests, self.failed)
        edge, slow = self._p99()
        slowness = Spread.of(one.answers, one.slower(edge), self.answers, slow)
        return Baseline(one.samples, one.requests, one.failed, one.latency, failures, slowness)

    @property
    def error_rate(self) -> float | None:
        """Failed by all requests, 0 to 1; None without requests."""
        return self.failed / self.requests if self.requests > 0 else None

    @property
    def answers(self) -> float:
        """How many answers have a latency."""
        return float(sum(self.latency.values()))

    def slower(self, edge: float) -> float:
        """How many answers took longer than `edge` milliseconds, an edge of the histogram."""
        beyond = edge * (1.0 + 1e-9)
        return float(sum([count for upper, count in self.latency.items() if upper > beyond]))

    def _p99(self) -> tuple[float, float]:
        """The highest edge that at least 1 % of the answers exceed, and how many do."""
        slow, share = 0.0, 0.01 * self.answers
        above = 0.0
        for edge in sorted(self.latency, reverse=True):
            if slow >= share:
                return edge, slow
            slow += self.latency[edge]
            above = edge
        return above, 0.0


@dataclass(frozen=True, slots=True)
class History:
    """Stable's last hour: blocks of (seconds covered, what happened), the newest last."""

    block: timedelta = timedelta(minutes=5)
    keep: timedelta = timedelta(minutes=60)
    blocks: tuple[tuple[float, Baseline], ...] = ()

    def add(self, side: Side, covers: timedelta) -> History:
        """Remember one more sample of stable and forget what is older than `keep`."""
        seconds, sample = covers.total_seconds(), self.baseline.beside(side)
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
    """Whether a histogram can be used: it has buckets, and their counts are finite and not negative."""
    return bool(latency) and min(latency.values()) >= 0.0 and isfinite(sum(latency.values()))
