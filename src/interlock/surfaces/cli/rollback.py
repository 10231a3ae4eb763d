"""How does one go back, also after the end?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit

if TYPE_CHECKING:
    from interlock.core.rollout import Rollout


def arguments(parser: argparse.ArgumentParser) -> None:
    from interlock.surfaces.cli.deploy import starting

    parser.add_argument(
        "version", metavar="VERSION", nargs="?", help="a release proven earlier (default: the last one)"
    )
    parser.add_argument("-m", "--reason", default="", metavar="TEXT", help="why, for the record")
    starting(parser)


async def run(call: Call) -> Exit:
    from interlock.app.back import Way, way_back
    from interlock.app.flags import flags_first
    from interlock.app.planner import Planner
    from interlock.core.events import OrderKind
    from interlock.surfaces.cli.deploy import carry_out

    version, running = call.options.version, (await call.app.view()).current
    match way_back(running, version, lambda: call.file.production.name):
        case Way.TURN:
            return await _turn(call, running)
        case Way.ALSO:
            await call.app.order(running.run, OrderKind.ABORT, f"rollback to {version}")
            call.say(f"{running.id} is under way and goes back too")
        case Way.FIRST:
            call.options.supersede = True
            call.say(f"{running.id} is under way and goes back first; then {version} is brought back")
    plan = await Planner(call.state, call.file).rollback(version)
    for said in await flags_first(call.app, call.file):
        call.say(said)
    return await carry_out(call, plan)


async def _turn(call: Call, running: Rollout) -> Exit:
    """Go back from a rollout under way, as `abort` does."""
    from interlock.core.events import OrderKind
    from interlock.surfaces.cli.follow import follow, goes_on
    from interlock.surfaces.cli.orders import tell

    options = call.options
    options.watch = not options.detach
    call.say(f"{running.id} is under way: it goes back now, as with `interlock abort`")
    call.goes_on = f"interrupted while abort was given: see `interlock get {running.run}` whether it was heard"
    before = await call.app.view(running.run)
    after = await call.app.order(running.run, OrderKind.ABORT, options.reason or "rollback")
    tell(call, "abort", before, after)
    if options.detach:
        return Exit.OK
    call.goes_on = goes_on(running.run)
    ended = await follow(call, running.run, options.timeout, drive=True, said=before)
    return Exit.OK if ended is Exit.ROLLED_BACK else ended  # to be back is what was asked for
