"""How did a run go, in the form that is handed on?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument(
        "--incident", action="store_true", help="what went wrong, whom it reached, how it was taken back"
    )
    output(parser)


async def run(call: Call) -> Exit:
    incident = call.options.incident
    view = await call.app.view(call.options.run)
    text = call.app.report(view, incident=incident)
    if call.json:
        kind = "incident" if incident else "deployment"
        call.document({"type": "report", "report": kind, "run": view.run, "over": view.over, "markdown": text})
    else:
        call.say(text.rstrip("\n"))
    return Exit.OK
