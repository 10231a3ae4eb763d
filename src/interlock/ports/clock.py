"""What may we ask of time?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and gates, monotonic time for durations: a clock that jumps moves no bake."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back within one boot, and also counts while suspended."""

    @property
    def boot(self) -> str:
        """The boot's id: monotonic times of two boots cannot be compared."""

    async def sleep(self, duration: timedelta) -> None:
        """Wait; returns early only when cancelled."""
