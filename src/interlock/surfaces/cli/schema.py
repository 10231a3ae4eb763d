"""What may stand in interlock.yaml, told to an editor?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Save it, and name it in the file's first line: # yaml-language-server: $schema=interlock.schema.json"
    )


def run(call: Call) -> Exit:
    from interlock.config import schema

    call.document(schema())
    return Exit.OK
