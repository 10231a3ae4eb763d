"""How do lists look: rollouts, and the releases in quarantine?

A row has a second line for its reason, so that it fits in 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.text import Text

from interlock.app.words import ICONS, STYLES, brief
from interlock.core.rollout import Rollout
from interlock.ports.store import Quarantined


def history(rollouts: Sequence[Rollout], now: datetime) -> Iterator[Text]:
    """Yield a line for each rollout, the newest first, and one for its reason."""
    rows = [(one.run, one.stage.environment, _short(one.stage.revision.release.version)) for one in rollouts]
    widths = _widths([("RUN", "ENVIRONMENT", "VERSION"), *rows])
    yield _row(widths, ("RUN", "ENVIRONMENT", "VERSION"), f"{'PHASE':<15}{'STARTED (UTC)':<18}{'TOOK':<13}BY", "bold")
    for one, row in zip(rollouts, rows, strict=True):
        took = brief((one.since if one.over else now) - one.started)
        rest = f"{f'{ICONS[one.phase]} {one.phase.value}':<15}{one.started:%Y-%m-%d %H:%M}  {took:<13}{one.by}"
        yield _row(widths, row, rest, STYLES[one.phase])
        if about := _about(one):
            yield _reason(about)


def _about(one: Rollout) -> str:
    """Say why a rollout is where it is, and what became of the flags that moved by themselves."""
    flags = [f"flag {held.flag} {held.now}" for held in one.flags] if one.stage.flag_alone else []
    back = [f"flag rolled back: {one.retracted}"] if one.retracted else []
    return "; ".join((*flags, *back, *([one.reason] if one.reason else [])))


def quarantine(releases: Sequence[Quarantined]) -> Iterator[Text]:
    """Yield a line for each release, and one for its reason."""
    rows = [(one.identity, _short(one.version), one.rollout) for one in releases]
    heads = ("IDENTITY", "VERSION", "ROLLOUT")
    widths = _widths([heads, *rows])
    yield _row(widths, heads, "SINCE (UTC)", "bold")
    for one, row in zip(releases, rows, strict=True):
        yield _row(widths, row, f"{one.at:%Y-%m-%d %H:%M:%S}", "")
        yield _reason(one.reason)


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(len(cell) for cell in column) + 2 for column in zip(*rows, strict=True)]


def _row(widths: Sequence[int], cells: Sequence[str], rest: str, style: str) -> Text:
    first = "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return Text(first + rest, style, no_wrap=True, overflow="ellipsis")


def _reason(text: str) -> Text:
    return Text(f"  {text}", "dim", no_wrap=True, overflow="ellipsis")


def _short(version: str) -> str:
    return version if len(version) <= 14 else f"{version[:13]}…"
