"""How did error rate and latency of both sides go, as a line of text?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from interlock.app.words import milliseconds, percent

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
LABEL = 18
"""Columns before the line."""

Point = Mapping[str, Any]
Value = float | None


def trend(points: Sequence[Point], columns: int, sides: Sequence[str]) -> list[str]:
    """Draw error rate and p99 of each side (`canary`, `stable`), the newest at the right, with scale and units.

    Two sides of one measure share one scale. Where there are more samples than columns several make one: their
    requests together, the slowest p99.
    """
    if not points or columns < 4:
        return []
    each = -(-len(points) // columns)
    # From the newest backwards, so that the last column is whole.
    groups = [points[max(0, end - each) : end] for end in range(len(points), 0, -each)][::-1]
    seconds = sum(point["seconds"] for point in points) / len(groups)
    if not any(point[side][0] for point in points for side in sides):
        return []
    lines = _measure("error rate", groups, sides, _error_rate, percent, least=0.01)
    lines += _measure("p99", groups, sides, _p99, milliseconds, least=1.0)
    return [*lines, f"{'':{LABEL}}a column is {seconds:.0f} s, the newest at the right"]


def _measure(
    name: str,
    groups: Sequence[Sequence[Point]],
    sides: Sequence[str],
    value: Callable[[Sequence[Point], str], Value],
    spelt: Callable[[float], str],
    least: float,
) -> list[str]:
    rows = {side: [value(group, side) for group in groups] for side in sides}
    top = max([least, *(v for row in rows.values() for v in row if v is not None and isfinite(v))])
    lines: list[str] = []
    for side, row in rows.items():
        now = next((spelt(v) for v in reversed(row) if v is not None), "none")
        label = f"{name if not lines else '':<10} {side:<6} "
        scale = "" if lines else f"  (scale 0 to {spelt(top)})"
        lines.append(f"{label}{''.join(_level(v, top) for v in row)} {now}{scale}")
    return lines


def _level(value: Value, top: float) -> str:
    return NOTHING if value is None else LEVELS[int(min(len(LEVELS) - 1, value / top * len(LEVELS)))]


def _error_rate(group: Sequence[Point], side: str) -> Value:
    requests = sum(point[side][0] for point in group)
    return sum(point[side][0] * (point[side][1] or 0.0) for point in group) / requests if requests else None


def _p99(group: Sequence[Point], side: str) -> Value:
    return max((point[side][2] for point in group if point[side][2] is not None), default=None)
