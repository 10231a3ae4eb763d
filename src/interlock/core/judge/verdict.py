"""Does the evidence condemn the release, prove it, or neither?"""

from __future__ import annotations

from enum import StrEnum
from functools import partial

from interlock.core.judge.evidence import WEIGHTS, Evidence
from interlock.core.judge.latency import ENOUGH_ANSWERS
from interlock.core.judge.named import Named, rest
from interlock.core.judge.stream import Stream
from interlock.core.judge.words import count, duration, percent

_ERRORS, _CATASTROPHE, _LATENCY = WEIGHTS["errors"], WEIGHTS["catastrophe"], WEIGHTS["latency"]

SUSPICIOUS = 2.0
"""From these odds on there is something against the canary that forbids a pass."""


class Verdict(StrEnum):
    """What the evidence says."""

    FAIL = "fail"
    PASS = "pass"
    INCONCLUSIVE = "inconclusive"


def decide(evidence: Evidence) -> Verdict:
    """Only the verdict of `judge`, without its reasons: cheap enough for a million simulated samples."""
    against = odds_against(evidence)
    if against * evidence.criteria.alpha >= 1.0 or poisoned(evidence):
        return Verdict.FAIL
    if against >= SUSPICIOUS:
        return Verdict.INCONCLUSIVE
    for stream in deciding(evidence):
        if not (stream.proven and stream.calm):
            return Verdict.INCONCLUSIVE
    return Verdict.INCONCLUSIVE if unseen(evidence) or _latency_unseen(evidence) else Verdict.PASS


def odds_against(evidence: Evidence) -> float:
    """Return the odds against the release over all metrics; at 1/alpha it is rolled back."""
    return sum(_parts(evidence))


def shares(evidence: Evidence) -> dict[str, float]:
    """What each metric contributes to the odds against; a mean of e-values by fixed weights is an e-value."""
    rules = ("error-rate", "catastrophe", "latency-p99", *(one.metric.name for one in evidence.named))
    return dict(zip(rules, _parts(evidence), strict=True))


def _parts(evidence: Evidence) -> list[float]:
    """Return the shares: of failures, of catastrophe, of latency, then of each metric that the user names."""
    guarded, errors = evidence.sight.guarded, evidence.errors
    outage = min(evidence.catastrophe.odds, errors.relative.odds) if guarded else evidence.catastrophe.odds
    slow = evidence.latency.stream.odds_against(guarded) if evidence.latency else 1.0
    parts = [_ERRORS * errors.odds_against(guarded), _CATASTROPHE * outage, _LATENCY * slow]
    if not evidence.named:
        return parts
    left = rest(evidence.named)
    return [*(left * part for part in parts), *(one.share * one.odds_against for one in evidence.named)]


def poisoned(evidence: Evidence) -> bool:
    """Whether both sides have been over the limit for so long since the canary came that it must be put down to it."""
    since = evidence.incident_since
    return since is not None and evidence.sight.now - since >= evidence.criteria.incident_at_most.total_seconds()


def deciding(evidence: Evidence) -> list[Stream]:
    """Return the streams that must all be proven."""
    return [*counted(evidence), *(one.stream for one in evidence.named)] if evidence.named else counted(evidence)


def counted(evidence: Evidence) -> list[Stream]:
    """Return those of them that the proxy counts: failures, and slow answers where they can be judged."""
    slow = evidence.latency
    return [evidence.errors, slow.stream] if slow is not None and slow.edges else [evidence.errors]


def obstacles(evidence: Evidence) -> list[str]:
    """Return why no amount of good requests so far makes a pass just now."""
    if evidence.sight.monotonic is None:
        return unseen(evidence)
    return [*unseen(evidence), *_latency_unseen(evidence), *suspicions(evidence)]


def unseen(evidence: Evidence) -> list[str]:
    """Return what has not been seen of the two sides, or not for long enough."""
    if evidence.sight.monotonic is None:
        return ["no sample has been taken yet"]
    found = []
    if not evidence.warm:
        found.append(f"the warm-up of {duration(evidence.criteria.warm_up.total_seconds())} is not over")
    if evidence.blind:
        found.append(f"the canary has not been seen for {duration(evidence.sight.now - evidence.sight.canary_at)}")
    stable_unseen = evidence.sight.now - evidence.sight.stable_at
    if evidence.sight.concurrent and stable_unseen > evidence.criteria.blind_at_most.total_seconds():
        found.append(f"stable has not been seen for {duration(stable_unseen)}")
    if evidence.named:
        found += filter(None, map(partial(_named_unseen, evidence), evidence.named))
    return found


def _named_unseen(evidence: Evidence, one: Named) -> str:
    """Say that a metric which the user names is not seen, and why; nothing when all instances showed it lately."""
    now, patience = evidence.sight.now, evidence.criteria.blind_at_most.total_seconds()
    if not one.blind(now, patience):
        return ""
    since = "yet" if one.seen_at is None else f"for {duration(now - one.seen_at)}"
    return f"{one.metric.name} of the canary has not been seen {since}" + (f": {one.unseen}" if one.unseen else "")


def suspicions(evidence: Evidence) -> list[str]:
    """Return what speaks against the canary, short of a verdict."""
    found = []
    if odds_against(evidence) >= SUSPICIOUS:
        found.append("there is evidence against the canary that good requests must first outweigh")
    restless = [s for s in deciding(evidence) if not s.calm]
    if restless:
        found.append(f"{percent(restless[0].recent.rate)} in the last minute is over the limit of a calm canary")
    return found


def _latency_unseen(evidence: Evidence) -> list[str]:
    if evidence.latency is None:
        return [latency_wanted(evidence)] if _expects_latency(evidence) else []
    if not evidence.latency.edges:
        return ["latency cannot be judged: no histogram edge is near enough to the limit"]
    since = evidence.sight.now - evidence.latency_at
    if since > evidence.criteria.blind_at_most.total_seconds():
        return [f"no usable latency of the canary for {duration(since)}"]
    return []


def _expects_latency(evidence: Evidence) -> bool:
    """Whether latency edges are still to come: with a limit or a baseline, or with a stable side to learn one from."""
    if evidence.criteria.latency_p99 is not None or evidence.sight.concurrent:
        return True
    return evidence.history is not None and evidence.history.answers >= ENOUGH_ANSWERS


def latency_wanted(evidence: Evidence) -> str:
    known = max(evidence.seen.answers, evidence.history.answers if evidence.history else 0.0)
    if evidence.criteria.latency_p99 is not None or known >= ENOUGH_ANSWERS:
        return "no latency of the canary has been seen"
    return f"stable's p99 needs {count(ENOUGH_ANSWERS - known)} more of its answers"
