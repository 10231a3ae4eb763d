"""How did a thousand rollouts of each kind end?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from textwrap import wrap
from typing import Any

from interlock.app.simulate import Result, Simulation
from interlock.app.words import brief, number, percent
from interlock.core.record import plain
from interlock.core.steps import SetWeight
from interlock.core.trial import What

HEADS = (
    ("", "ROLLED", "", "NO", "DECIDED", "", "", "PROVEN"),
    ("RELEASE", "BACK", "THROUGH", "PROOF", "AFTER", "P95", "REQUESTS", "AFTER"),
)
WIDTH = 80
_GOOD_ENDS = (What.THROUGH,)
_UNITS = re.compile(r" ([a-z])[a-z]*")


def lines(simulation: Simulation, results: Sequence[Result], *, measured: bool) -> Iterator[str]:
    """Yield what was made up, a table, and how often it went wrong; no line is wider than a terminal."""
    for text in _about(simulation, measured=measured):
        yield from wrap(text, WIDTH, subsequent_indent="  ")
    yield ""
    rows = [*HEADS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = (f"{cell:{'<' if at == 0 else '>'}{widths[at]}}" for at, cell in enumerate(row))
        yield "  ".join((first, *rest)).rstrip()
    yield ""
    yield from (_wrong(result) for result in results)


def _about(simulation: Simulation, *, measured: bool) -> Iterator[str]:
    stage, users = simulation.stage, simulation.scenarios[0].users
    weights = ", ".join(str(step.weight) for step in stage.steps if isinstance(step, SetWeight))
    source = "as measured in the last hour" if measured else "as given"
    load = f" and {brief(stage.loaded)} of synthetic load" if stage.loaded else ""
    yield f"{stage.environment}: {stage.strategy.value}, weights {weights}, {brief(stage.watched)} of bakes{load}"
    yield f"{users.rate:.3g} requests/s ({source}), stable fails {percent(users.error_rate)}"
    yield f"{simulation.runs:,} rollouts of each release, seed {simulation.seed}"
    if stage.criteria is not None and stage.criteria.metrics:
        left_out = ", ".join(metric.name for metric in stage.criteria.metrics)
        yield f"left out, as no traffic is made for it: {left_out}"


def document(simulation: Simulation, results: Sequence[Result], *, measured: bool) -> dict[str, Any]:
    """Return all numbers for programs."""
    criteria = {name: value for name, value in plain(simulation.criteria).items() if name != "kind"}
    return {
        "type": "simulation",
        "environment": simulation.stage.environment,
        "steps": [str(step) for step in simulation.stage.steps],
        "criteria": criteria,
        "runs": simulation.runs,
        "seed": simulation.seed,
        "measured": measured,
        "scenarios": [_result(result) for result in results],
    }


def _row(result: Result) -> tuple[str, ...]:
    proven = result.proven(0.5)
    return (
        result.scenario.name,
        _share(result, What.ROLLED_BACK),
        _share(result, *_GOOD_ENDS),
        _share(result, What.NO_PROOF),
        _time(result.seconds(0.5)),
        _time(result.seconds(0.95)),
        _many(result.requests(0.5)),
        "never" if proven is None else _time(proven),
    )


def _wrong(result: Result) -> str:
    """Say how often it ended as it should not."""
    what, share = ("missed", _share(result, *_GOOD_ENDS)) if result.scenario.bad else _false(result)
    undecided = _share(result, What.NO_PROOF)
    return f"{result.scenario.name}: {what} {share}, undecided {undecided}"


def _false(result: Result) -> tuple[str, str]:
    return "rolled back though healthy", _share(result, What.ROLLED_BACK)


def _share(result: Result, *what: What) -> str:
    share = result.share(*what)
    return "0 %" if share == 0 else "100 %" if share == 1 else f"{100 * share:.1f} %"


def _many(requests: float) -> str:
    return number(requests) if requests < 10_000_000 else f"{number(requests / 1_000_000)} M"


def _time(seconds: float) -> str:
    """Write a duration as the file has it, in seven signs at most: ``1h5m``."""
    return _UNITS.sub(r"\1", brief(timedelta(seconds=round(seconds))) or "0 s").replace(" ", "")


def _result(result: Result) -> dict[str, Any]:
    users, bad = result.scenario.users, result.scenario.bad
    times = {"median": result.seconds(0.5), "p95": result.seconds(0.95)}
    requests = {"median": result.requests(0.5), "p95": result.requests(0.95)}
    return {
        "name": result.scenario.name,
        "bad": bad,
        "users": {name: value for name, value in plain(users).items() if name != "kind"},
        "rolled_back": result.share(What.ROLLED_BACK),
        "through": result.share(*_GOOD_ENDS),
        "without_proof": result.share(What.NO_PROOF),
        "false_rollbacks": None if bad else result.share(What.ROLLED_BACK),
        "missed_regressions": result.share(*_GOOD_ENDS) if bad else None,
        "undecided": result.share(What.NO_PROOF),
        "seconds": times,
        "requests": requests,
        "proven_after_seconds": {"median": result.proven(0.5), "p95": result.proven(0.95)},
    }
