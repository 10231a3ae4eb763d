"""What do agents other than Claude Code read to work with Interlock? The same guide, as a section of AGENTS.md."""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.claude import existing, place, placing
from interlock.surfaces.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", nargs="?", default=".", help="the project's (default: here)")
    placing(parser)


def run(call: Call) -> Exit:
    from interlock.surfaces.cli.forms import agents_md

    return place(call, existing(call), agents_md())
