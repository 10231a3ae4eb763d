"""What would users' requests look like in a sample, at a given weight?

All that a simulation picks at random is picked here. Answers' latency is the service's own where it was measured; else
a log-normal one. One generator of numbers is one rollout: the same seed gives the same traffic, on any machine.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import accumulate
from math import ceil, exp, floor, log, log1p, log10, sqrt
from random import Random
from statistics import NormalDist

from interlock.core.judge import Baseline
from interlock.core.sample import Sample, Side
from interlock.core.weight import Weight

MEDIAN, WIDTH = 50.0, 0.5
"""The answers' latency where none was measured: median in milliseconds, and the standard deviation of its logarithm."""

_BODY = (0.25, 0.9)
_FEW, _SOME = 40.0, 10.0
HISTORY = timedelta(hours=1)
_HISTORY_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Users:
    """So many requests a second, of which each side fails a share. `slower`: the canary's latency by stable's.

    Failures come `bursts` at a time (1: each alone), within a sample; their share stays what it is.
    """

    rate: float
    error_rate: float
    canary_error_rate: float
    slower: float = 1.0
    bursts: float = 1.0


@dataclass(frozen=True, slots=True)
class Latency:
    """How answers spread over the buckets of a histogram: up to each edge (milliseconds) this share of them.

    The body of the distribution is a few wide buckets, as it decides nothing; from its 90 % on there are all edges.
    """

    edges: tuple[float, ...]
    upto: tuple[float, ...]

    @property
    def body(self) -> int:
        """How many buckets are drawn as a whole."""
        return min(len(self.edges), bisect(self.upto, _BODY[-1] - 1e-12) + 1)

    @classmethod
    def measured(cls, latency: Mapping[float, float], slower: float) -> Latency:
        """Return the spread of answers that were counted, each so many times as slow."""
        edges = sorted(latency)
        total = sum(latency.values())
        upto = [count / total for count in accumulate(latency[edge] for edge in edges)]
        return cls._coarse([_grid(edge * slower) for edge in edges], upto)

    @classmethod
    def assumed(cls, slower: float) -> Latency:
        """Return a log-normal spread over the edges of Envoy's histogram."""
        normal = NormalDist(log(MEDIAN * slower), WIDTH)
        edge = _grid(exp(normal.inv_cdf(0.001)))
        edges: list[float] = []
        upto: list[float] = []
        while not upto or upto[-1] < 0.99999:
            edges.append(edge)
            upto.append(normal.cdf(log(edge)))
            edge = _grid(edge * 1.0001)
        upto[-1] = 1.0
        return cls._coarse(edges, upto)

    @classmethod
    def _coarse(cls, edges: list[float], upto: list[float]) -> Latency:
        """Keep the edges that matter, each once."""
        share = dict(zip(edges, upto, strict=True))
        bounds = list(_BODY)
        kept: dict[float, float] = {}
        for edge, reached in share.items():
            if reached >= _BODY[-1] or (bounds and reached >= bounds[0]):
                kept[edge] = reached
                bounds = [bound for bound in bounds if bound > reached]
        return cls(tuple(kept), tuple(kept.values()))


class Traffic:
    """Draws the samples of one rollout."""

    def __init__(self, users: Users, random: Random, latency: tuple[Latency, Latency]) -> None:
        self._users, self._random = users, random
        self._canary, self._stable = latency

    def sample(self, now: float, covers: float, weight: Weight) -> Sample:
        """Return what both sides did in the `covers` seconds up to `now`."""
        users, requests = self._users, self._users.rate * covers
        canary = self._side(requests * weight.share, users.canary_error_rate, self._canary)
        stable = self._side(requests * weight.rest.share, users.error_rate, self._stable)
        return Sample(now, timedelta(seconds=covers), canary, stable)

    def load(self, now: float, covers: float, rate: float) -> Sample:
        """Return what both sides did with so many requests a second of our own: what they do with those of users."""
        canary = self._side(rate * covers, self._users.canary_error_rate, self._canary)
        stable = self._side(rate * covers, self._users.error_rate, self._stable)
        return Sample(now, timedelta(seconds=covers), canary, stable)

    def _side(self, expected: float, error_rate: float, latency: Latency) -> Side:
        n = poisson(self._random, expected)
        failed = self._failed(n, error_rate)
        return Side(float(n), float(n), float(failed), spread(self._random, n, latency))

    def _failed(self, n: int, rate: float) -> int:
        bursts = self._users.bursts
        if bursts <= 1 or rate >= 1:
            return binomial(self._random, n, rate)
        return min(n, round(bursts * binomial(self._random, n, rate / bursts)))


def stables_hour(users: Users, random: Random, latency: Latency) -> Baseline:
    """Draw the hour of stable's traffic before a rollout."""
    traffic = Traffic(users, random, (latency, latency))
    baseline, every = Baseline(), _HISTORY_EVERY.total_seconds()
    for number in range(HISTORY // _HISTORY_EVERY):
        sample = traffic.sample(every * (number + 1), every, Weight(0))
        if sample.stable is not None:
            baseline = baseline.add(sample.stable)
    return baseline


def spread(random: Random, n: int, latency: Latency) -> dict[float, float]:
    """Spread n answers over the buckets; only the filled ones are listed, as Envoy does."""
    drawn: dict[float, float] = {}
    left, below, body = n, 0.0, latency.body
    for edge, upto in zip(latency.edges[:body], latency.upto, strict=False):
        count = binomial(random, left, (upto - below) / (1.0 - below) if below < 1.0 else 0.0, _SOME)
        if count:
            drawn[edge] = float(count)
        left, below = left - count, upto
    if left > _FEW:
        return drawn | _spread_many(random, left, below, latency)
    for _ in range(left):
        place = min(bisect(latency.upto, below + random.random() * (1.0 - below)), len(latency.edges) - 1)
        drawn[latency.edges[place]] = drawn.get(latency.edges[place], 0.0) + 1.0
    return drawn


def _spread_many(random: Random, left: int, below: float, latency: Latency) -> dict[float, float]:
    drawn: dict[float, float] = {}
    for edge, upto in zip(latency.edges[latency.body :], latency.upto[latency.body :], strict=True):
        if left <= 0:
            break
        count = left if upto >= 1.0 else binomial(random, left, (upto - below) / (1.0 - below))
        if count:
            drawn[edge] = float(count)
        left, below = left - count, upto
    return drawn


def poisson(random: Random, mean: float) -> int:
    """Draw a number of independent events: exactly where few are expected, by the normal approximation else."""
    if mean <= 0:
        return 0
    if mean > _FEW:
        return max(0, round(random.gauss(mean, sqrt(mean))))
    threshold, number, product = exp(-mean), 0, random.random()
    while product > threshold:
        number, product = number + 1, product * random.random()
    return number


def binomial(random: Random, n: int, p: float, few: float = _FEW) -> int:
    """Draw how many of n come out: exactly where few are expected, by the normal approximation else."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(random, n, 1.0 - p, few)
    if n * p > few:
        return min(n, max(0, round(random.gauss(n * p, sqrt(n * p * (1.0 - p))))))
    # The gaps between those that come out are geometric: as many draws as come out, and one.
    number, position, scale = 0, 0, log1p(-p)
    while True:
        position += floor(log(1.0 - random.random()) / scale) + 1
        if position > n:
            return number
        number += 1


@cache
def _grid(at_least: float) -> float:
    """The edge of Envoy's histogram at or above: two digits and a power of ten."""
    unit: float = 10.0 ** (floor(log10(at_least) + 1e-12) - 1)
    return float(f"{ceil(at_least / unit - 1e-6) * unit:.2g}")
