"""How does a run stand, with everything about it?"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import duration, output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("-w", "--watch", action="store_true", help="until the run is over")
    parser.add_argument("--timeout", type=duration, metavar="2h", help="watch no longer (status 5)")
    output(parser)


async def run(call: Call) -> Exit:
    options = call.options
    call.goes_on = "interrupted: to look changes nothing"
    if options.watch:
        from interlock.surfaces.cli.follow import follow

        view = await call.app.view(options.run)
        return await follow(call, view.run, options.timeout)
    view, now = await call.app.view(options.run), datetime.now(UTC)
    if call.json:
        from interlock.surfaces.cli.show import document

        call.document(document.run(view, now))
        return Exit.OK
    from interlock.surfaces.cli.show.picture import picture

    call.console.print(picture(view, now, call.console.width))
    return Exit.OK
