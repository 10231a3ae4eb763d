"""Within which rates does the truth lie, however often one has looked?

The rates that a bet spread over all rates (Beta(½, ½)) has not refuted at odds of 20 to 1. They hold the true average
rate with a probability of 95 % at all times together, unlike a usual confidence interval, which holds it at one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import lgamma, log, pi

_ODDS = log(20.0)


def interval(n: float, k: float) -> tuple[float, float]:
    """Return the lower and upper bound of the rate from k bad of n independent requests."""
    if n <= 0:
        return 0.0, 1.0
    k = min(max(k, 0.0), n)
    spread = lgamma(k + 0.5) + lgamma(n - k + 0.5) - lgamma(n + 1.0) - log(pi)
    middle = min(max(k / n, 1e-12), 1.0 - 1e-12)

    def refuted(p: float) -> bool:
        return spread - k * log(p) - (n - k) * log(1.0 - p) >= _ODDS

    low = _border(refuted, 1e-12, middle) if k > 0 else 0.0
    high = _border(refuted, 1.0 - 1e-12, middle) if k < n else 1.0
    return low, high


def _border(refuted: Callable[[float], bool], out: float, inside: float) -> float:
    for _ in range(40):
        between = (out + inside) / 2
        out, inside = (between, inside) if refuted(between) else (out, between)
    return inside
