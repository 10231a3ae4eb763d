"""How does Kayenta decide?

Spinnaker's canary service compares two time series for each metric by a Mann-Whitney test and adds the metrics up to a
score. Sources: `NetflixACAJudge.scala`, `classifiers/metric/MannWhitneyClassifier.scala`, `WeightedSumScorer.scala` of
github.com/spinnaker/kayenta, and `kayenta-mannwhitney` for the test, which finds its bounds with Apache Commons Math's
`BrentSolver` at an absolute accuracy of 0.0001.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import nan, sqrt
from statistics import NormalDist

import numpy as np

from bench.evaluator.contract import Counts, Poll, Setting, reported
from bench.evaluator.latency import histogram_quantile
from bench.evaluator.peers import P99

CONFIDENCE = 0.98
TOLERANCE = 0.25
MARGINAL = 75.0
_POINT = 10.0  # seconds


class RankTest:
    """Mann-Whitney's test of two series, with R's correction for ties and continuity (`wilcox.test`)."""

    def __init__(self, canary: Sequence[float], stable: Sequence[float]) -> None:
        x, y = np.asarray(canary, float), np.asarray(stable, float)
        m, n = len(x), len(y)
        self._differences = np.sort((x[:, None] - y[None, :]).ravel())
        self._half = m * n / 2
        ties = sum(float((c**3 - c).sum()) for c in (np.unique(a, return_counts=True)[1].astype(float) for a in (x, y)))
        both = m + n
        self._deviation = sqrt(max(m * n / 12 * (both + 1 - ties / (both * (both - 1.0))), 1e-12))
        self.low, self.high = float(x.min() - y.max()), float(x.max() - y.min())

    def statistic(self, shift: float) -> float:
        """How many standard deviations the canary lies above stable, if stable were so much higher."""
        below, upto = (int(np.searchsorted(self._differences, shift, s)) for s in ("left", "right"))
        rank = (len(self._differences) - upto) + 0.5 * (upto - below) - self._half
        return (rank - (0.5 if rank > 0 else -0.5 if rank < 0 else 0.0)) / self._deviation

    def lower_bound(self) -> float:
        """The least shift that is credible at 98 %."""
        critical = -NormalDist().inv_cdf((1 - CONFIDENCE) / 2)

        def above(shift: float) -> float:
            return self.statistic(shift) - critical

        at_low, at_high = above(self.low), above(self.high)
        if at_low <= 0:
            return self.low
        return self.high if at_high >= 0 else brent(above, self.low, self.high)

    def estimate(self) -> float:
        """The likeliest shift (Hodges and Lehmann)."""
        return brent(self.statistic, self.low, self.high)


def brent(f: Callable[[float], float], a: float, b: float, accuracy: float = 1e-4) -> float:
    """Find where `f` crosses zero between a and b, in the steps of Commons Math's `BrentSolver`, which end too early.

    For a step function and shares near 0.001 an absolute accuracy of 0.0001 decides the answer, so its way is kept
    (R. P. Brent, "Algorithms for Minimization without Derivatives", 1973, chapter 4).
    """
    fa, fb = f(a), f(b)
    if fa == 0:
        return a
    c, fc = a, fa
    for _ in range(1001):
        if fb == 0:
            return b
        last = b - a
        if abs(fc) < abs(fb):
            a, b, c, fa, fb, fc = b, c, b, fb, fc, fb
        least = 2 * 2.22e-16 * abs(b) + accuracy / 2
        step = (c - b) / 2
        if abs(step) <= least or fb == 0:
            return b
        if abs(last) >= least and abs(fa) > abs(fb):
            step = _interpolated(a, b, c, fa, fb, fc, last, least)
        if abs(step) < least:
            step = least if step > 0 else -least
        a, fa = b, fb
        b += step
        fb = f(b)
        if (fb > 0) == (fc > 0) and fb != 0 and fc != 0:
            c, fc = a, fa
    return b


def _interpolated(a: float, b: float, c: float, fa: float, fb: float, fc: float, last: float, least: float) -> float:
    """Step by secant or inverse parabola where that stays well inside, else by halving."""
    wide = c - b
    if a == c:
        ratio = fb / fa
        p, q = wide * ratio, 1 - ratio
    else:
        q, r, s = fa / fc, fb / fc, fb / fa
        p = s * (wide * q * (q - r) - (b - a) * (r - 1))
        q = (q - 1) * (r - 1) * (s - 1)
    p, q = (p, -q) if p > 0 else (-p, q)
    inside = p < 0.75 * wide * q - abs(least * q) / 2 and p < abs(last * q / 2)
    return p / q if inside else wide / 2


@lru_cache(maxsize=64)
def shift(canary: tuple[float, ...], stable: tuple[float, ...]) -> tuple[float, float]:
    """Return the lower confidence bound of the canary's shift, and its estimate."""
    test = RankTest(canary, stable)
    return test.lower_bound(), test.estimate()


