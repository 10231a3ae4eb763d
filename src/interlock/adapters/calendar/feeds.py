"""What stands in an iCalendar feed, and which days are holidays?"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from interlock.adapters.child import ChildError, answer
from interlock.adapters.feed import MISSING, Feed, FeedError, installed
from interlock.core.window import AHEAD, Entries, Period, Window
from interlock.ports.calendar import CalendarError

_DAY = timedelta(days=1)


class Feeds:
    """Reads feeds by URL or path, and knows the holidays of countries."""

    def __init__(self, feed: Feed | None = None) -> None:
        self._feed = feed or Feed()
        self._holidays: dict[tuple[str, int], tuple[tuple[date, str], ...]] = {}

    async def periods(self, window: Window, at: datetime, within: timedelta) -> Entries:
        """Return the freezes and holidays that touch the two months from this moment on."""
        entries = await self._events(window, at, within) if window.calendar or window.calendar_secret else Entries()
        return Entries((*await self._days(window, at, within), *entries.periods), entries.note)

    async def _events(self, window: Window, at: datetime, within: timedelta) -> Entries:
        try:
            secret = window.calendar_secret
            copy = await self._feed.events(window.calendar, window.timezone, at, within, secret=secret)
        except FeedError as error:
            raise CalendarError(str(error)) from error
        return Entries(tuple(Period(one["start"], one["end"], one["what"]) for one in copy.events), copy.note)

    async def _days(self, window: Window, at: datetime, within: timedelta) -> tuple[Period, ...]:
        if not window.holidays:
            return ()
        zone = ZoneInfo(window.timezone)
        first, last = at.astimezone(zone).date() - _DAY, (at + AHEAD).astimezone(zone).date() + _DAY
        days = [
            one for year in range(first.year, last.year + 1) for one in await self._year(window.holidays, year, within)
        ]
        return tuple(_whole_day(day, zone, name) for day, name in days if first <= day <= last)

    async def _year(self, place: str, year: int, within: timedelta) -> tuple[tuple[date, str], ...]:
        """Return the holidays of a year; they are worked out once."""
        if (place, year) not in self._holidays:
            if not installed():
                raise CalendarError(MISSING)
            country, _, part = place.partition("-")
            try:
                found = await answer("calendar.days", {"country": country, "part": part, "years": [year]}, within)
            except ChildError as error:
                raise CalendarError(f"the holidays of {place}: {error}") from error
            self._holidays[place, year] = tuple((date.fromisoformat(day), name) for day, name in found)
        return self._holidays[place, year]


def _whole_day(day: date, zone: ZoneInfo, name: str) -> Period:
    start, end = (datetime.combine(one, time(), zone).astimezone(UTC) for one in (day, day + _DAY))
    return Period(start, end, name)
