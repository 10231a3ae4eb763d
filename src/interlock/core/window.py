"""May anything be released at this hour?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class WhenClosed(StrEnum):
    """What becomes of a rollout under way when the window closes."""

    FINISH = "finish"
    HOLD = "hold"
    ROLL_BACK = "rollback"


@dataclass(frozen=True, slots=True)
class Opening:
    """Open on these weekdays (0 is Monday) from minute `start` to before minute `end` of the day, local time."""

    weekdays: tuple[int, ...]
    start: int = 0
    end: int = 24 * 60


@dataclass(frozen=True, slots=True)
class Freeze:
    """Closed from the first to the last of these days, both included, local time."""

    first: date
    last: date
    why: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """Something in a calendar: from `start` to before `end`, both aware."""

    start: datetime
    end: datetime
    what: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Open within any of the openings, in `timezone` (IANA), but for freezes, calendar entries and holidays.

    `calendar` is the URL or the path of an iCalendar feed whose events are freezes; `holidays` a country and perhaps a
    part of it, such as "DE" or "DE-BY".
    """

    openings: tuple[Opening, ...]
    timezone: str = "UTC"
    freezes: tuple[Freeze, ...] = ()
    calendar: str = ""
    holidays: str = ""
    when_closed: WhenClosed = WhenClosed.HOLD
    timeout: timedelta = timedelta(seconds=10)


def closed(window: Window, now: datetime, periods: Iterable[Period] = ()) -> str:
    """Say why the window is closed at this moment; "" when it is open. `periods` are its calendar's."""
    local = now.astimezone(ZoneInfo(window.timezone))
    for freeze in window.freezes:
        if freeze.first <= local.date() <= freeze.last:
            return f"frozen until {freeze.last}" + (f": {freeze.why}" if freeze.why else "")
    for period in periods:
        if period.start <= now < period.end:
            return f"closed until {period.end.astimezone(local.tzinfo):%Y-%m-%d %H:%M}: {period.what or 'a freeze'}"
    minute = local.hour * 60 + local.minute
    if any(local.weekday() in one.weekdays and one.start <= minute < one.end for one in window.openings):
        return ""
    return f"it is {local:%a %H:%M} in {window.timezone}, outside the deployment window"
