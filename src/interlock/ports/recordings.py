"""What may we ask of whatever keeps the recordings of rollouts?"""

from __future__ import annotations

from typing import Protocol


class RecordingsError(Exception):
    """A recording could not be read or written; the message says which, why, and what to do."""


class Recordings(Protocol):
    """Recordings by rollout: lines that are only ever added to. Quick enough to be asked without waiting."""

    def begun(self, rollout: str) -> bool:
        """Say whether there is a recording of this rollout already."""

    def add(self, rollout: str, lines: tuple[str, ...]) -> None:
        """Add lines, all or none, so that they outlive this process; raise RecordingsError when that cannot be."""

    def read(self, rollout: str) -> str:
        """Return all lines of a recording; raise RecordingsError when there is none."""

    def names(self) -> tuple[str, ...]:
        """Return the rollouts that were recorded, the newest first."""

    def prune(self, keep: int) -> None:
        """Forget all but the newest so many; what cannot be removed stays."""
