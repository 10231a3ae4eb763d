"""How does a deployment stand in the log, and is it there already?

The newest row comes first. Each row ends with a comment that no two deployments share: it is entered once, and what
people write around the table, or to a row, stays.
"""

from __future__ import annotations

from datetime import UTC

from interlock.ports.docs import Row

HEAD = "| date (UTC) | version | environment | who | strategy | verdict | report |"
LINE = "|---|---|---|---|---|---|---|"
_ABOVE = """# Deployments of {service}

What runs, since when, and who released it. Interlock enters each deployment that succeeded; the newest is first.

"""


def line(row: Row) -> str:
    """Return the row of a deployment."""
    at = f"{row.at.astimezone(UTC):%Y-%m-%d %H:%M}"
    cells = (at, row.version, row.environment, row.by, row.strategy, row.verdict, row.report)
    return f"| {' | '.join(_cell(cell) for cell in cells)} {mark(row.key)} |"


def mark(key: str) -> str:
    """Return what marks a row as this deployment's."""
    return f"<!-- {key} -->"


def entered(text: str, row: Row) -> str:
    """Return the log with the row in it; unchanged when it is there already."""
    if mark(row.key) in text:
        return text
    if not text:
        text = _ABOVE.format(service=row.service)
    lines = text.splitlines(keepends=True)
    place = _place([one.rstrip() for one in lines])
    if place is None:
        gap = "" if not text.strip() or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}{HEAD}\n{LINE}\n{line(row)}\n"
    end = "" if lines[place - 1].endswith("\n") else "\n"
    return "".join((*lines[:place], f"{end}{line(row)}\n", *lines[place:]))


def without(text: str, row: Row) -> str:
    """Return the log as it was before the row came; empty when the log began with it."""
    kept = "".join(one for one in text.splitlines(keepends=True) if mark(row.key) not in one)
    return "" if kept == f"{_ABOVE.format(service=row.service)}{HEAD}\n{LINE}\n" else kept


def _place(lines: list[str]) -> int | None:
    """Return where the newest row belongs: below the head of our table."""
    for number, one in enumerate(lines[:-1]):
        if one == HEAD and lines[number + 1] == LINE:
            return number + 2
    return None


def _cell(text: str) -> str:
    """Make what somebody wrote one cell that cannot be taken for the table's own structure."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
