"""Are this machine and this project well, and what is to be done where not?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.app.doctor import Entrances
    from interlock.core.container import Container
    from interlock.core.image import ImageSource


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", action="store_true", help="first start the keeper when none answers")
    parser.add_argument("--unit", action="store_true", help="only print a systemd user unit that does so at boot")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.app.doctor import examine, unit
    from interlock.core.record import plain

    call.goes_on = "interrupted: to look changes nothing"
    if call.options.unit:
        call.say(unit(call.state).rstrip())
        return Exit.OK
    if call.options.start:
        await call.app.ensure_keeper()
    entrances, trouble = _entrances(call)
    wanted, image = _image(call) if trouble is None else ((), None)
    findings = await examine(call.state, entrances, wanted, image)
    if trouble is None:
        from interlock.app.standing import examine_flags

        findings += tuple(await examine_flags(call.state, call.file))
    well = trouble is None and all(finding.well is not False for finding in findings)
    if call.json:
        found = [plain(finding) for finding in findings]
        call.document({"type": "doctor", "well": well, "file_error": trouble, "findings": found})
        return Exit.OK if well else Exit.ERROR
    if trouble is not None:
        call.say(f"✖ {'file':<14} {trouble}")
    for finding in findings:
        icon = {True: "✔", False: "✖", None: "·"}[finding.well]
        call.say(f"{icon} {finding.name:<14} {finding.text}")
        if finding.advice and not finding.well:
            call.say(f"  {'':<14} {finding.advice}")
    return Exit.OK if well else Exit.ERROR


def _entrances(call: Call) -> tuple[Entrances, str | None]:
    """Return where users come in, and what is wrong with the file; a state directory alone is looked at too."""
    from interlock.config import FileError

    try:
        return [(one.name, one.entrance) for one in call.file.environments], None
    except FileError as error:
        return (), str(error)


def _image(call: Call) -> tuple[Sequence[Container], ImageSource | None]:
    """Return how the file's environments run containers, and what those run."""
    found = [one.configuration.container for one in call.file.environments]
    return [one for one in found if one is not None], call.file.image
