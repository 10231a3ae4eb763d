"""Which gates are open now, for a version or for none in particular?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.deploy import excuse, excusing
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version", metavar="VERSION", nargs="?", help="what would be deployed; without, ask what can be"
    )
    parser.add_argument("--environment", metavar="NAME", help="only this one")
    excusing(parser)
    output(parser)
    parser.set_defaults(usage=parser.error)


async def run(call: Call) -> Exit:
    from interlock.app.check import Asked, check
    from interlock.core.record import plain

    call.goes_on = "interrupted: to ask changes nothing"
    only = call.options.environment
    if only is not None and only not in (names := [one.name for one in call.file.environments]):
        call.options.usage(f"there is no environment {only}; there are {', '.join(names)}")
    found: list[Asked] = []
    async for one in check(call.state, call.file, call.options.version, excuse(call)):
        if only in (None, one.environment):
            found.append(one)
            call.say(_line(one))
    shut = [one for one in found if one.asked and not one.answer.open]
    if call.json:
        call.document({"type": "check", "open": not shut, "gates": [plain(one) for one in found]})
    elif not found:
        call.say("nothing is asked before a release here; see `gates` in docs/file.md")
    return Exit.BLOCKED if shut else Exit.OK


def _line(one: object) -> str:
    from interlock.app.check import Asked

    assert isinstance(one, Asked)
    icon = "·" if not one.asked else "⚠" if one.answer.overridden else "✔" if one.answer.open else "✖"
    return f"{icon} {one.environment:<12} {one.gate:<16} {one.answer.reason}"
