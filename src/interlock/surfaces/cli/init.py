"""How does a project begin? With a commented file that says everything that can be said, or with what Kamal had."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", nargs="?", help="the service's name (default: the directory's)")
    parser.add_argument(
        "--from-kamal", metavar="DEPLOY_YML", help="make it of Kamal's config/deploy.yml and the destinations beside it"
    )


def run(call: Call) -> Exit:
    if call.options.from_kamal:
        return _from_kamal(call)
    from interlock.config import starter

    service = call.options.service or _name(_path(call).absolute().parent.name)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", service):
        call.warn(
            f'error: "{service}" cannot name a service: expected a small letter, then letters, digits and hyphens'
        )
        return Exit.ERROR
    if not _written(call, starter(service)):
        return Exit.ERROR
    call.say(f"wrote {_path(call)} for the service {service}. Adapt `command` and the ports, then: interlock plan .")
    return Exit.OK


def _from_kamal(call: Call) -> Exit:
    """Write what a deploy.yml becomes; the file says itself where each line comes from, and what was left."""
    from interlock.config.kamal import convert

    if call.options.service:
        call.warn("error: expected no SERVICE beside --from-kamal, which takes the name that Kamal has")
        return Exit.ERROR
    converted = convert(Path(call.options.from_kamal).expanduser())
    if not _written(call, converted.text):
        return Exit.ERROR
    left = len(converted.remarks)
    call.say(f"wrote {_path(call)} for the service {converted.service}.")
    call.say(f"{left} {'value has' if left == 1 else 'values have'} no counterpart, or another one: its end says why.")
    for why in converted.to_do:
        call.say(f"To do: {why}")
    call.say("Read it once, then: interlock plan VERSION. Nothing of Kamal's was changed; see docs/from-kamal.md")
    return Exit.OK


def _written(call: Call, text: str) -> bool:
    """Write the file, never over one that is there; say whether it was written."""
    try:
        with _path(call).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        call.warn(f"error: {_path(call)} is there already, and was not changed. Check it with: interlock plan .")
        return False
    return True


def _path(call: Call) -> Path:
    from interlock.config import NAME

    given = Path(call.options.file or NAME)
    return given / NAME if given.is_dir() else given


def _name(directory: str) -> str:
    """Make a service's name of a directory's."""
    return re.sub(r"[^a-z0-9-]+", "-", directory.lower()).strip("-0123456789")[:40].rstrip("-") or "service"
