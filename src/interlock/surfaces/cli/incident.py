"""Which releases were taken back, and has a person written why?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(usage=parser.error)
    verbs = parser.add_subparsers(dest="verb", metavar="list|show|close", required=True)
    listed = verbs.add_parser("list", help="what was taken back", description="List what was taken back.")
    listed.add_argument("--open", action="store_true", help="only those without a cause")
    output(listed)
    show = verbs.add_parser("show", help="the incident report", description="Show the incident report.")
    show.add_argument("id", nargs="?", metavar="ID", help="default: the newest run")
    output(show)
    close = verbs.add_parser("close", help="write the cause", description="Write the cause of an incident, on record.")
    close.add_argument("id", metavar="ID", help="as `interlock incident list` names it")
    close.add_argument("--cause", required=True, metavar="TEXT", help="what it was, for whoever reads the report")
    output(close)


async def run(call: Call) -> Exit:
    match call.options.verb:
        case "list":
            return await _list(call)
        case "show":
            return await _show(call)
    return await _close(call)


async def _list(call: Call) -> Exit:
    from interlock.app.incident import incidents

    found = await incidents(call.app)
    chosen = [(one, why) for one, why in found if why is None or not call.options.open]
    for one, why in chosen:
        said = f"resolved by {why.by}: {why.cause}" if why else f"UNRESOLVED: {one.reason}"
        call.say(f"{one.id:<24} {one.since:%Y-%m-%d %H:%M:%S} {one.phase.value:<11} {said}")
    if not chosen:
        call.say("no incident is unresolved" if found else "nothing was ever taken back")
    if call.json:
        told = [
            {
                "id": one.id,
                "run": one.run,
                "environment": one.stage.environment,
                "version": one.stage.revision.release.version,
                "phase": one.phase.value,
                "since": one.since.isoformat(),
                "reason": one.reason,
                "resolved": why is not None,
                "cause": why.cause if why else None,
                "by": why.by if why else None,
            }
            for one, why in chosen
        ]
        call.document({"type": "incidents", "incidents": told})
    return Exit.OK


async def _show(call: Call) -> Exit:
    from interlock.surfaces.cli.report import repository_of

    id, repository = call.options.id, repository_of(call)
    if call.json:
        told = await call.app.report_document(id, incident=True, repository=repository)
        call.document({"type": "incident", **told})
    else:
        call.say((await call.app.report(id, incident=True, repository=repository)).rstrip("\n"))
    return Exit.OK


async def _close(call: Call) -> Exit:
    cause = call.options.cause.strip()
    if not cause:
        call.options.usage("expected a cause: it is what the next person reads")
    call.goes_on = "interrupted while the cause was given: see `interlock incident list` whether it was written"
    rollout = await call.app.close_incident(call.options.id, cause)
    call.say(f"{rollout.id} is resolved: {cause}")
    if call.json:
        call.document({"type": "incident-closed", "id": rollout.id, "cause": cause})
    return Exit.OK
