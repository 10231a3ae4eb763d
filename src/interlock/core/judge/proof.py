"""How many requests does it take to prove a healthy release?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from math import ceil, exp, inf, log

from interlock.core.criteria import Control, Criteria
from interlock.core.judge import bets
from interlock.core.judge.baseline import UNKNOWN_CLUSTERING
from interlock.core.judge.mixture import EARLY
from interlock.core.judge.stream import Stream

_TAIL, _FAR_TAIL = 0.01, 0.001


def time_to_prove(
    criteria: Criteria,
    requests_per_second: float,
    *,
    error_rate: float = 0.0,
    stable_requests_per_second: float | None = None,
    clustering: float = UNKNOWN_CLUSTERING,
) -> timedelta:
    """Return how long a healthy canary with this traffic and error rate needs until its step is proven.

    With `stable_requests_per_second` the proof of its latency is counted too, against stable if that is the baseline,
    where one answer in a thousand takes twice stable's p99. `timedelta.max` when no time suffices.
    """
    n = requests_per_second * criteria.sample_every.total_seconds()
    if n <= 0:
        return timedelta.max
    limit = min(max(criteria.error_rate, 1e-6), 0.95)
    margin = min(criteria.margin * limit, (1.0 + limit) / 2)
    growths = [[n / bets.spread(n, clustering) * g for g in bets.safe_growth(margin, error_rate)]]
    if stable_requests_per_second is not None:
        m = stable_requests_per_second * criteria.sample_every.total_seconds()
        growths.append(_slow_growth(criteria, n, m, clustering))
    stakes = [EARLY * p for p in bets.SAFE_PRIOR]
    samples = max(_reach(stakes, growth, 1.0 / criteria.beta) for growth in growths)
    if samples * criteria.sample_every.total_seconds() >= timedelta.max.total_seconds() / 2:
        return timedelta.max
    return criteria.warm_up + criteria.sample_every * ceil(samples - 1e-9)


def _slow_growth(criteria: Criteria, n: float, m: float, clustering: float) -> list[float]:
    if criteria.baseline is Control.STABLE:
        return _compared(n, m, _FAR_TAIL, _TAIL, criteria.margin, clustering)
    margin = min(criteria.margin * _TAIL, (1.0 + _TAIL) / 2)
    return [n / bets.spread(n, clustering) * g for g in bets.safe_growth(margin, _FAR_TAIL)]


def requests_missing(stream: Stream, seconds: float) -> float | None:
    """Return how many more canary requests prove the stream's rate if it stays as it has been in this step's `seconds`.

    None when its rate is too near the margin for any number of them.
    """
    limits, step = stream.limits, stream.step
    n = max(1.0, step.requests / max(seconds / 5.0, 1.0))
    rate = step.rate or 0.0
    margin = limits.margins[0]
    if stream.compares and stream.stable_recent.requests > 0 and stream.recent.requests > 0:
        m = n * stream.stable_recent.requests / stream.recent.requests
        stable_rate = max(stream.stable_recent.rate or 0.0, limits.limits[0])
        growth = _compared(n, m, rate, stable_rate, margin / limits.limits[0], limits.clustering)
    else:
        growth = [n / bets.spread(n, limits.clustering) * g for g in bets.safe_growth(margin, rate)]
    weakest = min(stream.safe, key=lambda s: s.odds)
    samples = _reach(weakest.stakes, growth, limits.proven_at)
    return None if samples == inf else samples * n


def _compared(n: float, m: float, rate: float, stable_rate: float, ratio: float, clustering: float) -> list[float]:
    c, s = bets.spread(n, clustering), bets.spread(m, clustering)
    factors = bets.relative(n / c, (n * rate / c,), m / s, (m * stable_rate / s,), ratio, bets.SAFE)
    return [log(max(f, 1e-300)) for f in factors]


def _reach(stakes: Sequence[float], growth: Sequence[float], odds: float) -> float:
    """Return after how many samples stakes that grow like exp(samples × growth) sum to `odds`; infinite if never."""
    if max(growth) <= 1e-12:
        return inf
    return _bisect(lambda x: sum(s * exp(min(x * g, 700.0)) for s, g in zip(stakes, growth, strict=True)) >= odds)


def _bisect(enough: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    while not enough(high):
        low, high = high, 2.0 * high
        if high > 1e12:
            return inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
