"""How did the evidence grow towards either decision, drawn in plain text?

Two panels of columns on a logarithmic scale, each up to its decision: the odds against the release, up to where it is
taken back, and the odds that it is safe, up to where a step's evidence suffices. Under them the weights in force.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from math import floor, log

from interlock.core.curves import Curve, Curves
from interlock.core.judge.words import odds
from interlock.core.steps import spell

COLUMNS, ROWS = 60, 4
LEVELS = " ▁▂▃▄▅▆▇█"
LABELS = 10
NONE = "·"
LATE = 2.5
"""So many usual intervals after a sample the next one is missing."""

Cells = list[float | None]


def evidence_plot(curves: Curves) -> list[str]:
    """Return the lines of the plot; none when nothing was judged."""
    if not curves.against or curves.seconds <= 0:
        return []
    against = _cells(curves.against, curves.seconds, max)
    proof = _cells(curves.in_favour, curves.seconds, min)
    lines = _panel("odds against the release", "taken back", against, curves.rolls_back)
    lines += ["", *_panel("odds that it is safe", "proven", proof, curves.proves)]
    each = spell(timedelta(seconds=round(curves.seconds / COLUMNS, 1)))
    return [*lines, *_axis(curves), f"a column is {each}, the scale of odds is logarithmic, {NONE} is not judged"]


def _panel(what: str, then: str, cells: Cells, limit: float) -> list[str]:
    """Draw odds from 1 to the limit as columns that grow upwards; the last ones are also said in figures."""
    last = next((cell for cell in reversed(cells) if cell is not None), None)
    now = "" if last is None else f"; at the end {odds(last)}"
    lines = [f"{what}, {then} at {odds(limit)}{now}"]
    for row in range(ROWS, 0, -1):
        label = {ROWS: odds(limit), 1: "1 to 1"}.get(row, "")
        lines.append(f"{label:>{LABELS}} ┤{''.join(_cell(cell, limit, row) for cell in cells)}".rstrip())
    return lines


def _cell(value: float | None, limit: float, row: int) -> str:
    """Draw one row's part of a column: an eighth of a row for each step of the scale."""
    if value is None:
        return NONE if row == 1 else " "
    share = 0.0 if value <= 1 else min(1.0, log(value) / log(limit))
    eighths = max(1, round(share * ROWS * 8))
    if share < 1:
        eighths = min(eighths, ROWS * 8 - 1)  # a full column is a decision, and nothing else
    return LEVELS[max(0, min(8, eighths - 8 * (row - 1)))]


def _axis(curves: Curves) -> list[str]:
    """Draw time, and under it what weight was in force from where on."""
    moved = [(min(COLUMNS - 1, floor(at / curves.seconds * COLUMNS)), weight) for at, weight in _moves(curves)]
    ruler = ["┬" if any(place == column for place, _ in moved) else "─" for column in range(COLUMNS)]
    middle, end = spell(timedelta(seconds=round(curves.seconds / 2))), spell(timedelta(seconds=round(curves.seconds)))
    times = _placed([(0, "0 s"), ((COLUMNS - len(middle)) // 2, middle), (COLUMNS - len(end), end)], COLUMNS)
    weights = _placed([(place, f"{100 * weight:g} %") for place, weight in moved], COLUMNS + LABELS)
    head = f"{'':>{LABELS}} "
    return [f"{head}└{''.join(ruler)}", f"{'time':>{LABELS}}  {times}", f"{'weight':>{LABELS}}  {weights}"]


def _moves(curves: Curves) -> list[tuple[float, float]]:
    """Return when which weight came into force: each once, and 0 % when it was taken back."""
    moves: list[tuple[float, float]] = []
    for at, weight in curves.observed or curves.wanted:
        if weight is not None and (not moves or moves[-1][1] != weight):
            moves.append((at, weight))
    return moves


def _placed(texts: Sequence[tuple[int, str]], columns: int) -> str:
    """Write texts at their columns, without those for which an earlier one leaves no room."""
    line = ""
    for place, text in texts:
        place = max(0, min(place, columns - len(text)))
        if not line or place > len(line):
            line = f"{line:<{place}}{text}"
    return line


def _cells(curve: Curve, seconds: float, most: Callable[..., float]) -> Cells:
    """Return a value a column: of several the one furthest from good; a value holds until the next one is due."""
    known = [(at, value) for at, value in curve if value is not None]
    gaps = sorted(after - at for (at, _), (after, _) in pairwise(known))
    holds = LATE * gaps[len(gaps) // 2] if gaps else 0.0
    cells: Cells = []
    for column in range(COLUMNS):
        begins, ends = column * seconds / COLUMNS, (column + 1) * seconds / COLUMNS
        inside = [value for at, value in known if begins <= at < ends or (column == COLUMNS - 1 and at == ends)]
        before = [value for at, value in known if at < begins <= at + holds]
        cells.append(most(inside) if inside else before[-1] if before else None)
    return cells
