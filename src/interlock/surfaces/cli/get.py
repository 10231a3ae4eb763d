"""How does a run stand, with everything about it?"""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import duration, output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("-w", "--watch", action="store_true", help="until the run is over")
    parser.add_argument("--timeout", type=duration, metavar="2h", help="watch no longer (status 5)")
    output(parser)


def run(call: Call) -> Exit | Coroutine[Any, Any, Exit]:
    from interlock.app.view import look

    call.goes_on = "interrupted: to look changes nothing"
    if call.options.watch:
        return _watched(call)
    view, now = look(call.state, call.options.run), datetime.now(UTC)
    if call.json:
        from interlock.surfaces.cli.show import document

        call.document(document.run(view, now))
        return Exit.OK
    from interlock.surfaces.cli.show.picture import picture

    call.console.print(picture(view, now, call.console.width))
    return Exit.OK


async def _watched(call: Call) -> Exit:
    from interlock.surfaces.cli.follow import follow

    view = await call.app.view(call.options.run)
    return await follow(call, view.run, call.options.timeout)
