"""What would the plan do with a thousand releases like these?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import count, output

if TYPE_CHECKING:
    from interlock.app.simulate import Scenario, Told
    from interlock.app.traffic import Users
    from interlock.core.criteria import Criteria


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--environment", metavar="NAME", help="of the file (default: production)")
    parser.add_argument("--rate", type=_above_zero, metavar="N", help="users' requests a second (default: as measured)")
    parser.add_argument("--error-rate", type=_share, metavar="PERCENT", help="stable's failures (default: as measured)")
    parser.add_argument(
        "--canary-error-rate", type=_share, metavar="PERCENT", help="one scenario: the release fails so many"
    )
    parser.add_argument(
        "--slower", type=_above_zero, metavar="N", help="one scenario: the release is so many times as slow"
    )
    parser.add_argument("--bursts", type=_above_zero, default=1.0, metavar="N", help="failures come so many at a time")
    parser.add_argument(
        "--runs", type=count, default=1000, metavar="N", help="rollouts of each scenario (default 1000)"
    )
    parser.add_argument(
        "--seed", type=count, default=1, metavar="N", help="the same seed gives the same answer (default 1)"
    )
    parser.add_argument("--processes", type=count, metavar="N", help="how many share the work (default: one a core)")
    parser.add_argument(
        "--criteria", metavar="KEY=VALUE", action="append", default=[], help="change one of them; may be said again"
    )
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.app.simulate import Simulation, simulate, usual
    from interlock.app.terms import TermsError, chosen, measured, rate, staged, under
    from interlock.app.traffic import Users
    from interlock.surfaces.cli.show import simulation as show

    options, call.goes_on = call.options, "interrupted: a simulation changes nothing"
    environment = under(chosen(call.file, options.environment), options.criteria)
    history = await measured(call.state, environment.name)
    per_second = options.rate or rate(history)
    if per_second is None:
        raise TermsError(f"the traffic of {environment.name} is not measured yet: say how much there is with --rate N")
    stage, criteria = staged(environment, per_second), environment.criteria
    assert criteria is not None
    known = history.baseline.error_rate if history else None
    errors = options.error_rate if options.error_rate is not None else known if known is not None else 0.001
    users = Users(per_second, errors, errors, bursts=options.bursts)
    simulation = Simulation(
        stage,
        _scenarios(call, users, criteria) or usual(users, criteria),
        options.runs,
        options.seed,
        dict(history.baseline.latency) if history else {},
    )
    with progress(call) as tell:
        results = simulate(simulation, options.processes or len(os.sched_getaffinity(0)), tell)
    if call.json:
        call.document(show.document(simulation, results, measured=options.rate is None))
    for line in show.lines(simulation, results, measured=options.rate is None):
        call.say(line)
    return Exit.OK


def _scenarios(call: Call, users: Users, criteria: Criteria) -> tuple[Scenario, ...]:
    """Return the scenario that is described on the command line, if one is."""
    from dataclasses import replace

    from interlock.app.simulate import given

    options = call.options
    if options.canary_error_rate is None and options.slower is None:
        return ()
    fails = users.error_rate if options.canary_error_rate is None else options.canary_error_rate
    return (given(replace(users, canary_error_rate=fails, slower=options.slower or 1.0), criteria),)


@contextmanager
def progress(call: Call) -> Iterator[Told]:
    """Show how far the work is, where a person watches: beside the answer, and gone when it comes."""
    import sys

    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    plain = call.options.no_color or bool(os.environ.get("NO_COLOR"))
    with Progress(console=Console(stderr=True, no_color=plain), transient=True) as bar:
        task = bar.add_task("rollouts", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _above_zero(text: str) -> float:
    return _number(text, 'a number above 0 such as "50" or "0.5"', lambda value: value > 0)


def _share(text: str) -> float:
    if not text.endswith("%"):
        raise argparse.ArgumentTypeError(f'expected a percentage such as "0.5%", found "{text}"')
    return _number(text[:-1], 'a percentage from 0% to 100% such as "0.5%"', lambda value: 0 <= value <= 100) / 100


def _number(text: str, expected: str, holds: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (holds(value) and value < float("inf")):
        raise argparse.ArgumentTypeError(f'expected {expected}, found "{text}"')
    return value
