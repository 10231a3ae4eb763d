"""How does somebody on call say that they know of a run?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.orders import watched
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--as", dest="name", default="", metavar="NAME", help="as whom; default: the local user")
    who.add_argument("--token", default="", metavar="TOKEN", help="as whom it was given to, for the run it names")
    parser.add_argument("-m", "--reason", default="", metavar="TEXT", help="a comment, for the record")
    parser.add_argument("-w", "--watch", action="store_true", help="then follow the run to its end")
    output(parser)


async def run(call: Call) -> Exit:
    options = call.options
    call.goes_on = "interrupted while acknowledge was given: see `interlock get` whether it was heard"
    after = await call.app.acknowledge(options.run, options.name, options.token, options.reason)
    first = after.acknowledged
    step = "" if after.next_step is None else f". Now step {after.index + 1}/{len(after.way)} {after.next_step}"
    call.say(f"{after.id}: acknowledged" + (f" by {first.by} at {first.at:%H:%M:%S} UTC" if first else "") + step)
    if call.json:
        from interlock.surfaces.cli.show import document

        call.document({"type": "order", "order": "acknowledge", **document.rollout(after)}, line=options.watch)
    return await watched(call, await call.app.view(after.run)) if options.watch else Exit.OK
