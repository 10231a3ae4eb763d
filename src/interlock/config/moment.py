"""How do days, hours and time zones in the file become values?"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, PlainValidator, WithJsonSchema

from interlock.config.quantity import found, guess
from interlock.core.window import Opening

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_GROUPS = {"daily": "mon-sun", "weekdays": "mon-fri", "weekend": "sat-sun"}
_HOURS = re.compile(r"(?P<days>[a-z,\-]+)(?:\s+(?P<start>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2}))?")
_EXPECTED = 'expected weekdays and hours such as "mon-fri 09:00-17:00" or "sat,sun 10:00-12:00"'


def hours(value: object) -> Opening:
    """Read ``mon-fri 09:00-17:00``; without hours the whole days."""
    text = value.strip().lower() if isinstance(value, str) else ""
    match = _HOURS.fullmatch(text)
    if match is None:
        raise ValueError(f"{_EXPECTED}, found {found(value)}")
    start, end = _minute(match["start"] or "0:00"), _minute(match["end"] or "24:00")
    if end <= start:
        raise ValueError(f"expected an end after the start, found {found(value)}; write hours over midnight as two")
    return Opening(_weekdays(match["days"]), start, end)


def _weekdays(text: str) -> tuple[int, ...]:
    days: set[int] = set()
    for part in _GROUPS.get(text, text).split(","):
        first, _, last = part.partition("-")
        a, b = _day(first), _day(last or first)
        days |= {(a + step) % 7 for step in range((b - a) % 7 + 1)}
    return tuple(sorted(days))


def _day(text: str) -> int:
    if text[:3] not in _DAYS:
        raise ValueError(f'{_EXPECTED}, found the day "{text}"{guess(text, _DAYS)}')
    return _DAYS.index(text[:3])


def _minute(text: str) -> int:
    hour, minute = map(int, text.split(":"))
    if minute > 59 or hour * 60 + minute > 24 * 60:
        raise ValueError(f'{_EXPECTED}, found the hour "{text}"')
    return hour * 60 + minute


def zone(value: str) -> str:
    """Accept a time zone of the IANA database."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as problem:
        near = guess(value, available_timezones())
        raise ValueError(f'expected a time zone such as "Europe/Berlin", found {found(value)}{near}') from problem
    return value


def day(value: object) -> date:
    """Read ``2026-12-24``."""
    if isinstance(value, datetime) or not isinstance(value, (date, str)):
        raise ValueError(f"expected a day such as 2026-12-24, found {found(value)}")
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError as problem:
        raise ValueError(f"expected a day such as 2026-12-24, found {found(value)}") from problem


def moment(value: object) -> datetime:
    """Read ``2026-01-05T09:00+01:00``; without an offset nobody knows when that is."""
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as problem:
        raise ValueError(f"expected a moment such as 2026-01-05T09:00+01:00, found {found(value)}") from problem
    if at.tzinfo is None:
        raise ValueError(f"expected a moment with its offset from UTC, such as {at:%Y-%m-%dT%H:%M}+01:00, found none")
    return at


Hours = Annotated[
    Opening, PlainValidator(hours), WithJsonSchema({"type": "string", "examples": ["mon-fri 09:00-17:00"]})
]
Zone = Annotated[str, AfterValidator(zone)]
Day = Annotated[date, PlainValidator(day), WithJsonSchema({"type": "string", "format": "date"})]
Moment = Annotated[datetime, PlainValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"})]
