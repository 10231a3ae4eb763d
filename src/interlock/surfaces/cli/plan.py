"""What would a deploy do?"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.core.plan import Plan
    from interlock.surfaces.cli.show.plan import References


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="VERSION", help="a git ref, a directory (.), a digest, or an image")
    parser.add_argument("--out", metavar="FILE", help="also write the plan, for `interlock deploy --plan FILE`")
    parser.add_argument("--first", action="store_true", help="yes, production has nothing to go back to yet")
    parser.add_argument("--restart", action="store_true", help="also when exactly this release runs already")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit with 10 when there is something to do")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.app.planner import AlreadyRunning, Planner
    from interlock.app.plans import write
    from interlock.surfaces.cli.show.plan import document

    options, file = call.options, call.file
    call.goes_on = "interrupted: a plan changes nothing"
    planner = Planner(call.state, file, call.warn)
    plan = await planner.plan(options.version, first=options.first, restart=options.restart)
    if isinstance(plan, AlreadyRunning):
        already(call, plan)
        return Exit.OK
    references = {one.name: one.secret_references() for one in file.environments}
    if call.json:
        call.document(document(plan, references))
    show(call, plan, references)
    if options.out:
        write(Path(options.out), plan)
        call.say(f"Written to {options.out}. To carry out exactly this: interlock deploy --plan {options.out}")
    return Exit.CHANGES if options.detailed_exitcode else Exit.OK


def show(call: Call, plan: Plan, references: References) -> None:
    """Write a plan for people."""
    from interlock.surfaces.cli.show.plan import lines

    width = min(120, shutil.get_terminal_size((100, 24)).columns)
    for line in lines(plan, references, width):
        call.say(line)


def already(call: Call, running: object) -> None:
    """Say that exactly this release runs already."""
    from interlock.app.planner import AlreadyRunning

    assert isinstance(running, AlreadyRunning)
    call.say(
        f"already running: {running.version} ({running.identity}) in every environment since {running.since}. "
        "To start its instances anew: --restart"
    )
    if call.json:
        call.document(
            {
                "type": "already-running",
                "version": running.version,
                "identity": running.identity,
                "since": running.since,
            }
        )
