"""How does a person move a run: pause, resume, promote, abort?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.app.view import View
    from interlock.core.rollout import Rollout


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("-m", "--reason", default="", metavar="TEXT", help="why, for the record")
    parser.add_argument("-w", "--watch", action="store_true", help="then follow the run to its end")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.core.events import OrderKind

    view = await call.app.view(call.options.run)
    kind = OrderKind(call.options.command)
    seen = view.current if kind is OrderKind.PROMOTE else None
    call.goes_on = f"interrupted while {kind.value} was given: see `interlock get {view.run}` whether it was heard"
    after = await call.app.order(view.run, kind, call.options.reason, seen=seen)
    tell(call, kind.value, view, after)
    return await watched(call, view)


async def watched(call: Call, view: View) -> Exit:
    """Follow the run where that was asked for."""
    if not call.options.watch:
        return Exit.OK
    from interlock.surfaces.cli.follow import follow, goes_on

    call.goes_on = goes_on(view.run)
    return await follow(call, view.run, None, said=view)


def tell(call: Call, order: str, view: View, after: Rollout) -> None:
    """Say what the order did."""
    from interlock.surfaces.cli.show import document

    call.say(f"{after.id}: {_said(order, view, after)}")
    if call.json:
        call.document({"type": "order", "order": order, **document.rollout(after)}, line=call.options.watch)


def _said(order: str, view: View, after: Rollout) -> str:
    step = "" if after.next_step is None else f"step {after.index + 1}/{len(after.way)} {after.next_step}"
    was = f"step {view.current.index + 1} ({view.current.next_step})"
    match order:
        case "promote":
            return f"{was} ended without proof; the report says who did it. Now {step or after.phase.value}"
        case "pause":
            return (
                f"paused at {step}; it is watched on and goes back when it fails, or after a day. "
                f"Go on with: interlock resume {view.run}"
            )
        case "resume":
            return f"goes on with {step}"
    return f"goes back to {_back(after)}; nothing is quarantined by an order. See: interlock get {view.run} -w"


def _back(after: Rollout) -> str:
    old = after.stage.replaces
    return f"{old.release.version} ({old.name})" if old else "nothing: it will answer 503"
