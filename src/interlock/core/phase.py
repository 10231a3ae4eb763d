"""In which phases can a rollout be?"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a rollout stands."""

    WAITING = "waiting"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    WATCHING = "watching"
    RETRACTING = "retracting"
    ROLLING_BACK = "rolling back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled back"
    SUPERSEDED = "superseded"
    FAILED = "failed"


OVER = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.SUPERSEDED, Phase.FAILED})
