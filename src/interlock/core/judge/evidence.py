"""What has been learnt about a release so far?

`Evidence` is the judge's whole memory, a value: the engine stores it with the raw counters and goes on after a crash as
if nothing had been. Time is counted in seconds since the first sample and moves only with samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from math import isfinite

from interlock.core.criteria import Criteria
from interlock.core.judge import bets, latency
from interlock.core.judge.baseline import UNKNOWN_CLUSTERING, Baseline, sound
from interlock.core.judge.flight import Flight
from interlock.core.judge.mixture import Mixture
from interlock.core.judge.stream import SOME, Limits, Stream, Tally, memory
from interlock.core.sample import Sample, Side

WEIGHTS = {"errors": 0.50, "catastrophe": 0.05, "latency": 0.45}
"""How alpha is shared: a mean of odds with weights that sum to one keeps the promise for all metrics together."""

_UNMATCHED = 5.0


@dataclass(frozen=True, slots=True)
class Tail:
    """Answers slower than an edge: `stable_edge` on stable's side, `edge` on canary's, in milliseconds.

    `share` of stable's answers were slower before. `decides`: latency is not safe without this tail's proof.
    """

    stable_edge: float
    edge: float
    share: float
    decides: bool
    stream: Stream


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the judge knows; `tails` is None as long as the latency edges have not been chosen."""

    criteria: Criteria
    samples: int
    history: Baseline | None
    errors: Stream
    catastrophe: Mixture
    tails: tuple[Tail, ...] | None = None
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
        limit=limit,
        margin=margin(criteria, limit),
        ratio=criteria.stable_ratio,
        clustering=UNKNOWN_CLUSTERING if history is None else history.clustering,
        proven_at=1.0 / criteria.beta,
        compared=False,
    )
    chance = hazard(samples)
    return Evidence(
        criteria,
        samples,
        history,
        Stream.start(limits, chance),
        Mixture.start(bets.CATASTROPHE_PRIOR, chance),
    )


def margin(criteria: Criteria, limit: float) -> float:
    """The rate a release must be proven not to reach: `margin` times the limit, and not beyond half the way to 1."""
    return min(criteria.margin * limit, (1.0 + limit) / 2)


def step(evidence: Evidence) -> Evidence:
    """Begin a new weight step: evidence against is kept, evidence for starts again."""
    tails = evidence.tails and tuple([replace(t, stream=t.stream.restarted()) for t in evidence.tails])
    return replace(evidence, errors=evidence.errors.restarted(), tails=tails, step_at=evidence.now)


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
        catastrophe = catastrophe.grow(bets.catastrophe(rate, counted.requests, counted.bad))
    tails, seen, latency_at = _weigh_latency(evidence, canary, stable, guarded, warm, left, now)
    return Evidence(
        evidence.criteria,
        evidence.samples,
        evidence.history,
        errors,
        catastrophe,
        tails,
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


def _land(flight: Flight, side: Side | None, now: float, patience: float) -> tuple[Flight, Tally | None, float]:
    if side is None:
        return flight, None, 0.0
    after, requests, bad = flight.land(side, now, patience)
    return after, Tally(requests, bad), max(0.0, after.hung - flight.hung)


def _lose_guard(evidence: Evidence) -> Evidence:
    relative = evidence.errors.relative.odds
    tails = evidence.tails and tuple([replace(t, stream=t.stream.unguarded()) for t in evidence.tails])
    return replace(
        evidence, errors=evidence.errors.unguarded(), catastrophe=evidence.catastrophe.capped(relative), tails=tails
    )


def _incident_since(evidence: Evidence, errors: Stream, guarded: bool, now: float) -> float | None:
    """Since when has the canary been over the limit together with a stable that was clean before it came?"""
    before = evidence.history.error_rate if evidence.history else None
    clean = before is not None and before <= errors.limits.limit
    if not guarded or not clean or errors.calm or errors.against.odds * evidence.criteria.alpha < 1.0:
        return None
    return now if evidence.incident_since is None else evidence.incident_since


def _weigh_latency(
    evidence: Evidence, canary: Side | None, stable: Side | None, guarded: bool, warm: bool, left: float, now: float
) -> tuple[tuple[Tail, ...] | None, Baseline, float]:
    tails, seen, at = evidence.tails, evidence.seen, evidence.latency_at
    mine = canary.latency if canary is not None and sound(canary.latency) else None
    theirs = stable.latency if stable is not None and sound(stable.latency) else None
    if tails is None and mine is not None:
        tails = _choose(evidence, mine)
    if tails is None and guarded and stable is not None and theirs is not None:
        seen = seen + Baseline.of(stable)
    if not tails or not warm:
        return tails, seen, at
    if mine is not None and all(latency.has_edge(mine, t.edge) for t in tails):
        at = now
    total = 0.0 if mine is None else float(sum(mine.values()))
    stable_total = 0.0 if theirs is None else float(sum(theirs.values()))
    return tuple([_lengthen(t, mine, total, theirs, stable_total, guarded, left) for t in tails]), seen, at


def _choose(evidence: Evidence, mine: Mapping[float, float]) -> tuple[Tail, ...] | None:
    """Choose the latency edges from stable's answers and the canary's layout: None: not yet, empty: impossible."""
    criteria = evidence.criteria
    if criteria.latency_p99 is not None:
        edge = latency.edge_from(mine, criteria.latency_p99 / timedelta(milliseconds=1))
        return () if edge is None else (_tail(evidence, edge, edge, 0.01, 0.01, decides=True, compared=False),)
    known = [b for b in (evidence.history, evidence.seen) if b is not None and b.answers >= latency.ENOUGH_ANSWERS]
    if not known:
        return None
    baseline, factor = known[0], criteria.latency_factor
    edges = latency.edges(baseline, mine, factor)
    fine = bool(edges) and 0.005 <= edges[0][2] <= 0.02 and edges[0][1] <= 1.2 * factor * edges[0][0]
    return tuple(
        [
            _tail(
                evidence,
                u,
                v,
                share,
                latency.allowed(share, baseline.answers, baseline.samples),
                decides=not fine or i == 0,
                compared=True,
            )
            for i, (u, v, share) in enumerate(edges)
        ]
    )


def _tail(evidence: Evidence, u: float, v: float, share: float, limit: float, *, decides: bool, compared: bool) -> Tail:
    limits = Limits(
        limit=limit,
        margin=margin(evidence.criteria, limit),
        ratio=1.0 if compared else evidence.criteria.stable_ratio,
        clustering=UNKNOWN_CLUSTERING,
        proven_at=1.0 / evidence.criteria.beta,
        compared=compared,
    )
    return Tail(u, v, share, decides, Stream.start(limits, evidence.hazard))


def _lengthen(
    tail: Tail,
    mine: Mapping[float, float] | None,
    total: float,
    theirs: Mapping[float, float] | None,
    stable_total: float,
    guarded: bool,
    left: float,
) -> Tail:
    canary = stable = None
    if mine is not None and latency.has_edge(mine, tail.edge):
        canary = Tally(total, latency.slower(mine, tail.edge))
    if theirs is not None and latency.has_edge(theirs, tail.stable_edge):
        stable = Tally(stable_total, latency.slower(theirs, tail.stable_edge))
    stream = tail.stream.take(canary, stable, guarded, left)
    return Tail(tail.stable_edge, tail.edge, tail.share, tail.decides, stream)
