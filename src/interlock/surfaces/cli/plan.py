"""What would a deploy do?"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.core.plan import Plan
    from interlock.surfaces.cli.show.plan import References

KIND, SCHEMA = "interlock-plan", 1


class PlanFileError(Exception):
    """A file is no plan that can be carried out here; the message says why."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="VERSION", help="a git ref, a directory (.), or the digest of an artefact")
    parser.add_argument("--out", metavar="FILE", help="also write the plan, for `interlock deploy --plan FILE`")
    parser.add_argument("--first", action="store_true", help="yes, production has nothing to go back to yet")
    parser.add_argument("--restart", action="store_true", help="also when exactly this release runs already")
    parser.add_argument("--detailed-exitcode", action="store_true", help="exit with 10 when there is something to do")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.app.planner import AlreadyRunning, Planner
    from interlock.surfaces.cli.show.plan import document

    options, file = call.options, call.file
    call.goes_on = "interrupted: a plan changes nothing"
    plan = await Planner(call.state, file).plan(options.version, first=options.first, restart=options.restart)
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


def write(path: Path, plan: Plan) -> None:
    """Write a plan that `read` understands; raise PlanFileError when it cannot be written."""
    from interlock.core.record import plain

    record = {"type": KIND, "schema": SCHEMA, "hash": plan.hash, "plan": plain(plan)}
    try:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise PlanFileError(f"{path} cannot be written: {problem.strerror}") from problem


def read(path: Path) -> Plan:
    """Read a plan; raise PlanFileError when the file holds none, or another than was written."""
    from interlock.core.plan import Plan
    from interlock.core.record import restore

    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise PlanFileError(f"there is no {path}. Write one with: interlock plan VERSION --out {path}") from missing
    except OSError as problem:
        raise PlanFileError(f"{path} cannot be read: {problem.strerror}") from problem
    except ValueError as broken:
        raise PlanFileError(_no_plan(path, str(broken))) from broken
    if not isinstance(record, dict) or record.get("type") != KIND:
        raise PlanFileError(_no_plan(path, f'expected a document of type "{KIND}"'))
    if record.get("schema") != SCHEMA:
        raise PlanFileError(f"{path} was written by another version of Interlock: plan again with this one")
    try:
        plan = restore(Plan, record.get("plan"))
    except ValueError as misfit:
        raise PlanFileError(_no_plan(path, str(misfit))) from misfit
    if plan.hash != record.get("hash"):
        raise PlanFileError(
            f"{path} was changed after it was written: its content has the hash {plan.hash}. Plan again"
        )
    return plan


def _no_plan(path: Path, why: str) -> str:
    return f"{path} is no plan ({why}). Write one with: interlock plan VERSION --out {path}"
