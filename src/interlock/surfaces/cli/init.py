"""How does a project begin? With a commented file that says everything that can be said."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", nargs="?", help="the service's name (default: the directory's)")


def run(call: Call) -> Exit:
    from interlock.config import NAME, starter

    given = Path(call.options.file or NAME)
    path = given / NAME if given.is_dir() else given
    service = call.options.service or _name(path.absolute().parent.name)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", service):
        call.warn(
            f'error: "{service}" cannot name a service: expected a small letter, then letters, digits and hyphens'
        )
        return Exit.ERROR
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter(service))
    except FileExistsError:
        call.warn(f"error: {path} is there already, and was not changed. Check it with: interlock plan .")
        return Exit.ERROR
    call.say(f"wrote {path} for the service {service}. Adapt `command` and the ports, then: interlock plan .")
    return Exit.OK


def _name(directory: str) -> str:
    """Make a service's name of a directory's."""
    return re.sub(r"[^a-z0-9-]+", "-", directory.lower()).strip("-0123456789")[:40].rstrip("-") or "service"