def classify(canary: Sequence[float], stable: Sequence[float], allowed_increase: float) -> str:
    """Return 'nodata', 'pass' or 'high'.

    High: the lower bound is above a quarter of the estimate, and the means' ratio at or above the allowed increase,
    which is not asked where one of the means is zero.
    """
    if not canary or not stable:
        return "nodata"
    if sorted(canary) == sorted(stable) or len({*canary, *stable}) == 1:
        return "pass"
    low, estimate = shift(tuple(canary), tuple(stable))
    mine, theirs = sum(canary) / len(canary), sum(stable) / len(stable)
    ratio = mine / theirs if mine and theirs else nan
    return "high" if low > TOLERANCE * abs(estimate) and not ratio < allowed_increase else "pass"


@dataclass(slots=True)
class Series:
    """One side's points so far, one each ten seconds: failure rates and p99s."""

    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    since: Counts | None = None

    def add(self, counts: Counts | None, edges: Sequence[float], t: float) -> None:
        if counts is not None and reported(counts) is not None and counts["requests"] > 0:
            self.since = counts if self.since is None else _plus(self.since, counts)
        if self.since is not None and t % _POINT < 1e-6:
            self.rates.append(self.since["errors"] / self.since["requests"])
            self.p99s.append(histogram_quantile(P99, edges, self.since["buckets"].tolist()))
            self.since = None


def _plus(a: Counts, b: Counts) -> Counts:
    requests, errors = a["requests"] + b["requests"], a["errors"] + b["errors"]
    return {"requests": requests, "errors": errors, "buckets": a["buckets"] + b["buckets"]}


class Kayenta:
    """An analysis of three growing windows, of failure rate and p99 with a weight of 50 each, both bad when they rise.

    A score of at most 75 fails, and so does no data for half of the metrics. `allowedIncrease` is 1 by default: any
    increase counts if it is significant. Kayenta's manual asks for windows of an hour; here the scenario's horizon is
    parted in three, in favour of its delays.
    """

    def __init__(self, allowed_increase: float = 1.0, runs: int = 3) -> None:
        self.name = "kayenta" if allowed_increase == 1.0 else f"kayenta x{allowed_increase:g}"
        self._allowed, self._runs = allowed_increase, runs

    def reset(self, ctx: Setting) -> None:
        self._edges: Sequence[float] = ctx["edges"] or ()
        self._canary, self._stable = Series(), Series()
        self._window = ctx["horizon_s"] / self._runs
        self._at, self._done = self._window, 0

    def update(self, poll: Poll) -> str:
        self._canary.add(poll["canary"], self._edges, poll["t"])
        self._stable.add(poll["baseline"], self._edges, poll["t"])
        if poll["t"] + 1e-9 < self._at:
            return "continue"
        self._at += self._window
        self._done += 1
        if self._fails():
            return "rollback"
        return "advance" if self._done >= self._runs else "continue"

    def _fails(self) -> bool:
        mine, theirs = self._canary, self._stable
        pairs = ((mine.rates, theirs.rates), (mine.p99s, theirs.p99s))
        found = [classify(a, b, self._allowed) for a, b in pairs]
        score = 100.0 * sum(f != "high" for f in found) / len(found)
        return found.count("nodata") * 2 >= len(found) or score <= MARGINAL
