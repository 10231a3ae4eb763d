"""What happened in a run, and what did its instances write?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import count, output

if TYPE_CHECKING:
    from interlock.app.view import View


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="RUN|REVISION", help="default: the newest run; `keeper` and `envoy` are ours"
    )
    parser.add_argument("-n", type=count, default=50, metavar="N", help="how many lines of each log (default 50)")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.app.logs import programs, tail

    name, lines = call.options.name, call.options.n
    view = None if name in programs(call.state) else await _run(call, name)
    if view is not None:
        _journal(call, view)
    revisions = [name] if view is None else [one.stage.revision.name for one in view.rollouts]
    for revision in revisions:
        written = await tail(call.state, revision, lines)
        if call.json:
            call.document({"type": "log", "name": revision, "lines": list(written)}, line=True)
            continue
        if view is not None:
            call.say(f"\n==> {revision} <==")
        for line in written or ("(nothing was written)",):
            call.say(line)
    return Exit.OK


async def _run(call: Call, name: str | None) -> View | None:
    """Return the run of this name; None when it is a revision's. Raises NoSuchRollout when it is neither."""
    from interlock.app.view import NoSuchRollout

    try:
        return await call.app.view(name)
    except NoSuchRollout:
        known = {
            revision.name
            for one in await call.app.history(200)
            for revision in (one.stage.revision, one.stage.replaces)
            if revision is not None
        }
        if name in known:
            return None
        raise


def _journal(call: Call, view: View) -> None:
    from interlock.surfaces.cli.show import document
    from interlock.surfaces.cli.show.lines import Log

    for line in Log().journal(view):
        if line.for_people:
            call.say(str(line))
        if call.json:
            call.document(document.line(line, view.run), line=True)
