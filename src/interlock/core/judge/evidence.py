"""What has been learnt about a release so far?

`Evidence` is the judge's whole memory, a value: the engine stores it with the raw counters and goes on after a crash as
if nothing had been. Time is counted in seconds since the first sample and moves only with samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from math import isfinite

from interlock.core.criteria import Criteria
from interlock.core.judge import bets
from interlock.core.judge.baseline import UNKNOWN_CLUSTERING, Baseline, sound
from interlock.core.judge.flight import Flight
from interlock.core.judge.latency import Latency, choose
from interlock.core.judge.mixture import Mixture
from interlock.core.judge.stream import SOME, Count, Limits, Stream, memory
from interlock.core.sample import Sample, Side

WEIGHTS = {"errors": 0.53, "catastrophe": 0.03, "latency": 0.44}
"""How alpha is shared: a mean of odds with weights that sum to one keeps the promise for all metrics together."""

_UNMATCHED = 5.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the judge knows; `latency` is None as long as its edges have not been chosen."""

    criteria: Criteria
    samples: int
    history: Baseline | None
    errors: Stream
    catastrophe: Mixture
    latency: Latency | None = None
    seen: Baseline = Baseline()
    boot: str = ""
    monotonic: float | None = None
    now: float = 0.0
    step_at: float = 0.0
    canary_at: float = 0.0
    latency_at: float = 0.0
    stable_at: float = 0.0
    unmatched: float = 0.0
    concurrent: bool = False
    guarded: bool = False
    canary_flight: Flight = Flight()
    stable_flight: Flight = Flight()
    hung: float = 0.0
    incident_since: float | None = None

    @property
    def warm(self) -> bool:
        """Whether the warm-up, in which only a catastrophe counts, is over."""
        return self.now > self.criteria.warm_up.total_seconds()

    @property
    def blind(self) -> bool:
        """Whether the canary has not been seen for longer than the criteria allow."""
        return self.now - self.canary_at > self.criteria.blind_at_most.total_seconds()

    @property
    def hazard(self) -> float:
        """Chance, in the prior, that things change from one sample to the next."""
        return hazard(self.samples)


def hazard(samples: int) -> float:
    return 1.0 / max(20, samples)


def begin(criteria: Criteria, samples: int, *, history: Baseline | None = None) -> Evidence:
    """Start without evidence. `samples` are planned for the whole rollout; `history` is stable's last 60 minutes."""
    limit = min(max(criteria.error_rate, 1e-6), 0.95)
    limits = Limits(
        limits=(limit,),
        ratio=criteria.stable_ratio,
        margin=criteria.margin,
        proven_at=1.0 / criteria.beta,
        deciding=1,
        compared=False,
        clustering=UNKNOWN_CLUSTERING if history is None else history.failures.clustering,
    )
    chance = hazard(samples)
    return Evidence(
        criteria,
        samples,
        history,
        Stream.start(limits, chance),
        Mixture.start(bets.CATASTROPHE_PRIOR, chance),
    )


def step(evidence: Evidence) -> Evidence:
    """Begin a new weight step: evidence against is kept, evidence for starts again."""
    slow = evidence.latency and replace(evidence.latency, stream=evidence.latency.stream.restarted())
    return replace(evidence, errors=evidence.errors.restarted(), latency=slow, step_at=evidence.now)


