"""What do the requests of users and requests of our own say together?

Each has evidence of its own, and they are never added up: a request of ours must not outweigh a user's failure.
"""

from __future__ import annotations

from dataclasses import replace

from interlock.core.judge.evidence import Evidence
from interlock.core.judge.judgement import Finding, Judgement, judge
from interlock.core.judge.verdict import (
    SUSPICIOUS,
    Verdict,
    decide,
    odds_against,
    poisoned,
    suspicions,
    unseen,
)

USERS, SYNTHETIC = 0.8, 0.2
"""How alpha is shared where a load is planned: a mean of odds by weights that sum to one keeps the promise for both."""

PREFIX = "synthetic "


def judge_both(users: Evidence, synthetic: Evidence | None) -> Judgement:
    """Judge a release by its users' requests and, where a load is planned, by ours; without one as by `judge` alone."""
    of_users = judge(users)
    if synthetic is None:
        return of_users
    of_ours = judge(synthetic)
    verdict, by_ours = _decide(users, synthetic)
    missing = ""
    if verdict is Verdict.INCONCLUSIVE:
        missing = (
            f"{of_users.missing or _suspected(users, synthetic)}; of synthetic load: {of_ours.missing or 'proven'}"
        )
    ours = tuple(_ours(finding) for finding in of_ours.findings)
    if verdict is not Verdict.FAIL:
        findings = (*_spared(of_users.findings), *_spared(ours))
    elif poisoned(users) or _louder(users, synthetic):
        findings = (*_condemned(of_users.findings), *_spared(ours))
    else:
        findings = (*_condemned(ours), *_spared(of_users.findings))
    return Judgement(verdict, findings, missing, of_users.blind, by_ours)


def decide_both(users: Evidence, synthetic: Evidence | None) -> Verdict:
    """Only the verdict of `judge_both`, without its reasons."""
    return decide(users) if synthetic is None else _decide(users, synthetic)[0]


def joint_odds_against(users: Evidence, synthetic: Evidence | None) -> float:
    """Return the odds against the release over all; at 1/alpha it is rolled back."""
    return odds_against(users) if synthetic is None else sum(_parts(users, synthetic))


def _parts(users: Evidence, synthetic: Evidence) -> tuple[float, float]:
    return USERS * odds_against(users), SYNTHETIC * odds_against(synthetic)


def _decide(users: Evidence, synthetic: Evidence) -> tuple[Verdict, bool]:
    """Return the verdict, and whether it is a pass that only our own requests prove.

    They prove failures and latency in place of users' only while users are seen and show nothing suspicious. What the
    application counts itself is the users' evidence: it cannot tell who asked.
    """
    against = sum(_parts(users, synthetic))
    if against * users.criteria.alpha >= 1.0 or poisoned(users):
        return Verdict.FAIL, False
    if against >= SUSPICIOUS:
        return Verdict.INCONCLUSIVE, False
    if decide(users) is Verdict.PASS:
        return Verdict.PASS, False
    seen = not (unseen(users) or suspicions(users))
    if seen and decide(synthetic) is Verdict.PASS and all(one.stream.proven for one in users.named):
        return Verdict.PASS, True
    return Verdict.INCONCLUSIVE, False


def _suspected(users: Evidence, synthetic: Evidence) -> str:
    return f"odds of {sum(_parts(users, synthetic)):.2g} to 1 against the release, over users and synthetic load"


def _louder(users: Evidence, synthetic: Evidence) -> bool:
    by_users, by_ours = _parts(users, synthetic)
    return by_users >= by_ours


def _ours(finding: Finding) -> Finding:
    return replace(finding, rule=f"{PREFIX}{finding.rule}", text=f"of synthetic requests: {finding.text}")


def _spared(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What would condemn alone does not while it is only a part."""
    return tuple(replace(f, verdict=Verdict.INCONCLUSIVE) if f.verdict is Verdict.FAIL else f for f in findings)


def _condemned(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The most damning stands first: the parts together condemn by it."""
    if any(finding.verdict is Verdict.FAIL for finding in findings):
        return findings
    return (replace(findings[0], verdict=Verdict.FAIL), *findings[1:])
