"""What does a native histogram say, of which only the filled buckets are told, and each in a resolution of its own?

Its edges are the powers of two to the power of 2^-schema: those of a coarser schema are all edges of a finer one too.
So whatever has at least our resolution is brought to a layout that lists all edges, exactly; nothing is interpolated.
Source: the "histogram" of an instant query, https://prometheus.io/docs/prometheus/latest/querying/api/.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from math import ceil, inf, isfinite, log2
from typing import Any

FINEST = 3
"""The schema of our own layouts at most: eight edges from one power of two to the next, each 9 % above the last."""

AT_MOST_OFF = 1.1
"""An edge this many times above or below what was asked for is another one."""

_SHORTEST, _LONGEST = timedelta(milliseconds=1), timedelta(minutes=8)
_COARSEST, _HIGHEST = -4, 8  # the schemas that there are
_NOISE = 1e-6


class Unusable(Exception):
    """The histogram cannot be used; the message says why, and is to follow its name."""


@dataclass(frozen=True, slots=True)
class Native:
    """One native histogram as it is told: how many were counted, and of each filled bucket (lower, upper, count)."""

    count: float
    buckets: tuple[tuple[float, float, float], ...] = ()

    @classmethod
    def read(cls, answer: Any) -> Native:
        """Read the object of an instant query; raise KeyError, TypeError or ValueError when it is none."""
        told = answer.get("buckets") or []
        buckets = tuple((float(lower), float(upper), float(count)) for _, lower, upper, count in told)
        return cls(float(answer["count"]), buckets)

    @property
    def schema(self) -> int | None:
        """The resolution; None as long as no bucket that shows it is filled. Raises Unusable when it has none."""
        for lower, upper, _ in self.buckets:
            if lower <= 0 < upper < inf and abs(lower + upper) <= _NOISE * upper:
                continue  # what is as good as zero
            if upper <= 0:
                continue  # no duration
            return _schema(lower, upper)
        return None

    def check(self) -> None:
        """Raise Unusable when the buckets do not fit what was counted."""
        filled = [count for _, _, count in self.buckets]
        if not isfinite(self.count) or min(filled, default=0.0) < 0 or sum(filled) > self.count * (1 + _NOISE):
            raise Unusable("has buckets that do not fit together")


def coarsest(histograms: Iterable[Native]) -> int:
    """Return the schema in which all of them can be told, FINEST at most; raise Unusable."""
    return min([FINEST, *(schema for one in histograms if (schema := one.schema) is not None)])


def edges(histograms: Sequence[Native], unit: timedelta) -> dict[float, float]:
    """Return how many were counted up to each edge of one layout, in the histogram's own unit; raise Unusable."""
    layout = [*grid(coarsest(histograms), unit), inf]
    filled = [0.0] * len(layout)
    for one in histograms:
        one.check()
        for _, upper, count in one.buckets:
            filled[bisect_left(layout, upper * (1 - _NOISE) if upper > 0 else 0.0)] += count
    return dict(zip(layout, accumulate(filled), strict=True))


def grid(schema: int, unit: timedelta) -> list[float]:
    """Return the edges of a schema from about a millisecond to some minutes, in a unit."""
    step = 2.0**-schema
    first = ceil(log2(_SHORTEST / unit) / step - _NOISE)
    last = ceil(log2(_LONGEST / unit) / step - _NOISE)
    return [2.0 ** (number * step) for number in range(first, last + 1)]


def nearest(histograms: Sequence[Native], wanted: float) -> float:
    """Return the edge that is nearest to one that is wanted; raise Unusable when it is too far away."""
    step = 2.0 ** -coarsest(histograms)
    edge = float(2.0 ** (round(log2(wanted) / step) * step))
    if not 1 / AT_MOST_OFF <= edge / wanted <= AT_MOST_OFF:
        raise Unusable(f"has no edge near {wanted:g}: its buckets are too wide, the nearest ends at {edge:g}")
    return edge


def slower(histograms: Sequence[Native], edge: float) -> tuple[float, float]:
    """Return how many were counted, and how many of them beyond an edge; raise Unusable."""
    for one in histograms:
        one.check()
    total = sum(one.count for one in histograms)
    beyond = sum(count for one in histograms for lower, _, count in one.buckets if lower >= edge * (1 - _NOISE))
    return total, beyond


def _schema(lower: float, upper: float) -> int:
    """Return the schema of a bucket: its edges are 2^(2^-schema) apart."""
    if lower > 0 and isfinite(upper) and upper > lower:
        exact = -log2(log2(upper / lower))
        if abs(exact - round(exact)) < 0.01 and _COARSEST <= round(exact) <= _HIGHEST:
            return round(exact)
    raise Unusable(
        f"has a bucket from {lower:g} to {upper:g}, which is none of an exponential layout; of others only the filled "
        "buckets are told: have it stored as a classic histogram"
    )
