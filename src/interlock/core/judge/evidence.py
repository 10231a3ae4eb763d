"""What has been learnt about a release so far?

`Evidence` is the judge's whole memory, a value: the engine stores it with the raw counters and goes on after a crash as
if nothing had been.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from interlock.core.criteria import Control, Criteria
from interlock.core.judge import bets
from interlock.core.judge.baseline import UNKNOWN_CLUSTERING, Baseline, sound
from interlock.core.judge.flight import Flight
from interlock.core.judge.latency import Latency, choose
from interlock.core.judge.mixture import Mixture
from interlock.core.judge.named import Named, begin_named
from interlock.core.judge.sight import Sight
from interlock.core.judge.stream import SOME, Count, Limits, Stream, memory
from interlock.core.sample import Sample, Side

WEIGHTS = {"errors": 0.55, "catastrophe": 0.02, "latency": 0.43}
"""How alpha is shared: a mean of odds with weights that sum to one keeps the promise for all metrics together."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the judge knows; `samples` are planned, and `history` is stable's hour before.

    `latency` is None as long as its edges have not been chosen; `seen` is what we learn of stable until then. `hung`
    counts requests that had no answer in time, and `incident_since` is when an incident began that both sides share.
    `named` are the metrics that the user names, in the criteria's order.
    """

    criteria: Criteria
    samples: int
    history: Baseline | None
    errors: Stream
    catastrophe: Mixture
    latency: Latency | None = None
    seen: Baseline = Baseline()
    sight: Sight = Sight()
    step_at: float = 0.0
    latency_at: float = 0.0
    canary_flight: Flight = Flight()
    stable_flight: Flight = Flight()
    hung: float = 0.0
    incident_since: float | None = None
    named: tuple[Named, ...] = ()

    @property
    def warm(self) -> bool:
        """Whether the warm-up, in which only a catastrophe counts, is over."""
        return self.sight.now > self.criteria.warm_up.total_seconds()

    @property
    def blind(self) -> bool:
        """Whether the canary has not been seen for longer than the criteria allow."""
        return self.sight.now - self.sight.canary_at > self.criteria.blind_at_most.total_seconds()

    @property
    def hazard(self) -> float:
        """Chance, in the prior, that things change from one sample to the next."""
        return 1.0 / max(20, self.samples)


def begin(criteria: Criteria, samples: int, *, history: Baseline | None = None) -> Evidence:
    """Start without evidence. `samples` are planned for the whole rollout; `history` is stable's last 60 minutes."""
    limit = min(max(criteria.error_rate, 1e-6), 0.95)
    clustering = UNKNOWN_CLUSTERING if history is None else history.failures.clustering
    limits = Limits.of(criteria, (limit,), 1, compared=False, clustering=clustering)
    hazard = 1.0 / max(20, samples)
    outage = Mixture.start(bets.CATASTROPHE_PRIOR, hazard)
    known = None if criteria.baseline is Control.FIXED else history
    errors, named = Stream.start(limits, hazard), begin_named(criteria, hazard)
    return Evidence(criteria, samples, known, errors, outage, named=named)


def step(evidence: Evidence) -> Evidence:
    """Begin a new weight step: evidence against is kept, evidence for starts again."""
    slow = evidence.latency and replace(evidence.latency, stream=evidence.latency.stream.restarted())
    named = tuple([one.restarted() for one in evidence.named])
    return replace(evidence, errors=evidence.errors.restarted(), latency=slow, step_at=evidence.sight.now, named=named)


def observe(evidence: Evidence, sample: Sample, *, concurrent: bool) -> Evidence:
    """Take in one sample; one that is not newer than the last is ignored.

    `concurrent`: stable takes at least 1 % of the traffic just now, so the two sides can be compared if so asked.
    """
    before, criteria = evidence.sight, evidence.criteria
    if not before.newer(sample):
        return evidence
    concurrent = concurrent and criteria.baseline is Control.STABLE
    canary, stable = _usable(sample.canary), _usable(sample.stable)
    passed, patience = before.passed(sample), criteria.hang_after.total_seconds()
    now = before.now + passed
    canary_flight, mine = _land(evidence.canary_flight, canary, now, patience)
    stable_flight, theirs = _land(evidence.stable_flight, stable, now, patience)
    sight = before.look(sample, now, mine, theirs, concurrent, criteria.blind_at_most.total_seconds())
    if before.guarded and not sight.guarded:
        evidence = _unguarded(evidence)
    left = memory(passed)
    errors = _errors(evidence, sight, mine, theirs, left)
    slow, seen = _latency(evidence, sight, canary, stable, left)
    answered = slow is not None and slow.answers > (0.0 if evidence.latency is None else evidence.latency.answers)
    idle = canary is not None and canary.completed <= SOME
    return Evidence(
        criteria,
        evidence.samples,
        evidence.history,
        errors,
        _catastrophe(evidence, mine),
        slow,
        seen,
        sight,
        evidence.step_at,
        sight.now if answered or idle else evidence.latency_at,
        canary_flight,
        stable_flight,
        evidence.hung + max(0.0, canary_flight.hung - evidence.canary_flight.hung),
        _incident_since(evidence, errors, sight),
        _named(evidence, sample, now, concurrent, left) if evidence.named else (),
    )


