"""Why does the judge say so, told to a person at night?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from interlock.core.criteria import Control
from interlock.core.judge.evidence import Evidence
from interlock.core.judge.latency import Latency
from interlock.core.judge.named import Named
from interlock.core.judge.proof import requests_missing
from interlock.core.judge.stream import Stream
from interlock.core.judge.verdict import (
    SUSPICIOUS,
    Verdict,
    counted,
    decide,
    latency_wanted,
    obstacles,
    odds_against,
    shares,
)
from interlock.core.judge.words import count, duration, odds, percent


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found. Odds: e-values, `odds_against` for a rollback, `odds_for` for the proof that it is safe.

    `text` is one sentence with the numbers. Rates are fractions from 0 to 1; the true one lies in `interval` with a
    probability of 95 %, for all times together.
    """

    rule: str
    verdict: Verdict
    text: str
    canary_requests: float
    canary_bad: float
    estimate: float | None
    limit: float | None
    odds_against: float
    odds_for: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and why: findings, the most damning first; `missing` says what an inconclusive verdict still needs.

    `blind`: the canary has not been seen for too long. That is never a fail by itself and never a pass. `synthetic`: it
    passes by requests of our own, not by those of users.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    missing: str
    blind: bool
    synthetic: bool = False


def judge(evidence: Evidence) -> Judgement:
    """Judge what has been seen so far; the same evidence always gives the same judgement."""
    verdict = decide(evidence)
    missing = _missing(evidence) if verdict is Verdict.INCONCLUSIVE else ""
    return Judgement(verdict, _findings(evidence, verdict), missing, evidence.blind)


def _missing(evidence: Evidence) -> str:
    in_the_way = obstacles(evidence)
    if in_the_way:
        return "; ".join(in_the_way)
    seconds = max(evidence.sight.now - evidence.step_at, 1e-9)
    wanted = [requests_missing(s, seconds) for s in counted(evidence) if not s.proven]
    if None in wanted:
        return "at its present rate of bad requests it cannot be proven: that is too near the limit"
    more = [w for w in wanted if w is not None]
    unproven = [_still_named(one, seconds) for one in evidence.named if not one.stream.proven]
    requests = _still(max(more, default=0.0), "canary requests", evidence.errors.step.requests / seconds)
    return "; ".join([*([requests] if more or not unproven else []), *unproven])


def _still_named(one: Named, seconds: float) -> str:
    more = requests_missing(one.stream, seconds)
    if more is None:
        return f"at its present rate {one.metric.name} cannot be proven: that is too near the limit"
    return _still(more, f"canary events of {one.metric.name}", one.stream.step.requests / seconds)


def _still(more: float, what: str, rate: float) -> str:
    text = f"needs about {count(ceil(max(1.0, more)))} more {what}"
    return f"{text}, {duration(more / rate)} at the present rate" if rate > 0 else f"{text}; none has come so far"


def _findings(evidence: Evidence, verdict: Verdict) -> tuple[Finding, ...]:
    parts = shares(evidence)
    fired = ""
    if verdict is Verdict.FAIL:
        fired = max(parts, key=lambda rule: parts[rule])
        if odds_against(evidence) * evidence.criteria.alpha < 1.0:
            fired = "shared-incident"
        elif (
            fired in ("error-rate", "catastrophe")
            and evidence.hung > 0
            and 2 * evidence.hung >= evidence.errors.total.bad
        ):
            fired = "hanging"
    findings = [
        _error_rate(evidence),
        *_hanging(evidence),
        *_catastrophe(evidence),
        *_shared(evidence),
        _latency(evidence),
        *(_named(evidence, one) for one in evidence.named),
    ]
    findings = [replace(f, verdict=Verdict.FAIL) if f.rule == fired else f for f in findings]
    findings.sort(key=lambda f: (f.rule != fired, -parts.get(f.rule, 0.0)))
    return tuple(findings)


def _error_rate(evidence: Evidence) -> Finding:
    stream = evidence.errors
    stable = f", stable has {percent(stream.stable_recent.rate)}" if evidence.sight.guarded else ""
    text = (
        f"{count(stream.total.bad)} of {count(stream.total.requests)} canary requests failed "
        f"({_rate(stream)}, {percent(stream.recent.rate)} in the last minute); "
        f"{percent(stream.limits.limits[0])} is allowed{stable}; {_weighed(evidence, stream, evidence.sight.guarded)}"
    )
    return _finding(evidence, "error-rate", text, stream, evidence.sight.guarded)


def _named(evidence: Evidence, one: Named) -> Finding:
    stream, guarded = one.stream, one.sight.guarded
    stable = f", stable has {percent(stream.stable_recent.rate)}" if guarded else ""
    unseen = f"; not seen: {one.unseen}" if one.unseen else ""
    text = (
        f"{count(stream.total.bad)} of {count(stream.total.requests)} canary events of {one.metric.name} were bad "
        f"({one.metric}): "
        f"{_rate(stream)}, {percent(stream.recent.rate)} in the last minute; "
        f"{percent(stream.limits.limits[0])} is allowed{stable}; {_weighed(evidence, stream, guarded)}{unseen}"
    )
    finding = _finding(evidence, one.metric.name, text, stream, guarded)
    blind = one.blind(evidence.sight.now, evidence.criteria.blind_at_most.total_seconds())
    return replace(finding, verdict=Verdict.INCONCLUSIVE) if blind else finding


