"""How is a curve drawn, so that it can be read in any light, on paper, and without seeing it?

Inline SVG without scripts: title and description for those who listen, dashes beside colours for those who do not see
them, colours by the page's style.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from interlock.core.curves import Curve

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 76, 16, 44, 44
_MOST_MARKS = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: what it is called, which colour of the page's style it has, and how it is drawn."""

    name: str
    style: str
    curve: Curve
    stepped: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A horizontal line at which something happens."""

    name: str
    value: float
    style: str = "limit"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart over time. `unit` stands at the vertical axis; `logarithmic` for odds. Values are in that unit.

    The scale begins at zero and reaches to `at_least`, or just to `ends_at`.
    """

    name: str
    title: str
    description: str
    unit: str
    lines: tuple[Line, ...]
    limits: tuple[Limit, ...] = ()
    seconds: float = 0.0
    at_least: float = 1.0
    ends_at: float | None = None
    logarithmic: bool = False
    marks: tuple[tuple[float, str], ...] = ()


def svg(chart: Chart) -> str:
    """Return the chart as an SVG element."""
    low, high = _range(chart)
    per, unit = _time(chart.seconds)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{chart.name}-t {chart.name}-d">',
        f'<title id="{chart.name}-t">{escape(chart.title)}</title>',
        f'<desc id="{chart.name}-d">{escape(chart.description)}</desc>',
        *_vertical(chart, low, high),
        *_horizontal(chart, per, unit),
        *_marks(chart),
        *_limits(chart, low, high),
        *(_path(chart, line, low, high) for line in chart.lines),
        *_legend(chart),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def _range(chart: Chart) -> tuple[float, float]:
    values = [value for line in chart.lines for _, value in line.curve if value is not None]
    values += [limit.value for limit in chart.limits]
    if chart.logarithmic:
        top = 1.5 * max([10.0, *(v for v in values if v > 0)])  # room for what is written on the uppermost line
        bottom = min([0.1, *(v for v in values if v > 0)])
        return max(1e-4, 10 ** math.floor(math.log10(bottom))), min(1e7, 10 ** math.ceil(math.log10(top)))
    if chart.ends_at is not None:
        return 0.0, chart.ends_at
    return 0.0, _nice(max([chart.at_least, *values]) * 1.05, (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10))


def _nice(value: float, steps: tuple[float, ...] = (1, 2, 2.5, 5, 10)) -> float:
    """Return the next round number: a scale ends where somebody can read it, and a quarter of it can be read too."""
    size: float = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in steps if step * size >= value - 1e-9)


def _x(chart: Chart, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (min(seconds, chart.seconds) / chart.seconds if chart.seconds else 0.0)


def _y(chart: Chart, value: float, low: float, high: float) -> float:
    if chart.logarithmic:
        value, low, high = (math.log10(min(max(v, low), high)) for v in (value, low, high))
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (min(max(value, low), high) - low) / (high - low)


def _vertical(chart: Chart, low: float, high: float) -> Iterator[str]:
    for value in _ticks(chart, low, high):
        y = _y(chart, value, low, high)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield (
        f'<text class="axis" transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(chart.unit)}</text>"
    )


def _ticks(chart: Chart, low: float, high: float) -> list[float]:
    if not chart.logarithmic:
        return [low + (high - low) * part / 4 for part in range(5)]
    first, last = round(math.log10(low)), round(math.log10(high))
    every = max(1, math.ceil((last - first) / 6))
    return [10.0**power for power in range(first, last + 1, every)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _time(seconds: float) -> tuple[float, str]:
    """Return in what time is told: (seconds in it, its name)."""
    return (1.0, "s") if seconds < 180 else (60.0, "min") if seconds < 10_800 else (3600.0, "h")


def _horizontal(chart: Chart, per: float, unit: str) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    yield f'<path class="frame" d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}"/>'
    step = _nice(max(chart.seconds / per, 1e-3) / 8)
    for number in range(int(chart.seconds / per / step) + 1):
        x = _x(chart, number * step * per)
        yield f'<path class="frame" d="M{x:.1f} {bottom}v5"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{number * step:.4g}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    name = f"time since the first weight ({unit})"
    yield f'<text class="axis" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{name}</text>'


def _marks(chart: Chart) -> Iterator[str]:
    for seconds, text in chart.marks[:_MOST_MARKS]:
        x = _x(chart, seconds)
        yield f'<path class="mark" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield f'<text class="note" x="{x - 4:.1f}" y="{TOP + 12}" text-anchor="end">{escape(text)}</text>'


def _limits(chart: Chart, low: float, high: float) -> Iterator[str]:
    for limit in chart.limits:
        y = _y(chart, limit.value, low, high)
        yield f'<path class="line {limit.style} dotted" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield (
            f'<text class="note" x="{WIDTH - RIGHT - 4}" y="{y - 5:.1f}" text-anchor="end">{escape(limit.name)}</text>'
        )


def _path(chart: Chart, line: Line, low: float, high: float) -> str:
    """Return a curve; where there is no value there is no line."""
    commands, pen = [], False
    alone: list[tuple[float, float]] = []
    for number, (seconds, value) in enumerate(line.curve):
        if value is None:
            pen = False
            continue
        x, y = _x(chart, seconds), _y(chart, value, low, high)
        commands.append(f"{'L' if pen and not line.stepped else f'H{x:.1f}V' if pen else 'M'}"
                        + (f"{y:.1f}" if pen and line.stepped else f"{x:.1f} {y:.1f}"))  # fmt: skip
        if not pen and (number + 1 == len(line.curve) or line.curve[number + 1][1] is None):
            alone.append((x, y))
        pen = True
    dots = "".join(f'<circle class="dot {line.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in alone)
    return (f'<path class="line {line.style}" d="{"".join(commands)}"/>' if commands else "") + dots


def _legend(chart: Chart) -> Iterator[str]:
    x = float(LEFT)
    for line in chart.lines:
        yield f'<path class="line {line.style}" d="M{x:.0f} 20h28"/>'
        yield f'<text class="legend" x="{x + 34:.0f}" y="24">{escape(line.name)}</text>'
        x += 58 + 7.2 * len(line.name)


def highest(curve: Curve) -> float:
    """Return the largest value of a curve; 0 when there is none."""
    return max((value for _, value in curve if value is not None), default=0.0)


def scaled(curve: Curve, by: float) -> Curve:
    """Return a curve in another unit."""
    return tuple((at, None if value is None else value * by) for at, value in curve)


def last(curve: Sequence[tuple[float, float | None]]) -> float | None:
    """Return the newest value of a curve."""
    return next((value for _, value in reversed(curve) if value is not None), None)
