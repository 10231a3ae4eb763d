"""How does a run stand, in one line, and how did it end, as an exit status?"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import duration, output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("-w", "--watch", action="store_true", help="one line a change, until the run is over")
    parser.add_argument("--timeout", type=duration, metavar="30m", help="watch no longer (status 5)")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.app.endings import ending
    from interlock.app.words import ICONS, brief
    from interlock.surfaces.cli.show import document
    from interlock.surfaces.cli.show.endings import status

    call.goes_on = "interrupted: to look changes nothing"
    view, now = await call.app.view(call.options.run), datetime.now(UTC)
    if call.options.watch:
        from interlock.surfaces.cli.follow import follow

        call.live = False
        return await follow(call, view.run, call.options.timeout)
    rollout = view.current
    lock = await call.app.locked(view.plan.service)
    if call.json:
        call.document({**document.run(view, now), "lock": None if lock is None else str(lock)})
    elif view.over:
        call.say(f"{view.run} {ICONS[rollout.phase]} {ending(view)}")
    else:
        step = f"{rollout.index + 1}/{len(rollout.way)} {rollout.next_step}"
        since = f"for {brief(now - rollout.since)}"
        place = f"{view.run} {ICONS[rollout.phase]} {rollout.phase.value} in {rollout.stage.environment} {since}"
        why = f" ({rollout.reason})" if rollout.reason else ""
        alone = "" if view.keeper else "; NO KEEPER ANSWERS"
        stuck = f"; NOT DRIVEN: {view.stuck[rollout.id]}" if rollout.id in view.stuck else ""
        flags = "".join(f", flag {one.flag} {one.now}" for one in rollout.flags)
        call.say(f"{place}, weight {rollout.weight}{flags}, step {step}{why}{alone}{stuck}")
    if lock is not None:
        call.say(f"{view.plan.service} is {lock}")
    return status(view)
