"""How near is the evidence to either decision?

A finding is read as the keeper tells it, as a plain record: to show it needs nothing of the judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any

from interlock.app.words import number, odds, percent
from interlock.core.criteria import Criteria

HALF = 8
"""Columns of each half of the bar."""

ICONS = {"fail": "✖", "pass": "✔", "inconclusive": "◌"}


_BAD = dict.fromkeys(("error-rate", "catastrophe", "hanging", "shared-incident"), "failed") | {"latency-p99": "slow"}


def bar(finding: Mapping[str, Any], criteria: Criteria) -> str:
    """Draw the odds on a logarithmic scale: to the left up to the rollback, to the right up to the proof."""
    against = _columns(finding["odds_against"], criteria.alpha)
    proven = _columns(finding["odds_for"], criteria.beta)
    return f"{'█' * against:░>{HALF}}│{'█' * proven:░<{HALF}}"


def weighed(finding: Mapping[str, Any], criteria: Criteria) -> str:
    """Say collected and needed: the odds for and against."""
    return (
        f"for {odds(finding['odds_for'])} of {number(1 / criteria.beta)}, "
        f"against {odds(finding['odds_against'])} of {number(1 / criteria.alpha)}"
    )


def counted(finding: Mapping[str, Any]) -> str:
    """Say on how many requests the finding rests, and what is allowed; "" when there are none."""
    requests, limit = finding["canary_requests"], finding["limit"]
    if not requests:
        return ""
    bad = _BAD.get(finding["rule"].removeprefix("synthetic "), "bad")
    text = f"{number(finding['canary_bad'])} of {number(requests)} {bad}"
    if finding["estimate"] is not None:
        text += f", {percent(finding['estimate'])}"
    if finding.get("interval"):
        low, high = finding["interval"]
        text += f" (truly {percent(low)} to {percent(high)})"
    return text + (f", {percent(limit)} allowed" if limit is not None else "")


def sent(load: Mapping[str, Any] | None) -> str | None:
    """Say how many requests of our own each side has had; None where no load is planned."""
    if load is None:
        return None
    new, old = load["tried"]["canary"], load["tried"]["stable"]
    counted = f"{number(new['started'])} synthetic requests to the new revision, {number(new['failed'])} failed"
    return f"{counted}; {number(old['started'])} to the old one, {number(old['failed'])} failed; none is a user's"


def _columns(value: float, probability: float) -> int:
    """How much of a half is filled when odds of 1/probability fill it."""
    if value <= 1 or probability >= 1:
        return 0
    return min(HALF, round(HALF * log(value) / log(1 / probability)))
