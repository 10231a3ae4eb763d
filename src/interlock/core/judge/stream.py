"""What do the bad events of one kind say: failed requests, or slow answers?

Every metric is a stream of bad events and is judged by the same three tests: *against* the release, an absolute limit
and stable's rate at the same time (both must be exceeded, so that an incident both sides share is not blamed on the
canary), and *for* it a separate proof that its rate is below a stated margin. Slow answers are counted beyond several
edges at once, failed requests once; the first count is the one that is reported.
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
class Count:
    """One side in one sample: so many requests, so many of them bad by each measure."""

    requests: float
    bad: tuple[float, ...]

    def plus(self, other: Count) -> Count:
        bad = [a + b for a, b in zip(self.bad, other.bad, strict=True)]
        return Count(self.requests + other.requests, tuple(bad))


@dataclass(frozen=True, slots=True)
class Tally:
    """So many requests, so many of them bad; fractional, because memory fades."""

    requests: float = 0.0
    bad: float = 0.0

    def plus(self, count: Count) -> Tally:
        return Tally(self.requests + count.requests, self.bad + count.bad[0])

    @property
    def rate(self) -> float | None:
        """Bad by all, 0 to 1; None without requests."""
        return min(1.0, self.bad / self.requests) if self.requests > 0 else None


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Limits:
    """What is fixed about a stream: rates from 0 to 1.

    Up to its limit, and up to `ratio` times stable's rate, each measure is allowed; `margin` times the limit must be
    proven not to be reached, by odds of `proven_at`, in the first `deciding` measures, and against stable wherever
    possible if `compared`; `clustering` is the correlation of bad events in one sample.
    """

    limits: tuple[float, ...]
    ratio: float
    margin: float
    proven_at: float
    deciding: int
    compared: bool
    clustering: float

    def margin_of(self, measure: int) -> float:
        """The rate to be proven below: not beyond half the way from the limit to 1."""
        limit = self.limits[measure]
        return min(self.margin * limit, (1.0 + limit) / 2)


@dataclass(frozen=True, slots=True)
class Stream:
    """The evidence on one kind of bad event. Rates are of the canary unless they say otherwise."""

    limits: Limits
    against: Mixture
    relative: Mixture
    safe: tuple[Mixture, ...]
    total: Tally = NOTHING
    step: Tally = NOTHING
    recent: Tally = NOTHING
    stable_recent: Tally = NOTHING
    waiting: Count | None = None
    stable_waiting: Count | None = None

    @classmethod
    def start(cls, limits: Limits, hazard: float) -> Stream:
        """Begin without evidence; `hazard` is one by the number of samples planned."""
        kinds = len(limits.limits)
        return cls(
            limits,
            Mixture.start(bets.prior(bets.ABSOLUTE_PRIOR, kinds), hazard),
            Mixture.start(bets.prior(bets.RELATIVE_PRIOR, kinds), hazard),
            (Mixture.start(bets.SAFE_PRIOR, hazard),) * limits.deciding,
        )

    def take(self, canary: Count | None, stable: Count | None, guarded: bool, left: float) -> Stream:
        """Take in one sample; a side is None when it was not seen. `left` (0 to 1) is what is left of recent counts.

        `guarded`: stable runs beside the canary and can be compared with.
        """
        limits, against, relative, safe = self.limits, self.against, self.relative, self.safe
        total, step = self.total, self.step
        recent = Tally(self.recent.requests * left, self.recent.bad * left)
        stable_recent = Tally(self.stable_recent.requests * left, self.stable_recent.bad * left)
        if canary is not None and canary.requests > SOME:
            against = against.grow(bets.absolute(limits.limits, canary.requests, canary.bad))
            total, step, recent = total.plus(canary), step.plus(canary), recent.plus(canary)
            if not guarded:
                safe = self._prove(canary)
        waiting, stable_waiting, both = self._pair(canary, stable, guarded)
        if both is not None:
            relative = self._compare(*both)
            safe = self._prove_beside(*both)
        if stable is not None:
            stable_recent = stable_recent.plus(stable)
        return Stream(limits, against, relative, safe, total, step, recent, stable_recent, waiting, stable_waiting)

    def compare(self, canary: Count | None, stable: Count | None, guarded: bool) -> Stream:
        """Only compare the sides, as in the warm-up, when nothing but the guard of the catastrophe is needed."""
        waiting, stable_waiting, both = self._pair(canary, stable, guarded)
        relative = self.relative if both is None else self._compare(*both)
        return replace(self, relative=relative, waiting=waiting, stable_waiting=stable_waiting)

    def restarted(self) -> Stream:
        """A weight step: evidence against is kept, evidence for starts again."""
        safe = tuple([Mixture.start(s.prior, s.hazard) for s in self.safe])
        return replace(self, safe=safe, step=NOTHING, waiting=None, stable_waiting=None)

    def unguarded(self) -> Stream:
        """Stable cannot be compared with from now on: keep only what the comparison allowed against the canary."""
        return replace(self, against=self.against.capped(self.relative.odds), waiting=None, stable_waiting=None)

    def odds_against(self, guarded: bool) -> float:
        """Odds that the limit is exceeded, and stable's rate with it where stable can be compared with."""
        return min(self.against.odds, self.relative.odds if guarded else inf)

    @property
    def odds_for(self) -> float:
        """Odds that the margin is not reached, by this step's evidence."""
        return min([s.odds for s in self.safe])

    @property
    def proven(self) -> bool:
        """Whether this step's evidence proves the rate below the margin."""
        return self.odds_for >= self.limits.proven_at

    @property
    def incident(self) -> bool:
        """Whether stable itself is above the limit just now."""
        stable = self.stable_recent
        return stable.bad >= 2 and stable.bad > self.limits.limits[0] * stable.requests

    @property
    def calm(self) -> bool:
        """Whether the last minute looks no worse than the limit allows."""
        return self.recent.bad < 2 or self.recent.bad <= self.limits.limits[0] * self.recent.requests

    def _pair(
        self, canary: Count | None, stable: Count | None, guarded: bool
    ) -> tuple[Count | None, Count | None, tuple[Count, Count] | None]:
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

    def _prove(self, canary: Count) -> tuple[Mixture, ...]:
        """Bet for the release on its rate."""
        limits = self.limits
        factors = [
            bets.safe(limits.margin_of(i), canary.requests, canary.bad[i], limits.clustering)
            for i in range(limits.deciding)
        ]
        return self._proved(factors)

    def _prove_beside(self, canary: Count, stable: Count) -> tuple[Mixture, ...]:
        """Bet for the release on the comparison, if so asked or while, as known before, an incident hits stable too."""
        limits = self.limits
        if not (limits.compared or self.incident):
            return self._prove(canary)
        c, s = bets.spread(canary.requests, limits.clustering), bets.spread(stable.requests, limits.clustering)
        factors = [
            bets.relative(
                canary.requests / c,
                (canary.bad[i] / c,),
                stable.requests / s,
                (stable.bad[i] / s,),
                limits.margin_of(i) / limits.limits[i],
                bets.SAFE,
            )
            for i in range(limits.deciding)
        ]
        return self._proved(factors)

    def _proved(self, factors: list[list[float]]) -> tuple[Mixture, ...]:
        """What it takes to forget: odds are capped, so that a change for the worse soon takes the proof away."""
        cap = _FORGET * self.limits.proven_at
        return tuple([s.grow(f).capped(cap) for s, f in zip(self.safe, factors, strict=True)])

    def _compare(self, canary: Count, stable: Count) -> Mixture:
        """Bet on the canary being worse than stable allows."""
        limits = self.limits
        c, s = bets.spread(canary.requests, limits.clustering), bets.spread(stable.requests, limits.clustering)
        bad, stable_bad = [k / c for k in canary.bad], [k / s for k in stable.bad]
        n, m = canary.requests / c, stable.requests / s
        return self.relative.grow(bets.relative(n, bad, m, stable_bad, limits.ratio, bets.RELATIVE))


def memory(seconds: float) -> float:
    """What is left of the recent counts after so many seconds."""
    return exp(-seconds / _MEMORY)
