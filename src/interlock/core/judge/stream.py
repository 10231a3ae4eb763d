"""What do the bad events of one kind say: failed requests, or answers slower than an edge?

Every metric is a stream of bad events and is judged by the same three tests: *against* the release, an absolute limit
and stable's rate at the same time (both must be exceeded, so that an incident both sides share is not blamed on the
canary), and *for* it a separate proof that its rate is below a stated margin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, inf

from interlock.core.judge import bets
from interlock.core.judge.mixture import Mixture

SOME = 1e-6
"""Fewer requests than this are none: what is left of a difference of floating-point counters."""

_MEMORY = 60.0
_FORGET = 4.0


@dataclass(frozen=True, slots=True)
class Tally:
    """So many requests, so many of them bad; fractional, because memory fades."""

    requests: float = 0.0
    bad: float = 0.0

    def plus(self, other: Tally) -> Tally:
        return Tally(self.requests + other.requests, self.bad + other.bad)

    def faded(self, by: float) -> Tally:
        return Tally(self.requests * by, self.bad * by)

    @property
    def rate(self) -> float | None:
        """Bad by all, 0 to 1; None without requests."""
        return self.bad / self.requests if self.requests > 0 else None


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Limits:
    """What is fixed about a stream: rates from 0 to 1.

    Up to `limit` and up to `ratio` times stable's rate is allowed; a rate of `margin` must be proven not to be
    reached, by odds of `proven_at`, and against stable wherever possible if `compared`; `clustering` is the correlation
    of bad events in one sample.
    """

    limit: float
    margin: float
    ratio: float
    clustering: float
    proven_at: float
    compared: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """The evidence on one kind of bad event. Rates are of the canary unless they say otherwise."""

    limits: Limits
    against: Mixture
    relative: Mixture
    safe: Mixture
    total: Tally = NOTHING
    step: Tally = NOTHING
    recent: Tally = NOTHING
    stable_recent: Tally = NOTHING
    waiting: Tally | None = None
    stable_waiting: Tally | None = None

    @classmethod
    def start(cls, limits: Limits, hazard: float) -> Stream:
        """Begin without evidence; `hazard` is one by the number of samples planned."""
        return cls(
            limits,
            Mixture.start(bets.ABSOLUTE_PRIOR, hazard),
            Mixture.start(bets.RELATIVE_PRIOR, hazard),
            Mixture.start(bets.SAFE_PRIOR, hazard),
        )

    def take(self, canary: Tally | None, stable: Tally | None, guarded: bool, left: float) -> Stream:
        """Take in one sample; a side is None when it was not seen. `left` (0 to 1) is what is left of recent counts.

        `guarded`: stable runs beside the canary and can be compared with.
        """
        limits, against, safe = self.limits, self.against, self.safe
        total, step, recent = self.total, self.step, self.recent.faded(left)
        if canary is not None and canary.requests > SOME:
            against = against.grow(bets.absolute(limits.limit, canary.requests, canary.bad))
            total, step, recent = total.plus(canary), step.plus(canary), recent.plus(canary)
            if not guarded:
                safe = self._prove(canary, None)
        waiting, stable_waiting, both = self._pair(canary, stable, guarded)
        relative = self.relative
        if both is not None:
            relative = relative.grow(self._compare(*both, limits.ratio, bets.RELATIVE))
            safe = self._prove(*both)
        stable_recent = self.stable_recent.faded(left)
        if stable is not None:
            stable_recent = stable_recent.plus(stable)
        return Stream(limits, against, relative, safe, total, step, recent, stable_recent, waiting, stable_waiting)

    def compare(self, canary: Tally | None, stable: Tally | None, guarded: bool) -> Stream:
        """Only compare the sides, as in the warm-up, when nothing but the guard of the catastrophe is needed."""
        waiting, stable_waiting, both = self._pair(canary, stable, guarded)
        relative = self.relative
        if both is not None:
            relative = relative.grow(self._compare(*both, self.limits.ratio, bets.RELATIVE))
        return replace(self, relative=relative, waiting=waiting, stable_waiting=stable_waiting)

    def restarted(self) -> Stream:
        """A weight step: evidence against is kept, evidence for starts again."""
        return Stream(
            self.limits,
            self.against,
            self.relative,
            Mixture.start(self.safe.prior, self.safe.hazard),
            self.total,
            NOTHING,
            self.recent,
            self.stable_recent,
        )

    def unguarded(self) -> Stream:
        """Stable cannot be compared with from now on: keep only what the comparison allowed against the canary."""
        return Stream(
            self.limits,
            self.against.capped(self.relative.odds),
            self.relative,
            self.safe,
            self.total,
            self.step,
            self.recent,
            self.stable_recent,
        )

    def odds_against(self, guarded: bool) -> float:
        """Odds that the limit is exceeded, and stable's rate with it where stable can be compared with."""
        return min(self.against.odds, self.relative.odds if guarded else inf)

    @property
    def proven(self) -> bool:
        """Whether this step's evidence proves the rate below the margin."""
        return self.safe.odds >= self.limits.proven_at

    @property
    def incident(self) -> bool:
        """Whether stable itself is above the limit just now."""
        return self.stable_recent.bad >= 2 and self.stable_recent.bad > self.limits.limit * self.stable_recent.requests

    @property
    def calm(self) -> bool:
        """Whether the last minute looks no worse than the limit allows."""
        return self.recent.bad < 2 or self.recent.bad <= self.limits.limit * self.recent.requests

    def _pair(
        self, canary: Tally | None, stable: Tally | None, guarded: bool
    ) -> tuple[Tally | None, Tally | None, tuple[Tally, Tally] | None]:
        """Return what still waits on each side, and a pair once both have reported since the last one.

        Sides are compared only over time both have covered, and may report in different samples.
        """
        if not guarded:
            return None, None, None
        if self.waiting is not None:
            canary = self.waiting if canary is None else self.waiting.plus(canary)
        if self.stable_waiting is not None:
            stable = self.stable_waiting if stable is None else self.stable_waiting.plus(stable)
        if canary is None or stable is None:
            return canary, stable, None
        return None, None, (canary, stable) if canary.requests > SOME and stable.requests > SOME else None

    def _prove(self, canary: Tally, stable: Tally | None) -> Mixture:
        """Bet for the release on its rate, or on the comparison while, as known before, an incident hits stable."""
        limits = self.limits
        if stable is not None and (limits.compared or self.incident):
            factors = self._compare(canary, stable, limits.margin / limits.limit, bets.SAFE)
        else:
            factors = bets.safe(limits.margin, canary.requests, canary.bad, limits.clustering)
        return self.safe.grow(factors).capped(_FORGET * limits.proven_at)

    def _compare(self, canary: Tally, stable: Tally, ratio: float, multiples: tuple[float, ...]) -> list[float]:
        c = bets.spread(canary.requests, self.limits.clustering)
        s = bets.spread(stable.requests, self.limits.clustering)
        return bets.relative(canary.requests / c, canary.bad / c, stable.requests / s, stable.bad / s, ratio, multiples)


def memory(seconds: float) -> float:
    """What is left of the recent counts after so many seconds."""
    return exp(-seconds / _MEMORY)
