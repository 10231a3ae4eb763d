"""What does a setting of interlock.yaml mean?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("field", metavar="FIELD", help="its dotted name, such as strategy.canary.weights, or its end")
    output(parser)


def run(call: Call) -> Exit:
    from interlock.app.explain import explain
    from interlock.core.record import plain

    found = explain(call.options.field)
    for number, one in enumerate(found):
        call.say(("\n" if number else "") + one.name)
        call.say(f"  {one.meaning}")
        call.say(f"  default: {one.default}" if one.default not in ("", "required") else _without(one.default))
        for name in one.inside:
            call.say(f"  has {name}")
    if call.json:
        told = [{key: value for key, value in plain(one).items() if key != "kind"} for one in found]
        call.document({"type": "settings", "settings": told})
    return Exit.OK


def _without(default: str) -> str:
    return "  required: it must be written" if default else "  default: nothing"
