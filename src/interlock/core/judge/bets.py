"""By which factor does one observation change the odds?

Each function returns one factor for each alternative, and each factor is at most 1 on average when the assumption in
its docstring holds. All of them take fractional counts, for counters that were extrapolated. What one observation is
matters more than which formula: requests of one sample fail together, so the absolute test bets on the sample's bad
*fraction* and needs only its mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log

_LARGEST_LOG = 200.0
_LARGEST = exp(_LARGEST_LOG)

ABSOLUTE = (1.5, 2.0, 3.0, 5.0, 30.0)
"""Bad rates we bet on, in multiples of the limit."""

ABSOLUTE_PRIOR = (0.07, 0.30, 0.25, 0.25, 0.06, 0.07)

BURST = 0.05
"""A small constant stake: it wins on errors that come in rare bursts, which ruin the larger ones in between."""

RELATIVE = (1.5, 3.0, 8.0, 40.0)
"""Ratios of canary's to stable's bad rate we bet on, in multiples of the ratio allowed."""

RELATIVE_PRIOR = (0.25, 0.42, 0.24, 0.09)

SAFE = (0.02, 0.15, 0.35, 0.6, 0.8)
"""Bad rates, in multiples of the rate a release is to be proven below, we bet on when we look for that proof."""

SAFE_PRIOR = (0.25, 0.25, 0.20, 0.20, 0.10)

CATASTROPHE = (0.375, 0.875)
"""Where between the catastrophic rate and 1 the catastrophes lie we bet on: 50 % and 90 % for a rate of 20 %."""

CATASTROPHE_PRIOR = (0.4, 0.6)


def absolute(limits: tuple[float, ...], n: float, bad: Sequence[float]) -> list[float]:
    """Test "the expected bad fraction of a sample is at most the limit", whatever the dependence among its n requests.

    There may be several kinds of bad at once, each with its limit. A stake c on the fraction k/n pays
    1 + c (k/(n limit) - 1), which no dependence can bias. For an alternative d above the limit the stake is
    x(1+x)/(1+x+x²) with x = n d: near the best one from a single request (the likelihood ratio) to very many, where it
    is everything, since the fraction's own noise then hardly matters.
    """
    factors = []
    for (limit, distances), k in zip(_distances(limits), bad):  # noqa: B905
        gain = k / (n * limit) - 1.0
        for d in distances:
            x = n * d
            y = x + x * x
            factors.append(1.0 + gain * y / (1.0 + y))
        factors.append(1.0 + gain * BURST)
    return factors


def catastrophe(limit: float, n: float, k: float) -> list[float]:
    """Test "at most `limit` of the requests are bad, independently": a few failing requests must suffice."""
    good = n - k
    return _exp([k * bad + good * well for bad, well in _catastrophe_logs(limit)])


def safe(limit: float, n: float, k: float, clustering: float) -> list[float]:
    """Test "at least `limit` of the requests are bad"; large factors speak for the release.

    `clustering` is the correlation of bad requests within a sample: n requests count as n / (1 + (n-1) clustering).
    """
    weight = 1.0 / spread(n, clustering)
    k, good = k * weight, (n - k) * weight
    return _exp([k * bad + good * well for bad, well in _safe_logs(limit)])


def relative(
    n: float, bad: Sequence[float], m: float, stable_bad: Sequence[float], ratio: float, multiples: tuple[float, ...]
) -> list[float]:
    """Test "canary's bad rate is at most `ratio` times stable's" from n requests on canary's and m on stable's side.

    There may be several kinds of bad at once. For multiples below 1 it tests "at least". From which side a bad request
    came is binomial, so whatever befalls both sides alike cancels (Lindon and Malek, NeurIPS 2022); the mean is at most
    1 for independent requests of any rate.
    """
    weighted = ratio * n
    before = weighted + m
    if len(bad) == 1:
        k, both = bad[0], bad[0] + stable_bad[0]
        return _exp([k * lc + both * log(before / (c * weighted + m)) for c, lc in _logs(multiples)])
    logs = [(lc, log(before / (c * weighted + m))) for c, lc in _logs(multiples)]
    pairs = zip(bad, stable_bad)  # noqa: B905
    return _exp([k * lc + (k + j) * share for k, j in pairs for lc, share in logs])


def _exp(logs: list[float]) -> list[float]:
    if max(logs) < _LARGEST_LOG:
        return list(map(exp, logs))
    return [exp(x) if x < _LARGEST_LOG else _LARGEST for x in logs]


def spread(n: float, clustering: float) -> float:
    """How many clustered requests carry the information of one independent request."""
    return 1.0 + (n - 1.0) * clustering if n > 1.0 else 1.0


def safe_growth(limit: float, rate: float) -> tuple[float, ...]:
    """How much one request adds to the logarithm of each factor of `safe` on average when `rate` of them are bad."""
    return tuple(rate * bad + (1.0 - rate) * well for bad, well in _safe_logs(limit))


def prior(weights: tuple[float, ...], kinds: int) -> tuple[float, ...]:
    """Spread the stakes evenly over so many kinds of bad."""
    return weights if kinds == 1 else tuple(w / kinds for w in weights) * kinds


@lru_cache(maxsize=256)
def _distances(limits: tuple[float, ...]) -> tuple[tuple[float, tuple[float, ...]], ...]:
    return tuple((p, tuple(max(0.0, min(c * p, 0.98) - p) for c in ABSOLUTE)) for p in limits)


@lru_cache(maxsize=256)
def _logs(multiples: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    return tuple((c, log(c)) for c in multiples)


@lru_cache(maxsize=256)
def _catastrophe_logs(limit: float) -> tuple[tuple[float, float], ...]:
    limit = min(max(limit, 1e-6), 0.99)
    rates = [limit + c * (1.0 - limit) for c in CATASTROPHE]
    return tuple((log(p / limit), log((1.0 - p) / (1.0 - limit))) for p in rates)


@lru_cache(maxsize=256)
def _safe_logs(limit: float) -> tuple[tuple[float, float], ...]:
    return tuple((log(c), log((1.0 - c * limit) / (1.0 - limit))) for c in SAFE)
