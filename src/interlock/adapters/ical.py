"""Which events of an iCalendar feed (RFC 5545) touch a span of time? Worked out in a process of its own: see `child`.

The library reads what it can and leaves the rest out. Here what is left out could be the freeze, so whatever concerns
the time of an event and cannot be read is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from interlock.adapters.child import Unusable, main

MOST = 1000
"""So many events in the span at most: more are no freezes and no rota, but a mistake."""

_DAY = timedelta(days=1)
_TIMES = frozenset({"DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID", "STATUS"})


def work(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return {start, end, what, people} of each event between `since` and `until`, in order, cancelled ones left out.

    Days, and hours without a zone, are those of the `zone`.
    """
    import icalendar
    import recurring_ical_events

    zone, text = ZoneInfo(task["zone"]), _whole(task["text"])
    since, until = datetime.fromisoformat(task["since"]), datetime.fromisoformat(task["until"])
    found = []
    for calendar in icalendar.Calendar.from_ical(text, multiple=True):
        for event in calendar.walk("VEVENT"):
            _check(event)
        between = recurring_ical_events.of(calendar).between(since - _DAY, until + _DAY)
        found += [_told(event, zone) for event in between if str(event.get("STATUS", "")).upper() != "CANCELLED"]
    here = [one for one in found if one["start"] < until and one["end"] > since]
    if len(here) > MOST:
        raise Unusable(f"has {len(here)} events from {since:%Y-%m-%d} to {until:%Y-%m-%d}, more than {MOST}")
    return [
        {**one, "start": one["start"].isoformat(), "end": one["end"].isoformat()}
        for one in sorted(here, key=lambda each: (each["start"], each["what"]))
    ]


def _whole(text: str) -> str:
    """Return the text if it is a whole calendar: a part of one, as of a download that broke, lacks events unseen."""
    lines = text.lstrip("\ufeff").strip()
    if not lines.upper().startswith("BEGIN:VCALENDAR"):
        raise Unusable(f'is no iCalendar feed: it begins with "{" ".join(lines[:40].split())}"')
    if not lines.upper().endswith("END:VCALENDAR"):
        raise Unusable("is cut off: it does not end with END:VCALENDAR")
    return lines


def _check(event: Any) -> None:
    for name, why in event.errors:
        if not name or name in _TIMES:
            raise Unusable(f"{_named(event)}: {name or 'a line'} cannot be read: {why}")
    for name in _TIMES:
        given = event.get(name)
        if type(given).__name__ == "vBrokenProperty":
            raise Unusable(f"{_named(event)}: {name} cannot be read")
        moment, tzid = getattr(given, "dt", None), getattr(given, "params", {}).get("TZID")
        if tzid and isinstance(moment, datetime) and moment.tzinfo is None:
            raise Unusable(f"{_named(event)}: the time zone {tzid} of {name} is not known")
    if "DTSTART" not in event:
        raise Unusable(f"{_named(event)}: it has no DTSTART")
    end = event.get("DTEND")
    if end is not None and _comparable(end.dt) < _comparable(event["DTSTART"].dt):
        raise Unusable(f"{_named(event)}: it ends before it begins")


def _comparable(moment: date) -> datetime:
    return _aware(moment, ZoneInfo("UTC"))


def _named(event: Any) -> str:
    return f"the event {str(event.get('SUMMARY') or event.get('UID') or 'without a name')!r}"


def _told(event: Any, zone: ZoneInfo) -> dict[str, Any]:
    start, end = event["DTSTART"].dt, event["DTEND"].dt
    people = event.get("ATTENDEE", [])
    return {
        "start": _aware(start, zone),
        "end": _aware(end, zone),
        "what": " ".join(str(event.get("SUMMARY", "")).split()),
        "people": [str(one) for one in (people if isinstance(people, list) else [people])],
    }


def _aware(moment: date, zone: ZoneInfo) -> datetime:
    """Return a moment in UTC; a day begins at its midnight in the zone."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(ZoneInfo("UTC"))


if __name__ == "__main__":
    sys.exit(main(work))