def observe(evidence: Evidence, sample: Sample, *, concurrent: bool) -> Evidence:
    """Take in one sample; one that is not newer than the last is ignored.

    `concurrent`: stable takes at least 1 % of the traffic just now, so the two sides can be compared.
    """
    if evidence.boot == sample.boot and evidence.monotonic is not None and sample.monotonic <= evidence.monotonic:
        return evidence
    passed = _passed(evidence, sample)
    now = evidence.now + passed
    canary, stable = _usable(sample.canary), _usable(sample.stable)
    patience = evidence.criteria.hang_after.total_seconds()
    canary_flight, counted, hung = _land(evidence.canary_flight, canary, now, patience)
    stable_flight, stable_counted, _ = _land(evidence.stable_flight, stable, now, patience)
    unmatched = evidence.unmatched + (counted.requests if counted else 0.0)
    stable_at = evidence.stable_at
    if stable_counted is not None and stable_counted.requests > SOME:
        stable_at, unmatched = now, 0.0
    silent = now - stable_at > evidence.criteria.blind_at_most.total_seconds() and unmatched >= _UNMATCHED
    guarded = concurrent and not silent
    evidence = _lose_guard(evidence) if evidence.guarded and not guarded else evidence
    was_warm, warm = evidence.warm, now > evidence.criteria.warm_up.total_seconds()
    left = memory(passed)
    errors, catastrophe = evidence.errors, evidence.catastrophe
    if warm and not was_warm:
        errors = Stream.start(errors.limits, evidence.hazard)
    if warm:
        errors = errors.take(counted, stable_counted, guarded, left)
    else:
        errors = errors.compare(counted, stable_counted, guarded)
    if counted is not None and counted.requests > SOME:
        rate = min(max(evidence.criteria.catastrophe_rate, 1e-6), 0.99)
        catastrophe = catastrophe.grow(bets.catastrophe(rate, counted.requests, counted.bad[0]))
    slow, seen = _weigh_latency(evidence, canary, stable, guarded, warm, left)
    latency_at = now if _answers(slow) > _answers(evidence.latency) else evidence.latency_at
    return Evidence(
        evidence.criteria,
        evidence.samples,
        evidence.history,
        errors,
        catastrophe,
        slow,
        seen,
        sample.boot,
        sample.monotonic,
        now,
        evidence.step_at,
        evidence.canary_at if canary is None else now,
        latency_at,
        stable_at,
        unmatched,
        concurrent,
        guarded,
        canary_flight,
        stable_flight,
        evidence.hung + hung,
        _incident_since(evidence, errors, guarded, now),
    )


def _passed(evidence: Evidence, sample: Sample) -> float:
    covers = max(0.0, sample.covers / timedelta(seconds=1))
    if evidence.monotonic is None or evidence.boot != sample.boot:
        return covers
    return max(sample.monotonic - evidence.monotonic, 0.0)


def _usable(side: Side | None) -> Side | None:
    """None also for a side whose numbers are no numbers: we have not seen it."""
    if side is None:
        return None
    numbers = (side.started, side.completed, side.failed, side.pending)
    return side if all(isfinite(x) and x >= 0 for x in numbers) else None


def _land(flight: Flight, side: Side | None, now: float, patience: float) -> tuple[Flight, Count | None, float]:
    if side is None:
        return flight, None, 0.0
    after, requests, bad = flight.land(side, now, patience)
    return after, Count(requests, (bad,)), max(0.0, after.hung - flight.hung)


def _lose_guard(evidence: Evidence) -> Evidence:
    outage = evidence.catastrophe.capped(evidence.errors.relative.odds)
    slow = evidence.latency and replace(evidence.latency, stream=evidence.latency.stream.unguarded())
    return replace(evidence, errors=evidence.errors.unguarded(), catastrophe=outage, latency=slow)


def _incident_since(evidence: Evidence, errors: Stream, guarded: bool, now: float) -> float | None:
    """Since when has the canary been over the limit together with a stable that was clean before it came?"""
    before = evidence.history.error_rate if evidence.history else None
    clean = before is not None and before <= errors.limits.limits[0]
    if not guarded or not clean or errors.calm or errors.against.odds * evidence.criteria.alpha < 1.0:
        return None
    return now if evidence.incident_since is None else evidence.incident_since


def _weigh_latency(
    evidence: Evidence, canary: Side | None, stable: Side | None, guarded: bool, warm: bool, left: float
) -> tuple[Latency | None, Baseline]:
    """Weigh the answers' latency, once we know its edges; until then learn about stable."""
    slow, seen = evidence.latency, evidence.seen
    if slow is None and canary is not None and sound(canary.latency):
        known = (seen,) if evidence.history is None else (evidence.history, seen)
        slow = choose(evidence.criteria, canary.latency, known, evidence.hazard)
    if slow is None and guarded and stable is not None and sound(stable.latency):
        seen = seen.add(stable)
    return (slow.take(canary, stable, guarded, left) if slow is not None and slow.edges and warm else slow), seen


def _answers(slow: Latency | None) -> float:
    return 0.0 if slow is None else slow.stream.total.requests
