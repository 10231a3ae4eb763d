"""When is a stage's window open, as far as that can be known while planning?"""

from __future__ import annotations

from datetime import timedelta

from interlock.adapters.clock import SystemClock
from interlock.adapters.feed import MISSING, installed
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.core.conditions import Conditions
from interlock.core.on_call import Rota
from interlock.core.window import Entries, Seen
from interlock.engine.outside import entries
from interlock.ports.calendar import CalendarError


def check(conditions: Conditions) -> None:
    """Raise Blocked where a calendar or holidays are declared and nothing here can read them."""
    window, call = conditions.window, conditions.on_call
    secret = "a calendar" if window and window.calendar_secret else ""
    read = [window.calendar, secret, window.holidays] if window else []
    if call is not None and isinstance(call.source, Rota):
        read.append(call.source.calendar or "the calendar of those on call")
    if any(read) and not installed():
        raise Blocked(f"{MISSING}, or take {' and '.join(filter(None, read))} out of the file")


async def seen(state: StateDirectory, conditions: Conditions, after: timedelta) -> Seen | None:
    """Return what is known of the window of a stage that can begin `after` so long at the earliest.

    None where there is none. What cannot be known now stops no plan: the gate holds while it is so.
    """
    if conditions.window is None:
        return None
    from interlock.app.outside import surroundings  # imported late: few files have windows

    now = SystemClock().now()
    if not conditions.window.looked_up:
        return Seen(now, Entries(), after=after)
    try:
        return Seen(now, await entries(surroundings(state), conditions.window, now), after=after)
    except CalendarError as error:
        return Seen(now, unknown=str(error), after=after)
