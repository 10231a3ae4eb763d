"""What may we ask of a calendar?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from interlock.core.window import Entries, Window


class CalendarError(Exception):
    """It is not known what the calendar has; the message says which and why."""


class Calendar(Protocol):
    """Lists what is in a window's calendar and which days are holidays."""

    async def periods(self, window: Window, at: datetime, within: timedelta) -> Entries:
        """Return the freezes and holidays that touch the two months from this moment on; raise CalendarError."""