def _latency(evidence: Evidence) -> Finding:
    slow = evidence.latency
    if slow is None or not slow.edges:
        why = latency_wanted(evidence) if slow is None else "no histogram edge is near enough to the limit"
        text = f"latency is not judged: {why}{_control(evidence, evidence.sight.guarded)}"
        return Finding("latency-p99", Verdict.INCONCLUSIVE, text, 0.0, 0.0, None, None, 1.0, 1.0)
    stream = slow.stream
    text = (
        f"{count(stream.total.bad)} of {count(stream.total.requests)} canary answers "
        f"({_rate(stream)}, {percent(stream.recent.rate)} in the last minute) took longer than "
        f"{slow.edges[0].canary:g} ms, {_reason(evidence, slow)}; {_weighed(evidence, stream, evidence.sight.guarded)}"
    )
    return _finding(evidence, "latency-p99", text, stream, evidence.sight.guarded)


def _reason(evidence: Evidence, slow: Latency) -> str:
    edge, allowed = slow.edges[0], f"{percent(slow.stream.limits.limits[0])} is allowed"
    if evidence.criteria.latency_p99 is not None:
        return f"the limit; {allowed}"
    share = f"{percent(edge.share)} of stable's took longer than {edge.stable:g} ms"
    return f"{evidence.criteria.latency_factor:g} × the edge at stable's p99 ({share}); {allowed}"


def _finding(evidence: Evidence, rule: str, text: str, stream: Stream, guarded: bool) -> Finding:
    proven = stream.proven and stream.calm and not evidence.blind
    return Finding(
        rule,
        Verdict.PASS if proven else Verdict.INCONCLUSIVE,
        text + _control(evidence, guarded),
        stream.total.requests,
        stream.total.bad,
        stream.total.rate,
        stream.limits.limits[0],
        stream.odds_against(guarded),
        stream.odds_for,
        stream.interval,
    )


def _hanging(evidence: Evidence) -> list[Finding]:
    if evidence.hung <= 0:
        return []
    stream, after = evidence.errors, duration(evidence.criteria.hang_after.total_seconds())
    text = (
        f"at least {count(evidence.hung)} canary requests had no answer after {after}, "
        f"{count(evidence.canary_flight.hung)} of them still have none; {count(stream.total.requests)} were counted"
    )
    return [
        Finding(
            "hanging",
            Verdict.INCONCLUSIVE,
            text + _control(evidence, evidence.sight.guarded),
            stream.total.requests,
            evidence.hung,
            evidence.hung / stream.total.requests if stream.total.requests > 0 else None,
            stream.limits.limits[0],
            max(
                stream.odds_against(evidence.sight.guarded),
                evidence.catastrophe.odds if not evidence.sight.guarded else 1.0,
            ),
            1.0,
        )
    ]


def _catastrophe(evidence: Evidence) -> list[Finding]:
    outage = evidence.catastrophe.odds
    if outage < SUSPICIOUS and evidence.warm:
        return []
    stream, rate = evidence.errors, evidence.criteria.catastrophe_rate
    counted = f"{percent(stream.recent.rate)} of the canary's requests failed in the last minute"
    text = f"{counted}, odds of {odds(outage)} that more than the {percent(rate)} of a catastrophe do"
    return [
        Finding(
            "catastrophe",
            Verdict.INCONCLUSIVE,
            text + _control(evidence, evidence.sight.guarded),
            stream.total.requests,
            stream.total.bad,
            stream.recent.rate,
            rate,
            min(outage, stream.relative.odds) if evidence.sight.guarded else outage,
            1.0,
        )
    ]


def _shared(evidence: Evidence) -> list[Finding]:
    since, stream = evidence.incident_since, evidence.errors
    if since is None:
        return []
    text = (
        f"canary ({percent(stream.recent.rate)}) and stable ({percent(stream.stable_recent.rate)}) have both failed "
        f"too much for {duration(evidence.sight.now - since)}; stable was clean before the canary came, which as a "
        f"precaution is taken back after {duration(evidence.criteria.incident_at_most.total_seconds())}"
    )
    total = stream.total
    against = stream.odds_against(evidence.sight.guarded)
    return [
        Finding(
            "shared-incident",
            Verdict.INCONCLUSIVE,
            text,
            total.requests,
            total.bad,
            stream.recent.rate,
            stream.limits.limits[0],
            against,
            stream.odds_for,
        )
    ]


def _weighed(evidence: Evidence, stream: Stream, guarded: bool) -> str:
    against, needed = stream.odds_against(guarded), 1 / evidence.criteria.alpha
    if against >= needed:  # what would have proven it is no longer of interest
        return f"odds against it {odds(against)}, {odds(needed)} roll back"
    margin, proven_at = percent(stream.limits.margins[0]), odds(stream.limits.proven_at)
    return (
        f"odds against {odds(against)} ({odds(needed)} over all metrics roll back), "
        f"odds that it is below {margin} {odds(stream.odds_for)} ({proven_at} prove it)"
    )


_CONTROL = {
    Control.STABLE: "no concurrent control",
    Control.HISTORY: "baseline is stable's last 60 min, no concurrent control",
    Control.FIXED: "baseline is the fixed limits alone, no concurrent control",
}


def _control(evidence: Evidence, guarded: bool) -> str:
    if guarded:
        return ""
    return f"; {_CONTROL[evidence.criteria.baseline]}, so the stated false-rollback probability does not hold"


def _rate(stream: Stream) -> str:
    if stream.total.rate is None:
        return "none"
    low, high = stream.interval
    return f"{percent(stream.total.rate)}, with 95 % certainty {percent(low)} to {percent(high)}"
