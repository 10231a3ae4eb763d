"""How are phases, durations, moments and numbers written?"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isinf

from interlock.core.phase import Phase
from interlock.core.steps import spell

# Signs of one column in every terminal's font; words stand beside them, so that colour and sign are never needed.
ICONS = {
    Phase.WAITING: "◔",
    Phase.PROGRESSING: "◌",
    Phase.PAUSED: "‖",
    Phase.WATCHING: "◉",
    Phase.RETRACTING: "⚑",
    Phase.ROLLING_BACK: "←",
    Phase.SUCCEEDED: "✔",
    Phase.ROLLED_BACK: "✖",
    Phase.SUPERSEDED: "»",
    Phase.FAILED: "✖",
}
STYLES = {
    Phase.WAITING: "yellow",
    Phase.PROGRESSING: "cyan",
    Phase.PAUSED: "yellow",
    Phase.WATCHING: "cyan",
    Phase.RETRACTING: "yellow",
    Phase.ROLLING_BACK: "red",
    Phase.SUCCEEDED: "green",
    Phase.ROLLED_BACK: "red",
    Phase.SUPERSEDED: "yellow",
    Phase.FAILED: "bold red",
}


def brief(duration: timedelta) -> str:
    """Write a duration by its two largest units: ``2 h 40 min``."""
    seconds = max(0, round(duration.total_seconds()))
    grain = 1 if seconds < 3600 else 60 if seconds < 86400 else 3600
    return spell(timedelta(seconds=seconds - seconds % grain))


def moment(at: datetime, now: datetime) -> str:
    """Write a moment: the time today, with the date on other days; always UTC, as in every record."""
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def percent(rate: float) -> str:
    """Write a fraction from 0 to 1 as a percentage of two digits."""
    return "0 %" if rate < 5e-6 else f"{100 * rate:.2g} %" if rate < 0.995 else "100 %"


def number(value: float) -> str:
    """Write a number of requests."""
    return f"{value:,.0f}"


def milliseconds(value: float) -> str:
    """Write a latency; the last bucket of a histogram has no upper edge."""
    if isinf(value):
        return "off the scale"
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def odds(value: float) -> str:
    """Write odds to 1, as few digits as tell."""
    return ">999" if value > 999 else f"{value:.0f}" if value >= 10 else f"{value:.2g}"
