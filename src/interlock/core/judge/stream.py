"""What do the bad events of one kind say: failed requests, or slow answers?

Every metric is a stream of bad events and is judged by the same three tests: *against* the release, an absolute limit
and stable's rate at the same time (both must be exceeded, so that an incident both sides share is not blamed on the
canary), and *for* it a separate proof that its rate is below a stated margin. Slow answers are counted beyond several
edges at once, failed requests once; the first count is the one that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import exp, inf
from typing import NamedTuple

from interlock.core.criteria import Criteria
from interlock.core.judge import bets
from interlock.core.judge.interval import interval
from interlock.core.judge.mixture import Mixture

SOME = 1e-6
"""Fewer requests than this are none: what is left of a difference of floating-point counters."""

_MEMORY = 60.0
_FEW = 0.25  # of the share of bad requests that stable had when the limit was set
_FORGET = 4.0


@dataclass(frozen=True, slots=True)
class Count:
    """One side in one sample: so many requests, so many of them bad by each measure."""

    requests: float
    bad: tuple[float, ...]

    def plus(self, other: Count) -> Count:
        bad = [a + b for a, b in zip(self.bad, other.bad, strict=True)]
        return Count(self.requests + other.requests, tuple(bad))


class Pair(NamedTuple):
    """Both sides over the same time: n and m requests and the bad ones, as many of them as are independent."""

    canary: Count
    n: float
    bad: list[float]
    m: float
    stable_bad: list[float]

    @classmethod
    def of(cls, canary: Count, stable: Count, clustering: float) -> Pair:
        n, m = canary.requests, stable.requests
        c, s = 1.0 / bets.spread(n, clustering), 1.0 / bets.spread(m, clustering)
        return cls(canary, n * c, [k * c for k in canary.bad], m * s, [k * s for k in stable.bad])


@dataclass(frozen=True, slots=True)
class Tally:
    """So many requests, so many of them bad; fractional, because memory fades."""

    requests: float = 0.0
    bad: float = 0.0

    @property
    def rate(self) -> float | None:
        """Bad by all, 0 to 1; None without requests."""
        return min(1.0, self.bad / self.requests) if self.requests > 0 else None


NOTHING = Tally()


@dataclass(frozen=True, slots=True, init=False)
class Counts:
    """What people are shown and what tells an incident: canary's requests so far, each side's in the last minute.

    `independent` is how many requests those so far count for, as bad ones cluster.
    """

    requests: float = 0.0
    bad: float = 0.0
    recent: float = 0.0
    recent_bad: float = 0.0
    stable: float = 0.0
    stable_bad: float = 0.0
    independent: float = 0.0

    def __init__(  # written out: see `Mixture`
        self,
        requests: float = 0.0,
        bad: float = 0.0,
        recent: float = 0.0,
        recent_bad: float = 0.0,
        stable: float = 0.0,
        stable_bad: float = 0.0,
        independent: float = 0.0,
    ) -> None:
        _requests(self, requests)
        _bad(self, bad)
        _recent(self, recent)
        _recent_bad(self, recent_bad)
        _stable(self, stable)
        _stable_bad(self, stable_bad)
        _independent(self, independent)

    def add(self, canary: Count | None, stable: Count | None, left: float, clustering: float) -> Counts:
        """Count one sample; of the last minute only a share is left."""
        n, k = (0.0, 0.0) if canary is None else (canary.requests, canary.bad[0])
        m, j = (0.0, 0.0) if stable is None else (stable.requests, stable.bad[0])
        return Counts(
            self.requests + n,
            self.bad + k,
            self.recent * left + n,
            self.recent_bad * left + k,
            self.stable * left + m,
            self.stable_bad * left + j,
            self.independent + n / bets.spread(n, clustering),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What is fixed about a stream: rates from 0 to 1.

    Up to its limit, and up to `ratio` times stable's rate, each measure is allowed. Its margin must be proven not to be
    reached, by odds of `proven_at`, in as many measures as there are margins, and against stable wherever possible if
    `compared`. `clustering` is the correlation of bad events in one sample.
    """

    limits: tuple[float, ...]
    margins: tuple[float, ...]
    ratio: float
    proven_at: float
    compared: bool
    clustering: float

    @classmethod
    def of(
        cls, criteria: Criteria, limits: tuple[float, ...], deciding: int, *, compared: bool, clustering: float
    ) -> Limits:
        """Limits with the margin of the criteria, within half the way to 1; compared ones allow what stable has."""
        margins = tuple([min(criteria.margin * p, (1.0 + p) / 2) for p in limits[:deciding]])
        ratio = 1.0 if compared else criteria.stable_ratio
        return cls(limits, margins, ratio, 1.0 / criteria.beta, compared, clustering)


