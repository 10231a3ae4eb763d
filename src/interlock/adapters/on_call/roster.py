"""Whose turn is it, where people take turns?"""

from __future__ import annotations

from datetime import datetime, timedelta

from interlock.core.on_call import Person, Roster, turn


class Turns:
    """Counts turns; asks nobody."""

    async def people(self, source: Roster, at: datetime, within: timedelta) -> tuple[Person, ...]:
        """Return whose turn it is at this moment; nobody before the first turn."""
        return turn(source, at)
