"""How are numbers told to a person?"""

from __future__ import annotations


def percent(rate: float | None) -> str:
    """A rate from 0 to 1 in per cent, with two or three digits; "none" if there was nothing to count."""
    if rate is None:
        return "none"
    return f"{100 * rate:.3g} %" if rate >= 0.1 else f"{100 * rate:.2g} %"


def count(x: float) -> str:
    """So many requests, with a decimal only where they were extrapolated and few."""
    return f"{x:,.0f}" if x == round(x) or x >= 100 else f"{x:,.1f}"


def odds(x: float) -> str:
    """Odds as one bets: 40 to 1."""
    if x >= 1e6:
        return "over a million to 1"
    return f"{x:,.0f} to 1" if x >= 10 else f"{x:.2g} to 1"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
