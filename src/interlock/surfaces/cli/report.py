"""How did a run go, as a text that can be handed on?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("--incident", action="store_true", help="the incident report of a run that was taken back")
    output(parser)


async def run(call: Call) -> Exit:
    incident = call.options.incident
    text = await call.app.report(call.options.run, incident=incident)
    call.say(text.rstrip("\n"))
    if call.json:
        view = await call.app.view(call.options.run)
        call.document({"type": "report", "run": view.run, "incident": incident, "text": text})
    return Exit.OK
