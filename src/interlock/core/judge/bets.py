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

ABSOLUTE = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 90.0)
"""Bad rates we bet on, in multiples of the limit."""

BURSTS = (0.1, 0.03)
"""Small constant stakes: they win on errors that come in rare bursts, which ruin the larger ones in between."""

ABSOLUTE_PRIOR = (0.11, 0.26, 0.24, 0.14, 0.09, 0.06, 0.04, 0.03, 0.03)

RELATIVE = (1.5, 2.5, 5.0, 15.0, 60.0)
"""Ratios of canary's to stable's bad rate we bet on, in multiples of the ratio allowed."""

RELATIVE_PRIOR = (0.20, 0.30, 0.25, 0.15, 0.10)

SAFE = (0.02, 0.15, 0.35, 0.6, 0.8)
"""Bad rates, in multiples of the rate a release is to be proven below, we bet on when we look for that proof."""

SAFE_PRIOR = (0.25, 0.25, 0.20, 0.20, 0.10)

CATASTROPHE = (0.375, 0.875)
"""Where between the catastrophic rate and 1 the catastrophes lie we bet on: 50 % and 90 % for a rate of 20 %."""

CATASTROPHE_PRIOR = (0.4, 0.6)


def absolute(limit: float, n: float, k: float) -> list[float]:
    """Test "the expected bad fraction of a sample is at most `limit`", whatever the dependence among its n requests.

    A stake c on the fraction k/n pays 1 + c (k/(n limit) - 1). With one request this is the likelihood ratio of the
    alternative; with many the stake nears everything, since the fraction's own noise then hardly matters.
    """
    gain = k / (n * limit) - 1.0
    factors = [1.0 + gain * (n * d) / (1.03 + n * d) for d in _distances(limit)]
    factors += [1.0 + gain * stake for stake in BURSTS]
    return factors


def catastrophe(limit: float, n: float, k: float) -> list[float]:
    """Test "at most `limit` of the requests are bad, independently": a few failing requests must suffice."""
    good = n - k
    return [_exp(k * bad + good * well) for bad, well in _catastrophe_logs(limit)]


def safe(limit: float, n: float, k: float, clustering: float) -> list[float]:
    """Test "at least `limit` of the requests are bad"; large factors speak for the release.

    `clustering` is the correlation of bad requests within a sample: n requests count as n / (1 + (n-1) clustering).
    """
    weight = 1.0 / spread(n, clustering)
    good = n - k
    return [_exp((k * bad + good * well) * weight) for bad, well in _safe_logs(limit)]


def relative(n: float, k: float, m: float, l: float, ratio: float, multiples: Sequence[float]) -> list[float]:  # noqa: E741
    """Test "canary's bad rate is at most `ratio` times stable's" from k of n on canary's and l of m on stable's side.

    For multiples below 1 it tests "at least". From which side a bad request came is binomial, so whatever befalls both
    sides alike cancels (Lindon and Malek, NeurIPS 2022); the mean is at most 1 for independent requests of any rate.
    """
    before, bad = ratio * n + m, k + l
    return [_exp(k * log(c) + bad * log(before / (ratio * c * n + m))) for c in multiples]


def spread(n: float, clustering: float) -> float:
    """How many clustered requests carry the information of one independent request."""
    return 1.0 + (n - 1.0) * clustering if n > 1.0 else 1.0


def safe_growth(limit: float, rate: float) -> tuple[float, ...]:
    """How much one request adds to the logarithm of each factor of `safe` on average when `rate` of them are bad."""
    return tuple(rate * bad + (1.0 - rate) * well for bad, well in _safe_logs(limit))


@lru_cache(maxsize=256)
def _distances(limit: float) -> tuple[float, ...]:
    return tuple(max(0.0, min(c * limit, 0.98) - limit) for c in ABSOLUTE)


@lru_cache(maxsize=256)
def _catastrophe_logs(limit: float) -> tuple[tuple[float, float], ...]:
    rates = [limit + c * (1.0 - limit) for c in CATASTROPHE]
    return tuple((log(p / limit), log((1.0 - p) / (1.0 - limit))) for p in rates)


@lru_cache(maxsize=256)
def _safe_logs(limit: float) -> tuple[tuple[float, float], ...]:
    return tuple((log(c), log((1.0 - c * limit) / (1.0 - limit))) for c in SAFE)


def _exp(x: float) -> float:
    return exp(x) if x < _LARGEST_LOG else exp(_LARGEST_LOG)