def _usable(side: Side | None) -> Side | None:
    """None also for a side whose numbers are no numbers: we have not seen it."""
    if side is None:
        return None
    counted = 0 <= side.completed < inf and 0 <= side.failed < inf
    return side if counted and 0 <= side.started < inf and 0 <= side.pending < inf else None


def _land(flight: Flight, side: Side | None, now: float, patience: float) -> tuple[Flight, Count | None]:
    return (flight, None) if side is None else flight.land(side, now, patience)


def _errors(evidence: Evidence, sight: Sight, mine: Count | None, theirs: Count | None, left: float) -> Stream:
    """Weigh failures; during the warm-up only compare, for the guard of the catastrophe, and begin anew after it."""
    errors = evidence.errors
    if sight.now <= evidence.criteria.warm_up.total_seconds():
        return errors.compare(mine, theirs, sight.guarded)
    if not evidence.warm:
        errors = Stream.start(errors.limits, evidence.hazard)
    return errors.take(mine, theirs, sight.guarded, left)


def _catastrophe(evidence: Evidence, mine: Count | None) -> Mixture:
    """Weigh failures as a catastrophe: always, with every sample."""
    if mine is None or mine.requests <= SOME:
        return evidence.catastrophe
    return evidence.catastrophe.grow(bets.catastrophe(evidence.criteria.catastrophe_rate, mine.requests, mine.bad[0]))


def _latency(
    evidence: Evidence, sight: Sight, canary: Side | None, stable: Side | None, left: float
) -> tuple[Latency | None, Baseline]:
    """Weigh the answers' latency, once we know its edges; until then learn about stable, and look for them again."""
    slow, seen = evidence.latency, evidence.seen
    if slow is None or not slow.edges:
        if canary is not None and sound(canary.latency):
            known = (seen,) if evidence.history is None else (evidence.history, seen)
            slow = choose(evidence.criteria, canary.latency, known, evidence.hazard)
        if slow is None or not slow.edges:
            return slow, seen.add(stable) if sight.guarded and stable is not None and sound(stable.latency) else seen
    if sight.now <= evidence.criteria.warm_up.total_seconds():
        return slow, seen
    return slow.take(canary, stable, sight.guarded, left), seen


def _named(evidence: Evidence, sample: Sample, now: float, concurrent: bool, left: float) -> tuple[Named, ...]:
    """Weigh what the application counts, once the warm-up is over."""
    criteria = evidence.criteria
    warm, patience = now > criteria.warm_up.total_seconds(), criteria.blind_at_most.total_seconds()
    return tuple([one.take(sample, now, concurrent, patience, left, warm) for one in evidence.named])


def _unguarded(evidence: Evidence) -> Evidence:
    """Stable cannot be compared with any more: what it excused until now stays excused."""
    outage = evidence.catastrophe.capped(evidence.errors.relative.odds)
    slow = evidence.latency and replace(evidence.latency, stream=evidence.latency.stream.unguarded())
    return replace(evidence, errors=evidence.errors.unguarded(), catastrophe=outage, latency=slow)


def _incident_since(evidence: Evidence, errors: Stream, sight: Sight) -> float | None:
    """Since when has the canary been over the limit together with a stable that was clean before it came?"""
    if not sight.guarded or errors.calm or not errors.incident or errors.against.odds * evidence.criteria.alpha < 1.0:
        return None
    before = evidence.history.error_rate if evidence.history else None
    if before is None or before > errors.limits.limits[0]:
        return None
    return sight.now if evidence.incident_since is None else evidence.incident_since
