"""How is everything stopped that a project runs?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="also in the middle of a rollout, which then stands still")
    output(parser)


async def run(call: Call) -> Exit:
    call.goes_on = "interrupted: what was being stopped goes on ending; see `interlock doctor` for what still runs"
    if not call.state.database.exists():
        return _told(call, [])
    running = [one for one in await call.app.history(20) if not one.over]
    if running and not call.options.force:
        one = running[0]
        call.warn(
            f"error: {one.id} is {one.phase.value} since {one.since:%Y-%m-%d %H:%M:%S} UTC, started by {one.by}. Wait "
            f"for it (interlock status --watch), take it back (interlock abort {one.run}), or add --force"
        )
        return Exit.BLOCKED
    return _told(call, await call.app.down())


def _told(call: Call, stopped: list[str]) -> Exit:
    for what in stopped:
        call.say(f"stopped {what}")
    if not stopped:
        call.say("nothing of this project runs here")
    if call.json:
        call.document({"type": "down", "stopped": stopped})
    return Exit.OK
