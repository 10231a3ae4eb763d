"""Do users give up on the new revision who did not on the old one?

A request whose user went away before an answer began was neither good nor bad: nobody knows which it would have been.
But where half of them go away, and twice as many as from the old revision, the new one does not answer. Without an old
one nothing can be said: a service with long polls may lose half of its users' requests every day.
"""

from __future__ import annotations

from collections.abc import Sequence

from interlock.core.sample import Side

ENOUGH = 20
"""So many must have been given up before it means anything, and so many asked of the old revision to compare with."""

HALF = 0.5
TWICE = 2.0


def given_up(recent: Sequence[Side], stable: Side) -> str:
    """Say how many gave up on the new revision's last samples, when that is too many; nothing otherwise.

    `stable` sums what the old revision did during this rollout.
    """
    gone = sum(side.abandoned for side in recent)
    asked = gone + sum(side.completed for side in recent)
    asked_before = stable.abandoned + stable.completed
    if gone < ENOUGH or asked_before < ENOUGH:
        return ""
    share, before = gone / asked, stable.abandoned / asked_before
    if share < HALF or share < TWICE * before:
        return ""
    return (
        f"users gave up {gone:.0f} of {asked:.0f} requests ({share:.0%}) before an answer began; of the old revision's "
        f"{before:.1%}"
    )
