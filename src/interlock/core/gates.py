"""May a rollout start, or go on? Each gate says why not, in words a person understands.

A gate is closed when it cannot be answered: no evidence is never success.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.core.release import Release
from interlock.core.steps import spell


@dataclass(frozen=True, slots=True)
class Answer:
    """Open or closed, and why. A `final` answer will not change by waiting."""

    open: bool
    reason: str
    final: bool = False


def not_quarantined(release: Release, quarantine: Iterable[tuple[str, str, str]]) -> Answer:
    """Open unless the release failed a verdict: `quarantine` holds (identity, rollout, reason)."""
    for identity, rollout, reason in quarantine:
        if identity == release.identity:
            why = f"{release.version} ({identity}) is quarantined since {rollout}: {reason}"
            return Answer(
                False, f"{why}. Release it with: interlock quarantine release {identity} --reason …", final=True
            )
    return Answer(True, f"{release.version} never failed a verdict")


def staging(
    release: Release, environment: str, proofs: Iterable[tuple[str, str, datetime]], now: datetime, valid_for: timedelta
) -> Answer:
    """Open when the same artefact and common configuration passed staging: `proofs` holds (subject, rollout, at)."""
    mine = [(at, rollout) for subject, rollout, at in proofs if subject == release.proven_as]
    if not mine:
        return Answer(False, f"{release.version} ({release.proven_as}) has not passed {environment}", final=True)
    at, rollout = max(mine)
    if now - at > valid_for:
        age = f"{spell(now - at)} ago, a proof is valid for {spell(valid_for)}"
        return Answer(False, f"{release.version} passed {environment} in {rollout} {age}: deploy it again", final=True)
    return Answer(True, f"{release.version} passed {environment} in {rollout}, {at:%Y-%m-%d %H:%M:%S} UTC")
