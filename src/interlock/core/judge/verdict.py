"""Does the evidence condemn the release, prove it, or neither, and how is that told to a person at night?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from interlock.core.judge.evidence import WEIGHTS, Evidence
from interlock.core.judge.latency import ENOUGH_ANSWERS, Latency
from interlock.core.judge.proof import requests_missing
from interlock.core.judge.stream import Stream

_SUSPICIOUS = 2.0


class Verdict(StrEnum):
    """What the evidence says."""

    FAIL = "fail"
    PASS = "pass"
    INCONCLUSIVE = "inconclusive"


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

    `blind`: the canary has not been seen for too long. That is never a fail by itself and never a pass.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    missing: str
    blind: bool


def judge(evidence: Evidence) -> Judgement:
    """Judge what has been seen so far; the same evidence always gives the same judgement."""
    verdict = decide(evidence)
    missing = _missing(evidence) if verdict is Verdict.INCONCLUSIVE else ""
    return Judgement(verdict, _findings(evidence, verdict), missing, evidence.blind)


def decide(evidence: Evidence) -> Verdict:
    """Only the verdict of `judge`, without its reasons: cheap enough for a million simulated samples."""
    if odds_against(evidence) * evidence.criteria.alpha >= 1.0 or _poisoned(evidence):
        return Verdict.FAIL
    if evidence.errors.proven and all(s.proven for s in _deciding(evidence)) and not _obstacles(evidence):
        return Verdict.PASS
    return Verdict.INCONCLUSIVE


def odds_against(evidence: Evidence) -> float:
    """Return the odds against the release over all metrics; at 1/alpha it is rolled back."""
    return sum(_shares(evidence).values())


def _shares(evidence: Evidence) -> dict[str, float]:
    """What each metric contributes to the odds against; a mean of e-values by fixed weights is an e-value."""
    guarded, errors = evidence.sight.guarded, evidence.errors
    outage = min(evidence.catastrophe.odds, errors.relative.odds) if guarded else evidence.catastrophe.odds
    return {
        "error-rate": WEIGHTS["errors"] * errors.odds_against(guarded),
        "catastrophe": WEIGHTS["catastrophe"] * outage,
        "latency-p99": WEIGHTS["latency"]
        * (evidence.latency.stream.odds_against(guarded) if evidence.latency else 1.0),
    }


def _poisoned(evidence: Evidence) -> bool:
    """Whether both sides have been over the limit for so long since the canary came that it must be put down to it."""
    since = evidence.incident_since
    return since is not None and evidence.sight.now - since >= evidence.criteria.incident_at_most.total_seconds()


def _deciding(evidence: Evidence) -> list[Stream]:
    slow = evidence.latency
    return [evidence.errors, slow.stream] if slow is not None and slow.edges else [evidence.errors]


def _obstacles(evidence: Evidence) -> list[str]:
    """Return why no amount of good requests so far makes a pass just now."""
    patience = evidence.criteria.blind_at_most.total_seconds()
    found = []
    if not evidence.warm:
        found.append(f"the warm-up of {_time(evidence.criteria.warm_up.total_seconds())} is not over")
    if evidence.blind:
        found.append(f"the canary has not been seen for {_time(evidence.sight.now - evidence.sight.canary_at)}")
    if evidence.sight.concurrent and evidence.sight.now - evidence.sight.stable_at > patience:
        found.append(f"stable has not been seen for {_time(evidence.sight.now - evidence.sight.stable_at)}")
    if evidence.latency is None:
        if _expects_latency(evidence):
            found.append(_latency_wanted(evidence))
    elif not evidence.latency.edges:
        found.append("latency cannot be judged: no histogram edge is near enough to the limit")
    elif evidence.sight.now - evidence.latency_at > patience:
        found.append(f"no usable latency of the canary for {_time(evidence.sight.now - evidence.latency_at)}")
    if odds_against(evidence) >= _SUSPICIOUS:
        found.append("there is evidence against the canary that good requests must first outweigh")
    restless = [s for s in _deciding(evidence) if not s.calm]
    if restless:
        found.append(f"{_percent(restless[0].recent.rate)} in the last minute is over the limit of a calm canary")
    return found


def _expects_latency(evidence: Evidence) -> bool:
    """Whether latency edges are still to come: with a limit or a baseline, or with a stable side to learn one from."""
    if evidence.criteria.latency_p99 is not None or evidence.sight.concurrent:
        return True
    return evidence.history is not None and evidence.history.answers >= ENOUGH_ANSWERS


def _latency_wanted(evidence: Evidence) -> str:
    known = max(evidence.seen.answers, evidence.history.answers if evidence.history else 0.0)
    if evidence.criteria.latency_p99 is not None or known >= ENOUGH_ANSWERS:
        return "no latency of the canary has been seen"
    return f"stable's p99 needs {_count(ENOUGH_ANSWERS - known)} more of its answers"


def _missing(evidence: Evidence) -> str:
    obstacles = _obstacles(evidence)
    if obstacles:
        return "; ".join(obstacles)
    seconds = max(evidence.sight.now - evidence.step_at, 1e-9)
    wanted = [requests_missing(s, seconds) for s in _deciding(evidence) if not s.proven]
    if None in wanted:
        return "at its present rate it cannot be proven; it is too near the limit"
    more = max([w for w in wanted if w is not None], default=0.0)
    rate = evidence.errors.step.requests / seconds
    text = f"needs about {_count(max(1.0, more))} more canary requests"
    return f"{text}, {_time(more / rate)} at the present rate" if rate > 0 else f"{text}; none has come so far"


def _findings(evidence: Evidence, verdict: Verdict) -> tuple[Finding, ...]:
    shares = _shares(evidence)
    fired = ""
    if verdict is Verdict.FAIL:
        fired = max(shares, key=lambda rule: shares[rule])
        if odds_against(evidence) * evidence.criteria.alpha < 1.0:
            fired = "shared-incident"
        elif fired != "latency-p99" and evidence.hung > 0 and 2 * evidence.hung >= evidence.errors.total.bad:
            fired = "hanging"
    findings = [
        _error_rate(evidence),
        *_hanging(evidence),
        *_catastrophe(evidence),
        *_shared(evidence),
        _latency(evidence),
    ]
    findings = [_with_verdict(f, Verdict.FAIL) if f.rule == fired else f for f in findings]
    findings.sort(key=lambda f: (f.rule != fired, -shares.get(f.rule, 0.0)))
    return tuple(findings)


def _with_verdict(f: Finding, verdict: Verdict) -> Finding:
    return replace(f, verdict=verdict)


def _error_rate(evidence: Evidence) -> Finding:
    stream = evidence.errors
    stable = f", stable has {_percent(stream.stable_recent.rate)}" if evidence.sight.guarded else ""
    text = (
        f"{_count(stream.total.bad)} of {_count(stream.total.requests)} canary requests failed "
        f"({_rate(stream)}, {_percent(stream.recent.rate)} in the last minute); "
        f"{_percent(stream.limits.limits[0])} is allowed{stable}; {_weighed(evidence, stream)}"
    )
    return _finding(evidence, "error-rate", text, stream)


def _latency(evidence: Evidence) -> Finding:
    slow = evidence.latency
    if slow is None or not slow.edges:
        why = _latency_wanted(evidence) if slow is None else "no histogram edge is near enough to the limit"
        text = f"latency is not judged: {why}{_control(evidence)}"
        return Finding("latency-p99", Verdict.INCONCLUSIVE, text, 0.0, 0.0, None, None, 1.0, 1.0)
    stream = slow.stream
    text = (
        f"{_count(stream.total.bad)} of {_count(stream.total.requests)} canary answers "
        f"({_rate(stream)}, {_percent(stream.recent.rate)} in the last minute) took longer than "
        f"{slow.edges[0].canary:g} ms, {_reason(evidence, slow)}; {_weighed(evidence, stream)}"
    )
    return _finding(evidence, "latency-p99", text, stream)


def _reason(evidence: Evidence, slow: Latency) -> str:
    edge, allowed = slow.edges[0], f"{_percent(slow.stream.limits.limits[0])} may"
    if evidence.criteria.latency_p99 is not None:
        return f"the limit; {allowed}"
    share = f"{_percent(edge.share)} of stable's took longer than {edge.stable:g} ms"
    return f"{evidence.criteria.latency_factor:g} × the edge at stable's p99 ({share}); {allowed}"


def _finding(evidence: Evidence, rule: str, text: str, stream: Stream) -> Finding:
    proven = stream.proven and stream.calm and not evidence.blind
    return Finding(
        rule,
        Verdict.PASS if proven else Verdict.INCONCLUSIVE,
        text + _control(evidence),
        stream.total.requests,
        stream.total.bad,
        stream.total.rate,
        stream.limits.limits[0],
        stream.odds_against(evidence.sight.guarded),
        stream.odds_for,
        stream.interval,
    )


def _hanging(evidence: Evidence) -> list[Finding]:
    if evidence.hung <= 0:
        return []
    stream, after = evidence.errors, _time(evidence.criteria.hang_after.total_seconds())
    text = (
        f"at least {_count(evidence.hung)} canary requests had no answer after {after}, "
        f"{_count(evidence.canary_flight.hung)} of them still have none; {_count(stream.total.requests)} were counted"
    )
    return [
        Finding(
            "hanging",
            Verdict.INCONCLUSIVE,
            text + _control(evidence),
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
    odds = evidence.catastrophe.odds
    if odds < _SUSPICIOUS and evidence.warm:
        return []
    stream, rate = evidence.errors, evidence.criteria.catastrophe_rate
    text = f"odds of {_odds(odds)} that more than {_percent(rate)} of the canary's requests fail"
    return [
        Finding(
            "catastrophe",
            Verdict.INCONCLUSIVE,
            text + _control(evidence),
            stream.total.requests,
            stream.total.bad,
            stream.recent.rate,
            rate,
            min(odds, stream.relative.odds) if evidence.sight.guarded else odds,
            1.0,
        )
    ]


def _shared(evidence: Evidence) -> list[Finding]:
    since, stream = evidence.incident_since, evidence.errors
    if since is None:
        return []
    text = (
        f"canary ({_percent(stream.recent.rate)}) and stable ({_percent(stream.stable_recent.rate)}) have both failed "
        f"too much for {_time(evidence.sight.now - since)}; stable was clean before the canary came, which as a "
        f"precaution is taken back after {_time(evidence.criteria.incident_at_most.total_seconds())}"
    )
    total = stream.total
    odds = stream.odds_against(evidence.sight.guarded)
    return [
        Finding(
            "shared-incident",
            Verdict.INCONCLUSIVE,
            text,
            total.requests,
            total.bad,
            stream.recent.rate,
            stream.limits.limits[0],
            odds,
            stream.odds_for,
        )
    ]


def _weighed(evidence: Evidence, stream: Stream) -> str:
    against = stream.odds_against(evidence.sight.guarded)
    return (
        f"odds against {_odds(against)} ({_odds(1 / evidence.criteria.alpha)} over all "
        f"metrics roll back), odds that it is below {_percent(stream.limits.margins[0])} {_odds(stream.odds_for)} "
        f"({_odds(stream.limits.proven_at)} prove it)"
    )


def _control(evidence: Evidence) -> str:
    if evidence.sight.guarded:
        return ""
    return "; no concurrent control, so the stated false-rollback probability does not hold"


def _rate(stream: Stream) -> str:
    if stream.total.rate is None:
        return "none"
    low, high = stream.interval
    return f"{_percent(stream.total.rate)}, truly {_percent(low)} to {_percent(high)}"


def _percent(rate: float | None) -> str:
    return "none" if rate is None else f"{100 * rate:.2g} %" if rate < 0.9995 else "100 %"


def _count(x: float) -> str:
    return f"{x:,.0f}" if x == round(x) or x >= 100 else f"{x:,.1f}"


def _odds(x: float) -> str:
    if x >= 1e6:
        return "over a million to 1"
    return f"{x:,.0f} to 1" if x >= 10 else f"{x:.2g} to 1"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
