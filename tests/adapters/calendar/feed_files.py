"""Write iCalendar feeds."""

from __future__ import annotations


def feed(*events: str, more: str = "") -> str:
    """Return a calendar of these events; lines are parted by ``|``."""
    found = "".join(
        f"BEGIN:VEVENT\r\nUID:{number}@example.org\r\nDTSTAMP:20260101T000000Z\r\n{_lines(event)}END:VEVENT\r\n"
        for number, event in enumerate(events)
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//tests//EN\r\n{_lines(more)}{found}END:VCALENDAR\r\n"


def _lines(text: str) -> str:
    return "".join(f"{line}\r\n" for line in text.split("|") if line)


SALE = "SUMMARY:the sale|DTSTART:20261124T100000Z|DTEND:20261124T120000Z"
