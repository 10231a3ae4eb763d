"""What does a table say of both sides? One row for each interval, with what happened in it.

Columns: `time` (seconds, or a moment in ISO 8601), `canary_requests`, `canary_failed`, `stable_requests` and
`stable_failed`; `weight` (`5%`) and, for latency, `canary_le_250` and `stable_le_250`: so many answers took at most 250
milliseconds. An empty cell is a side that was not seen.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf, isfinite

from interlock.core.recording import Recording, RecordingError, Sampled, of_samples
from interlock.core.sample import Sample, Side
from interlock.core.watching import compared
from interlock.core.weight import NONE, Weight

HEADER = ("time", "canary_requests", "canary_failed", "stable_requests", "stable_failed")
_EDGE = re.compile(r"(canary|stable)_le_([0-9.]+|inf)")


def read(name: str, text: str) -> Recording:
    """Read a table; raise RecordingError with the number of the line that cannot be understood."""
    rows = csv.reader(text.splitlines())
    header = [cell.strip() for cell in next(rows, [])]
    edges = _edges(name, header)
    samples: list[Sampled] = []
    before: tuple[float, datetime] | None = None
    for cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        row = _Row(f"{name}, line {rows.line_num}", dict(zip(header, map(str.strip, cells), strict=False)))
        if len(cells) != len(header):
            raise RecordingError(f"{row.where}: expected {len(header)} cells as in the first line, found {len(cells)}")
        now = row.moment("time")
        if before is not None:
            samples.append(_sample(row, before, now, edges))
        before = now
    if not samples:
        raise RecordingError(f"{name}: expected a first line with the columns and at least two rows, found fewer")
    return of_samples(name, samples)


class _Row:
    """One row, with the words to say where it is."""

    def __init__(self, where: str, cells: Mapping[str, str]) -> None:
        self.where, self.cells = where, cells

    def number(self, column: str) -> float | None:
        """Return a count; None for an empty cell."""
        text = self.cells.get(column, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if value < 0 or not isfinite(value):
            raise RecordingError(f'{self.where}: expected a count of 0 or more in {column}, found "{text}"')
        return value

    def moment(self, column: str) -> tuple[float, datetime]:
        """Return a moment as seconds, and as a date."""
        text = self.cells[column]
        try:
            seconds = float(text)
            return seconds, datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError):
            pass
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            expected = f"expected {column} in seconds or ISO 8601, such as 15.0 or 2026-03-01T12:00:15Z"
            raise RecordingError(f'{self.where}: {expected}, found "{text}"') from None
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return at.timestamp(), at

    def weight(self) -> Weight:
        """Return the weight, none when the table has none."""
        text = self.cells.get("weight", "")
        try:
            return Weight.parse(text) if text else NONE
        except ValueError as problem:
            raise RecordingError(f"{self.where}: column weight: {problem}") from problem


def _edges(name: str, header: Sequence[str]) -> dict[str, list[tuple[float, str]]]:
    """Return, by side, the columns of its latency with their edges in milliseconds, in order."""
    missing = [column for column in HEADER[:3] if column not in header]
    strange = [c for c in header if c not in (*HEADER, "weight") and not _EDGE.fullmatch(c)]
    if missing or strange or len(set(header)) != len(header):
        twice = f"{missing[0]} is missing" if missing else "a column is there twice"
        found = f'found "{strange[0]}"' if strange else twice
        known = f"{', '.join(HEADER)}, weight, canary_le_250, stable_le_250, …"
        raise RecordingError(f"{name}, line 1: expected the columns {known}; {found}")
    edges: dict[str, list[tuple[float, str]]] = {"canary": [], "stable": []}
    for column in header:
        if match := _EDGE.fullmatch(column):
            edges[match[1]].append((float(match[2]), column))
    return {side: sorted(columns) for side, columns in edges.items()}


def _sample(
    row: _Row, before: tuple[float, datetime], now: tuple[float, datetime], edges: Mapping[str, list[tuple[float, str]]]
) -> Sampled:
    covers = now[0] - before[0]
    if covers <= 0:
        raise RecordingError(f"{row.where}: expected a time after {before[0]:g} s, found {now[0]:g} s")
    canary, stable = (_side(row, side, edges[side]) for side in ("canary", "stable"))
    weight = row.weight()
    concurrent = "stable_requests" in row.cells and (weight == NONE or compared(weight))
    return Sampled(now[1], 0, weight, concurrent, Sample(now[0], timedelta(seconds=covers), canary, stable))


def _side(row: _Row, side: str, edges: Sequence[tuple[float, str]]) -> Side | None:
    requests = row.number(f"{side}_requests")
    if requests is None:
        return None
    failed = row.number(f"{side}_failed") or 0.0
    if failed > requests:
        raise RecordingError(f"{row.where}: expected at most {requests:g} in {side}_failed, found {failed:g}")
    return Side(requests, requests, failed, _latency(row, requests, edges))


def _latency(row: _Row, requests: float, edges: Sequence[tuple[float, str]]) -> dict[float, float]:
    """Turn counts of answers up to each edge into counts between edges; what is beyond the last has no upper edge."""
    latency: dict[float, float] = {}
    below = 0.0
    for edge, column in edges:
        upto = row.number(column)
        if upto is None:
            return {}
        if upto < below:
            raise RecordingError(f"{row.where}: expected at least {below:g} in {column}, as up to a lower edge")
        latency[edge], below = upto - below, upto
    if edges and inf not in latency:
        latency[inf] = max(0.0, requests - below)
    return latency
