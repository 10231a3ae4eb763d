"""How is a run followed to its end? On a terminal by a picture that is redrawn, elsewhere by lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from interlock.app.endings import ending
from interlock.app.view import View
from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.show import document
from interlock.surfaces.cli.show.endings import status
from interlock.surfaces.cli.show.lines import Log

LOOK_EVERY = timedelta(milliseconds=500)
ALONE_AT_MOST = timedelta(seconds=10)
"""Keeper and twin heal one another within two seconds; one that is away longer is started by whoever follows."""

Show = Callable[[View, datetime], None]


async def follow(
    call: Call, run: str, timeout: timedelta | None, *, drive: bool = False, said: View | None = None
) -> Exit:
    """Show a run until it is over; return the exit status for how it ended, or TIMED_OUT while it goes on.

    `drive` also starts a keeper again that stays away. Lines tell only what is new since `said`.
    """
    deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
    alone_since: float | None = None
    with _shown(call, run, said) as show:
        while True:
            view = await call.app.view(run)
            show(view, datetime.now(UTC))
            if view.over:
                break
            if deadline is not None and time.monotonic() >= deadline:
                return _timed_out(call, view, timeout)
            alone_since = None if view.keeper else alone_since or time.monotonic()
            if drive and alone_since and time.monotonic() - alone_since > ALONE_AT_MOST.total_seconds():
                await call.app.ensure_keeper()
            await asyncio.sleep(LOOK_EVERY.total_seconds())
    call.say(ending(view))
    if call.json:
        call.document(document.end(view), line=True)
    return status(view)


def goes_on(run: str) -> str:
    """Say that a run goes on without whoever followed it."""
    return (
        f"interrupted: {run} goes on without you. Watch it: interlock get {run} -w; "
        f"hold it: interlock pause {run}; take it back: interlock abort {run}"
    )


def _timed_out(call: Call, view: View, timeout: timedelta | None) -> Exit:
    rollout = view.current
    call.warn(
        f"error: {view.run} is still {rollout.phase.value} in {rollout.stage.environment} after {timeout} and goes on. "
        f"Follow it: interlock status {view.run} --watch; take it back: interlock abort {view.run}"
    )
    return Exit.TIMED_OUT


def _shown(call: Call, run: str, said: View | None) -> AbstractContextManager[Show]:
    if call.live:
        return _Redrawn(call)
    log = Log()
    if said is not None:
        log.news(said, datetime.now(UTC))

    def show(view: View, now: datetime) -> None:
        for line in log.news(view, now):
            if line.for_people:
                call.say(str(line))
            if call.json:
                call.document(document.line(line, run), line=True)

    return nullcontext(show)


class _Redrawn:
    """A picture that is redrawn in place, folded when it is taller than the terminal."""

    def __init__(self, call: Call) -> None:
        from rich.live import Live

        self._console = call.console
        self._live = Live(console=call.console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Show:
        self._live.start()
        return self._show

    def __exit__(self, *_: Any) -> None:
        self._live.stop()

    def _show(self, view: View, now: datetime) -> None:
        from interlock.surfaces.cli.show.picture import picture

        width, height = self._console.size
        drawn = picture(view, now, width)
        if not view.over and len(self._console.render_lines(drawn, pad=False)) >= height:
            drawn = picture(view, now, width, folded=True)
        self._live.update(drawn, refresh=True)
