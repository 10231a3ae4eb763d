"""How is a version tried again that did not get through?"""

from __future__ import annotations

import argparse
from dataclasses import replace

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    from interlock.surfaces.cli.deploy import starting

    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    starting(parser)


async def run(call: Call) -> Exit:
    from interlock.app.hooks import ask_before_build
    from interlock.app.planner import AlreadyRunning, Planner
    from interlock.core.image import image_of
    from interlock.surfaces.cli.deploy import carry_out
    from interlock.surfaces.cli.plan import already

    view = await call.app.view(call.options.run)
    last = view.plan.stages[-1]
    artefact = last.revision.release.artefact
    first = last.replaces is None  # whoever began it has said so already
    what = str(image_of(artefact) or artefact.digest)
    call.say(f"again {view.plan.version} of {view.run}, from the artefact {artefact.digest[:19]}…")
    consents = await ask_before_build(call.state, call.file, view.plan.version)
    plan = await Planner(call.state, call.file, call.warn).plan(view.plan.version, first=first, digest=what)
    if isinstance(plan, AlreadyRunning):
        already(call, plan)
        return Exit.OK
    return await carry_out(call, replace(plan, consents=consents))
