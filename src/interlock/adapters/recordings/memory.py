"""What did a rollout's judge see, kept as long as this process lives: for tests and for plans tried out."""

from __future__ import annotations

from interlock.ports.recordings import RecordingsError


class MemoryRecordings:
    """Recordings in memory. `full`: nothing more can be written."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[str, ...]] = {}
        self.full = False

    def begun(self, rollout: str) -> bool:
        """Say whether there is one."""
        return rollout in self._lines

    def add(self, rollout: str, lines: tuple[str, ...]) -> None:
        """Keep the lines."""
        if self.full:
            raise RecordingsError(f"{rollout} cannot be recorded: no space is left")
        self._lines[rollout] = (*self._lines.pop(rollout, ()), *lines)

    def read(self, rollout: str) -> str:
        """Return all lines."""
        if rollout not in self._lines:
            raise RecordingsError(f"there is no recording {rollout}")
        return "".join(f"{line}\n" for line in self._lines[rollout])

    def names(self) -> tuple[str, ...]:
        """Return the rollouts, by when they were last added to."""
        return tuple(reversed(self._lines))

    def prune(self, keep: int) -> None:
        """Forget the oldest."""
        for name in self.names()[keep:]:
            del self._lines[name]
