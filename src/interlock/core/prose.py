"""How do numbers, moments and other people's words stand in a report?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from interlock.core.judge.words import count, percent
from interlock.core.sample import Side
from interlock.core.steps import spell

UNKNOWN = "not measured"
LONGEST = 900_000
"""Bytes of a report: what can be pasted where people read it (a GitHub comment's file, a wiki page)."""

_LONGEST_TEXT = 2_000


def moment(at: datetime) -> str:
    """Write a moment to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def instant(at: datetime) -> str:
    """Write a moment to the hundredth of a second, in UTC: what follows within a second keeps its order."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 10_000:02} UTC"


def lasting(duration: timedelta) -> str:
    """Write a duration: hundredths below a second, tenths below a minute."""
    seconds = duration.total_seconds()
    return spell(timedelta(seconds=round(seconds, 2 if abs(seconds) < 1 else 1 if abs(seconds) < 60 else 0)))


def errors(side: Side | None) -> str:
    """Write how many requests of a side failed."""
    if side is None or side.completed <= 0:
        return UNKNOWN
    return f"{percent(side.error_rate)} ({count(side.failed)} of {count(side.completed)} requests)"


def rate(side: Side | None) -> str:
    """Write a side's error rate."""
    return UNKNOWN if side is None or side.error_rate is None else percent(side.error_rate)


def success(side: Side | None) -> str:
    """Write the share of good requests, never rounded up to all of them."""
    if side is None or side.completed <= 0:
        return UNKNOWN
    good = max(0.0, side.completed - side.failed)
    share = 100 * good / side.completed
    digits = 3
    while side.failed and round(share, digits) >= 100:
        digits += 1
    return f"{round(share, digits):.12g} % ({count(good)} of {count(side.completed)} requests)"


def p99(side: Side | None) -> str:
    """Write a side's p99 latency; it is the upper edge of the histogram's bucket that it lies in."""
    edge = None if side is None else side.quantile(0.99)
    if edge is None:
        return UNKNOWN
    return "above the largest bucket of the histogram" if math.isinf(edge) else f"{edge:.4g} ms"


def words(text: str) -> str:
    """Make what somebody wrote one line that cannot be taken for the report's own structure."""
    line = " ".join(text.split())
    if len(line) > _LONGEST_TEXT:
        line = f"{line[:_LONGEST_TEXT]} … ({len(line) - _LONGEST_TEXT:,} more characters)"
    return re.sub(r"<(?=[A-Za-z!/?])", "&lt;", line).replace("`", "'")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lay out a table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(words(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]


def section(title: str, lines: Iterable[str]) -> list[str]:
    """Lay out a section."""
    return ["", f"### {title}", *lines]


def bounded(lines: Iterable[str], where: str) -> str:
    """Join a report's lines; when it grows beyond what can be shown, end it early and say `where` the rest is."""
    text = "\n".join(lines) + "\n"
    if len(text.encode()) <= LONGEST:
        return text
    note = f"\n\n**Cut off here at {LONGEST // 1000} KB; the rest: {where}**\n"
    kept = text.encode()[: LONGEST - len(note.encode())].decode(errors="ignore")
    return kept[: kept.rindex("\n")] + note
