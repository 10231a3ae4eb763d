"""What stands in an iCalendar feed, and which days are holidays?"""

from __future__ import annotations

from datetime import datetime, timedelta

from interlock.core.window import Period, Window
from interlock.ports.calendar import CalendarError


class Feeds:
    """Reads feeds by URL or path, and knows the holidays of countries."""

    async def periods(self, window: Window, at: datetime, within: timedelta) -> tuple[Period, ...]:
        """Return the freezes and holidays that touch the two weeks around this moment."""
        raise CalendarError("calendars and holidays cannot be read yet")
