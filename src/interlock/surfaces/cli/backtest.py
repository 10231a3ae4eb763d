"""What would have happened to a rollout that was recorded, by these criteria or by others?"""

from __future__ import annotations

import argparse
import shutil

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recordings", nargs="+", metavar="RECORDING", help="a rollout, a run, or a file (.jsonl, .json, .csv)"
    )
    parser.add_argument(
        "--environment", metavar="NAME", help="judge by this environment of the file (with -f: production)"
    )
    parser.add_argument(
        "--criteria", metavar="KEY=VALUE", action="append", default=[], help="change one of them; may be said again"
    )
    parser.add_argument(
        "--from", dest="form", choices=("recording", "prometheus", "csv"), help="how it is written, if not by its name"
    )
    parser.add_argument(
        "--sides", metavar="LABEL=CANARY,STABLE", type=_sides, help="how Prometheus's series tell the sides"
    )
    output(parser)


def run(call: Call) -> Exit:
    from interlock.adapters.recordings.prometheus import Sides
    from interlock.app.backtest import Form, Terms, backtest, find
    from interlock.app.terms import chosen
    from interlock.surfaces.cli.show import backtest as show

    options = call.options
    by_file = options.file or options.environment
    environment = chosen(call.file, options.environment) if by_file else None
    terms = Terms(environment, tuple(options.criteria))
    sides = Sides(*options.sides) if options.sides else Sides()
    recordings = find(options.recordings, Form(options.form) if options.form else None, sides, lambda: call.state)
    found = [backtest(recording, terms) for recording in recordings]
    if call.json:
        call.document({"type": "backtest", "recordings": [show.document(one) for one in found]})
    width = min(120, shutil.get_terminal_size((100, 24)).columns)
    for line in show.lines(found, width):
        call.say(line)
    return Exit.OK


def _sides(text: str) -> tuple[str, str, str]:
    label, _, values = text.partition("=")
    canary, _, stable = values.partition(",")
    if not (label and canary):
        raise argparse.ArgumentTypeError(f'expected LABEL=CANARY,STABLE such as "version=v2,v1", found "{text}"')
    return label, canary, stable
