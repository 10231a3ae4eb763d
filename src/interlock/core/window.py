"""May anything be released at this hour, until when, and if not, from when on?

Hours are those of the clock on the wall: where it is put forward, the hour that is left out is never open; where it is
put back, the hour that comes twice is open twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from interlock.core.steps import spell

if TYPE_CHECKING:  # imported late: a window is read with every plan, and seldom asked
    from zoneinfo import ZoneInfo

AHEAD = timedelta(days=60)
"""So far is looked ahead, and so far ahead a calendar must be known."""

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_OUTSIDE = "outside the deployment window"


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
class Entries:
    """What a window's calendar and its holidays have; `note` says so when they are a copy that may be old."""

    periods: tuple[Period, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Open within any of the openings, in `timezone` (IANA), but for freezes, calendar entries and holidays.

    `calendar` is the URL or the path of an iCalendar feed whose events are freezes, `calendar_secret` names the secret
    that holds its URL instead; `holidays` is a country and perhaps a part of it, such as "DE" or "DE-BY".
    """

    openings: tuple[Opening, ...]
    timezone: str = "UTC"
    freezes: tuple[Freeze, ...] = ()
    calendar: str = ""
    holidays: str = ""
    when_closed: WhenClosed = WhenClosed.HOLD
    timeout: timedelta = timedelta(seconds=10)
    calendar_secret: str = ""

    @property
    def looked_up(self) -> bool:
        """Whether somebody has to be asked: a calendar, or who knows holidays."""
        return bool(self.calendar or self.calendar_secret or self.holidays)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a window when planning: its `entries`, or why they are `unknown`.

    `at` is the present moment, `after` how long it takes at least until the stage begins that the window is about.
    """

    at: datetime
    entries: Entries = Entries()
    unknown: str = ""
    after: timedelta = timedelta(0)


def closed(window: Window, now: datetime, periods: Iterable[Period] = ()) -> str:
    """Say why the window is closed at this moment, and when it opens; "" when it is open.

    `periods` are its calendar's.
    """
    known = tuple(periods)
    why = _shut(window, now, known)
    if not why:
        return ""
    local = f"it is {now.astimezone(_zone(window)):%a %H:%M} in {window.timezone}, "
    return f"{local if why == _OUTSIDE else ''}{why}; {_from(window, opens(window, now, known), now)}"


def opens(window: Window, now: datetime, periods: Iterable[Period] = ()) -> datetime | None:
    """Return the first moment from now on at which the window is open; None when that is not in sight."""
    known = tuple(periods)
    return next((at for at in _edges(window, now, known) if not _shut(window, at, known)), None)


def closes(window: Window, now: datetime, periods: Iterable[Period] = ()) -> datetime | None:
    """Return the first moment from now on at which the window is closed; None when that is not in sight."""
    known = tuple(periods)
    return next((at for at in _edges(window, now, known) if _shut(window, at, known)), None)


def _from(window: Window, then: datetime | None, now: datetime) -> str:
    return f"opens {clock(window, then, now)}" if then else f"does not open within {AHEAD.days} days"


def lasting(window: Window, now: datetime, periods: Iterable[Period] = ()) -> str:
    """Say of a window that is open until when it is."""
    ends = closes(window, now, periods)
    return f"open until {clock(window, ends, now)}" if ends else f"open, and does not close within {AHEAD.days} days"


def clock(window: Window, at: datetime, now: datetime) -> str:
    """Write a moment by the window's clock: ``Mon 09:00 Europe/Berlin``, with its date when that is not clear."""
    zone = _zone(window)
    local = at.astimezone(zone)
    day = "%a" if (local.date() - now.astimezone(zone).date()) < timedelta(days=7) else "%a %Y-%m-%d"
    return f"{local:{day} %H:%M} {window.timezone}" + (f" (UTC{local:%z})" if _comes_twice(local) else "")


def notes(window: Window, seen: Seen, shortest: timedelta, longest: timedelta) -> tuple[str, ...]:
    """Say for a plan when the window closes, whether what takes so long fits into it, and what follows if not."""
    if seen.unknown:
        return (f"WARNING: whether the window is open is not known, so it counts as closed: {seen.unknown}",)
    periods, begins = seen.entries.periods, seen.at + seen.after
    copy = f" ({seen.entries.note})" if seen.entries.note else ""
    why = _shut(window, begins, periods)
    if not why:
        return (f"{_fits(window, seen, begins, shortest, longest)}{copy}",)
    then = opens(window, begins, periods)
    why = f"{why}; {_from(window, then, seen.at)}"  # not what time it is: the same plan has the same hash
    moment = "now" if not seen.after else f"when this begins, {spell(seen.after)} from now at the earliest"
    shut = f"WARNING: the window is closed {moment}: {why}{copy}"
    return (shut,) if then is None else (shut, _fits(window, seen, then, shortest, longest))


def _fits(window: Window, seen: Seen, begins: datetime, shortest: timedelta, longest: timedelta) -> str:
    """Say whether a rollout that begins at this moment is done before the window closes."""
    ends = closes(window, begins, seen.entries.periods)
    if ends is None:
        return f"the window does not close within {AHEAD.days} days"
    until = f"the window closes {clock(window, ends, seen.at)}"
    if begins > seen.at + seen.after:
        until += f" again (open from {clock(window, begins, seen.at)})"
    if begins + longest <= ends:
        return f"{until}; this fits inside, also at worst"
    if window.when_closed is WhenClosed.FINISH:
        return f"{until}; what began by then is finished all the same"
    follows = {
        WhenClosed.HOLD: "it holds at the weight it has, and goes back when its patience is over",
        WhenClosed.ROLL_BACK: "it goes back",
    }[window.when_closed]
    if begins + shortest > ends:
        return f"WARNING: {until}, before this can be done ({spell(_whole(shortest))} at best): then {follows}"
    return f"{until}; this fits inside at best, not at worst ({spell(_whole(longest))}): then {follows}"


def _zone(window: Window) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo(window.timezone)


def _shut(window: Window, now: datetime, periods: Iterable[Period]) -> str:
    """Say why the window is closed at this moment; "" when it is open."""
    zone, now = _zone(window), now.astimezone(UTC)  # moments of one zone are compared by their wall clock
    local = now.astimezone(zone)
    for freeze in window.freezes:
        if freeze.first <= local.date() <= freeze.last:
            return f"frozen until {freeze.last}" + (f": {freeze.why}" if freeze.why else "")
    for period in periods:
        if period.start <= now < period.end:
            return f"closed until {period.end.astimezone(zone):%Y-%m-%d %H:%M}: {period.what or 'a freeze'}"
    minute = local.hour * 60 + local.minute
    if any(local.weekday() in one.weekdays and one.start <= minute < one.end for one in window.openings):
        return ""
    return _OUTSIDE


def _edges(window: Window, now: datetime, periods: tuple[Period, ...]) -> Iterator[datetime]:
    """Yield now, and every later moment in sight at which the answer may change, in order."""
    zone, now = _zone(window), now.astimezone(UTC)
    minutes = {0, *(one.start for one in window.openings), *(one.end for one in window.openings)}
    ends = [edge.astimezone(UTC) for period in periods for edge in (period.start, period.end)]
    last, day = now, now.astimezone(zone).date() - _DAY
    yield last
    while last < now + AHEAD:
        until = _midnight(day + _DAY, zone)
        near = (day - _DAY, day, day + _DAY)  # where midnight comes twice, or never, a day's hours lie in another's
        found = {_at(one, minute, zone, fold) for one in near for minute in minutes for fold in (0, 1)}
        found |= {edge for edge in ends if last < edge <= until} | {until, *_change(until - 2 * _DAY, until, zone)}
        yield from sorted(edge for edge in found if last < edge <= until)
        last, day = max(last, until), day + _DAY


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return _at(day, 0, zone, 1)


def _at(day: date, minute: int, zone: ZoneInfo, fold: int) -> datetime:
    """Return when it is this minute of the day; the second time where it comes twice and `fold` is 1."""
    naive = datetime.combine(day, time()) + timedelta(minutes=minute)
    return naive.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _change(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the moment between two at which the clock is put forward or back, if it is."""
    before = start.astimezone(zone).utcoffset()
    if before == end.astimezone(zone).utcoffset():
        return
    while end - start > _SECOND:
        middle = start + (end - start) / 2
        start, end = (middle, end) if middle.astimezone(zone).utcoffset() == before else (start, middle)
    yield end.replace(microsecond=0)


def _comes_twice(local: datetime) -> bool:
    other = local.replace(fold=1 - local.fold)
    return other.utcoffset() != local.utcoffset() and other.astimezone(UTC).astimezone(local.tzinfo) == other


def _whole(duration: timedelta) -> timedelta:
    return timedelta(seconds=round(duration.total_seconds()))
