"""How is a table written, for a terminal and for a page?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf, isnan

WIDTH = 100
"""Characters of a terminal."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells under columns; the first column is flush left, as are those in `left`."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[int] = frozenset()

    def text(self) -> str:
        """For a terminal: columns two spaces apart, or one where that is too wide, and a rule below their names."""
        widths = [max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))]
        apart = "  " if sum(widths) + 2 * (len(widths) - 1) <= WIDTH else " "
        lines = [self.columns, ["-" * w for w in widths], *self.rows]
        return "".join(self._line(line, widths, apart) + "\n" for line in lines)

    def markdown(self) -> str:
        """For a page."""
        rule = ["---" if self._is_left(i) else "---:" for i in range(len(self.columns))]
        lines = [self.columns, rule, *self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _line(self, cells: Sequence[str], widths: Sequence[int], apart: str) -> str:
        placed = [
            cell.ljust(width) if self._is_left(i) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return apart.join(placed).rstrip()

    def _is_left(self, column: int) -> bool:
        return column == 0 or column in self.left


def number(value: float | None, digits: int = 0) -> str:
    """So many digits behind the point; a dash where there is no number."""
    if value is None or isinf(value) or isnan(value):
        return "-"
    return f"{value:,.{digits}f}"


def few(value: float | None) -> str:
    """A number of about two digits that matter."""
    return number(value, 0 if value is not None and value >= 99.5 else 1)


def percent(share: float) -> str:
    """A share from 0 to 1 in per cent, with a digit behind the point only where it matters."""
    value = 100 * share
    return f"{value:.0f}" if value == 0 or value >= 10 else f"{value:.1f}"