_requests, _bad, _recent, _recent_bad, _stable, _stable_bad, _independent = (
    vars(Counts)[field.name].__set__ for field in fields(Counts)
)


@dataclass(frozen=True, slots=True, init=False)
class Stream:
    """The evidence on one kind of bad event. Rates are of the canary unless they say otherwise."""

    limits: Limits
    against: Mixture
    relative: Mixture
    safe: tuple[Mixture, ...]
    counts: Counts = Counts()
    before_step: Tally = NOTHING
    waiting: Count | None = None
    stable_waiting: Count | None = None

    def __init__(  # written out: see `Mixture`
        self,
        limits: Limits,
        against: Mixture,
        relative: Mixture,
        safe: tuple[Mixture, ...],
        counts: Counts = Counts(),
        before_step: Tally = NOTHING,
        waiting: Count | None = None,
        stable_waiting: Count | None = None,
    ) -> None:
        _limits(self, limits)
        _against(self, against)
        _relative(self, relative)
        _safe(self, safe)
        _counts(self, counts)
        _before_step(self, before_step)
        _waiting(self, waiting)
        _stable_waiting(self, stable_waiting)

    @classmethod
    def start(cls, limits: Limits, hazard: float) -> Stream:
        """Begin without evidence; `hazard` is one by the number of samples planned."""
        kinds = len(limits.limits)
        return cls(
            limits,
            Mixture.start(bets.prior(bets.ABSOLUTE_PRIOR, kinds), hazard),
            Mixture.start(bets.prior(bets.RELATIVE_PRIOR, kinds), hazard),
            (Mixture.start(bets.SAFE_PRIOR, hazard),) * len(limits.margins),
        )

    def take(self, canary: Count | None, stable: Count | None, guarded: bool, left: float) -> Stream:
        """Take in one sample; a side is None when it was not seen. `left` (0 to 1) is what is left of recent counts.

        `guarded`: stable runs beside the canary and can be compared with.
        """
        against, relative, safe = self.against, self.relative, self.safe
        if canary is not None and canary.requests > SOME:
            against = against.grow(bets.absolute(self.limits.limits, canary.requests, canary.bad))
            if not guarded:
                safe = self._prove(canary, None)
        waiting, stable_waiting, both = self._pair(canary, stable, guarded)
        if both is not None:
            relative = self._compare(both)
            safe = self._prove(both.canary, both)
        counts = self.counts.add(canary, stable, left, self.limits.clustering)
        return Stream(self.limits, against, relative, safe, counts, self.before_step, waiting, stable_waiting)

    def compare(self, canary: Count | None, stable: Count | None, guarded: bool) -> Stream:
        """Only compare the sides, as in the warm-up, when nothing but the guard of the catastrophe is needed."""
        waiting, stable_waiting, both = self._pair(canary, stable, guarded)
        relative = self.relative if both is None else self._compare(both)
        return replace(self, relative=relative, waiting=waiting, stable_waiting=stable_waiting)

    def restarted(self) -> Stream:
        """A weight step: evidence against is kept, evidence for starts again."""
        safe = tuple([s.anew() for s in self.safe])
        return replace(self, safe=safe, before_step=self.total, waiting=None, stable_waiting=None)

    def unguarded(self) -> Stream:
        """Stable cannot be compared with from now on: keep only what the comparison allowed against the canary."""
        return replace(self, against=self.against.capped(self.relative.odds), waiting=None, stable_waiting=None)

    def odds_against(self, guarded: bool) -> float:
        """Odds that the limit is exceeded, and stable's rate with it where stable can be compared with."""
        return min(self.against.odds, self.relative.odds if guarded else inf)

    @property
    def total(self) -> Tally:
        """Canary's requests since the beginning."""
        return Tally(self.counts.requests, self.counts.bad)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which rates the canary's lies, at 95 % for all times together."""
        return interval(self.counts.independent, (self.total.rate or 0.0) * self.counts.independent)

    @property
    def step(self) -> Tally:
        """Canary's requests since the step began."""
        return Tally(self.counts.requests - self.before_step.requests, self.counts.bad - self.before_step.bad)

    @property
    def recent(self) -> Tally:
        """Canary's requests of about the last minute."""
        return Tally(self.counts.recent, self.counts.recent_bad)

    @property
    def stable_recent(self) -> Tally:
        """Stable's requests of about the last minute."""
        return Tally(self.counts.stable, self.counts.stable_bad)

    @property
    def odds_for(self) -> float:
        """Odds that the margin is not reached, by this step's evidence."""
        return self.safe[0].odds if len(self.safe) == 1 else min([s.odds for s in self.safe])

    @property
    def proven(self) -> bool:
        """Whether this step's evidence proves the rate below the margin."""
        return self.odds_for >= self.limits.proven_at

    @property
    def incident(self) -> bool:
        """Whether stable itself is above the limit just now."""
        return self.counts.stable_bad >= 2 and self.counts.stable_bad > self.limits.limits[0] * self.counts.stable

    @property
    def compares(self) -> bool:
        """Whether the proof is one against stable: not while stable has next to no bad requests itself.

        A canary cannot be proven to have fewer than twice none. Then its own rate must stay below the margin, which was
        set by what stable had when it was set.
        """
        few = self.counts.stable > 0 and self.counts.stable_bad < _FEW * self.limits.limits[0] * self.counts.stable
        return self.limits.compared and not few

    @property
    def calm(self) -> bool:
        """Whether the last minute looks no worse than the limit allows."""
        return self.counts.recent_bad < 2 or self.counts.recent_bad <= self.limits.limits[0] * self.counts.recent

    def _pair(
        self, canary: Count | None, stable: Count | None, guarded: bool
    ) -> tuple[Count | None, Count | None, Pair | None]:
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
        if canary.requests <= SOME or stable.requests <= SOME:
            return canary, stable, None  # nobody asked one of the sides: what the other did waits for company
        return None, None, Pair.of(canary, stable, self.limits.clustering)

    def _prove(self, canary: Count, both: Pair | None) -> tuple[Mixture, ...]:
        """Bet for the release, on the comparison or on its rate alone.

        The comparison is taken if so asked and stable has something to compare with, or while an incident hits stable
        too, both as known before this sample. Odds are capped, so that a change for the worse soon takes the proof
        away.
        """
        limits, cap = self.limits, _FORGET * self.limits.proven_at
        if both is None or not (self.compares or self.incident):
            rates = zip(self.safe, limits.margins, canary.bad)  # noqa: B905 (see `Mixture.grow`)
            return tuple([s.grow(bets.safe(m, canary.requests, k, limits.clustering), cap) for s, m, k in rates])
        compared = zip(self.safe, limits.margins, limits.limits, both.bad, both.stable_bad)  # noqa: B905
        return tuple(
            [
                safe.grow(bets.relative(both.n, (k,), both.m, (j,), margin / limit, bets.SAFE), cap)
                for safe, margin, limit, k, j in compared
            ]
        )

    def _compare(self, both: Pair) -> Mixture:
        """Bet on the canary being worse than stable allows."""
        factors = bets.relative(both.n, both.bad, both.m, both.stable_bad, self.limits.ratio, bets.RELATIVE)
        return self.relative.grow(factors)


_limits, _against, _relative, _safe, _counts, _before_step, _waiting, _stable_waiting = (
    vars(Stream)[field.name].__set__ for field in fields(Stream)
)


def memory(seconds: float) -> float:
    """What is left of the recent counts after so many seconds."""
    return exp(-seconds / _MEMORY)
