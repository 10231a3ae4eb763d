"""Does a judge decide as it must in single hard cases, each a fixed sequence of counts?

Unless a trap says otherwise a poll covers 10 s, stable had 5 errors in 950 requests in each of the 60 polls before, and
has them still; its p99 lies just below 100 ms. Each trap has caught a rule that looked right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np

from bench.evaluator.contract import Counts, Judge, Poll
from bench.evaluator.counters import Counters

EDGES = (5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0)
QUICK = (0.10, 0.009, 0.0005)  # shares beyond 50, 100 and 200 ms
SLOW = (0.50, 0.30, 0.20)
ALL_QUICK = (0.0, 0.0, 0.0)
_EVERY = 10.0

Sides = tuple[Counts | None, Counts | None]
Check = Callable[[Sequence[str]], bool]


def counts(n: float, k: float, tail: tuple[float, ...] = QUICK) -> Counts:
    """n requests, k of them failed, of whose answers the given shares take longer than 50, 100 and 200 ms."""
    beyond = [n - round(n * share) for share in (*tail, 0.0, 0.0, 0.0)]
    return {"requests": n, "errors": k, "buckets": np.array([0, 0, round(n * 0.5), *beyond, n])}


@dataclass(frozen=True, slots=True)
class Trap:
    """A sequence of polls, and what a judge has to answer: `wanted` in words, `right` by the decisions.

    Polls after a rollback are left out, unless `goes_on`.
    """

    name: str
    wanted: str
    right: Check
    polls: Sequence[Sides]
    history: Counts = field(default_factory=lambda: counts(950, 5))
    edges: tuple[float, ...] = EDGES
    warm_up: float = 0.0
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a judge answered to a trap, and whether that was right."""

    trap: str
    wanted: str
    passed: bool
    got: str


def decisions(judge: Judge, trap: Trap) -> list[str]:
    """Let a judge watch a trap; return what it decided with each poll."""
    past = [trap.history] * 60
    horizon = max(900.0, len(trap.polls) * _EVERY)
    judge.reset(
        {"edges": trap.edges, "poll_s": _EVERY, "horizon_s": horizon, "warmup_s": trap.warm_up, "history": past}
    )
    made: list[str] = []
    for i, (canary, stable) in enumerate(trap.polls):
        poll: Poll = {"t": _EVERY * (i + 1), "dt": _EVERY, "canary": canary, "baseline": stable}
        made.append(judge.update(poll))
        if made[-1] == "rollback" and not trap.goes_on:
            break
    return made


def run(judge: Judge) -> list[Outcome]:
    """Play all traps."""
    return [_outcome(trap, decisions(judge, trap)) for trap in TRAPS] + [counters()]


def _outcome(trap: Trap, made: Sequence[str]) -> Outcome:
    decided = [i for i, d in enumerate(made) if d == made[-1]]
    got = made[-1] if made[-1] == "continue" else f"{made[-1]}, poll {decided[0] + 1}"
    return Outcome(trap.name, trap.wanted, trap.right(made), got)


def counters() -> Outcome:
    """Tell raw counters with a restart, missing and torn readings; return whether the increments are right."""
    told = ((1000, 5), (1100, 5), (40, 0), None, (nan, 0), (240, 1), (250, 15), (300, 15))
    wanted = [None, (100, 0), (40, 0), None, None, (200, 1), (10, 10), (50, 4)]
    instance, got = Counters(), []
    for reading in told:
        raw: Counts | None = None
        if reading is not None:
            raw = {"requests": reading[0], "errors": reading[1], "buckets": np.array([0])}
        done = instance.push(raw)
        got.append(None if done is None else (done["requests"], done["errors"]))
    shown = "exact" if got == wanted else " ".join("-" if g is None else f"{g[0]:g}/{g[1]:g}" for g in got)
    return Outcome("28 raw counters: restart, missing, torn", "exact increments", got == wanted, shown)


def never(decision: str) -> Check:
    return lambda made: decision not in made


def holds(made: Sequence[str]) -> bool:
    return set(made) == {"continue"}


def back_by(polls: int) -> Check:
    return lambda made: made[-1] == "rollback" and len(made) <= polls


def _silent(made: Sequence[str]) -> bool:
    """From a minute after the last good poll on, nothing may be decided."""
    return holds(made[12:])


def _finite(made: Sequence[str]) -> bool:
    return "rollback" in (made[0], made[3]) and len(made) == 50


def _proven(made: Sequence[str]) -> bool:
    return "rollback" not in made and "advance" in made[:20]


def _traps() -> list[Trap]:
    stable, clean, good, none = counts(950, 5), counts(950, 0), counts(100, 0), counts(0, 0)
    unseen: Counts = {"requests": nan, "errors": nan, "buckets": counts(0, 0)["buckets"]}
    odd: Counts = {"requests": 99.7, "errors": 0.95, "buckets": counts(99.7, 0)["buckets"]}
    cut = EDGES[:5]
    short: Counts = {"requests": 950, "errors": 5, "buckets": np.array([0, 0, 475, 855, 941, 950])}
    short_canary: Counts = {"requests": 100, "errors": 0, "buckets": np.array([0, 0, 50, 90, 99, 100])}
    shared = (0.6, 0.2, 0.009)
    never_back = never("rollback")

    def trap(
        name: str, wanted: str, right: Check, *parts: tuple[Counts | None, Counts | None, int], **more: Any
    ) -> Trap:
        return Trap(name, wanted, right, [(c, s) for c, s, times in parts for _ in range(times)], **more)

    def bad(k: int) -> Counts:
        return counts(100, k)

    gap = counts(1800, 9), counts(17100, 90), 1
    million = counts(10**6, 10500), counts(10**6, 10000), 60
    flood = counts(10**7, 5 * 10**6), counts(10**7, 5 * 10**4), 50
    simpson = [(counts(20, 1 if i == 20 else 0), counts(1980, 4), 1) for i in range(40)]
    return [
        trap("01 no requests at all", "hold", holds, (none, stable, 90)),
        trap(
            "02 one request, failed, then silence",
            "no rollback",
            never_back,
            (counts(1, 1), clean, 1),
            (none, clean, 20),
            history=counts(950, 0),
        ),
        trap(
            "03 50 of 50 fail at once",
            "rollback, poll 1",
            back_by(1),
            (counts(50, 50), clean, 3),
            history=counts(950, 0),
        ),
        trap(
            "04 one request a poll, all fail",
            "rollback, 8 requests",
            back_by(8),
            (counts(1, 1), counts(19, 0), 20),
            history=counts(19, 0),
        ),
        trap("05 both sides fail 6 %", "hold", holds, (bad(6), counts(950, 57), 36)),
        trap(
            "06 stable fails 4 %, canary 15 %", "rollback within 12 polls", back_by(12), (bad(15), counts(950, 38), 40)
        ),
        trap("07 exactly at the limit", "no rollback", never_back, (bad(1), stable, 90)),
        trap("08 twice the limit", "rollback within 30 polls", back_by(30), (bad(2), stable, 90)),
        trap(
            "09 one burst of 30 of 100",
            "no rollback",
            never_back,
            (good, stable, 4),
            (bad(30), stable, 1),
            (good, stable, 55),
        ),
        trap(
            "10 80 good polls, then all fail",
            "rollback at poll 81",
            back_by(81),
            (good, stable, 80),
            (bad(100), stable, 5),
        ),
        trap(
            "11 80 good polls, then 5 %",
            "rollback within 12 more",
            back_by(92),
            (good, stable, 80),
            (bad(5), stable, 40),
        ),
        trap(
            "12 Simpson: shares of traffic change",
            "no rollback",
            never_back,
            *simpson,
            (counts(1000, 9), counts(1000, 9), 40),
            history=counts(1980, 4),
        ),
        trap("13 canary never reports", "hold", holds, (None, stable, 90)),
        trap("14 canary reports nan", "hold", holds, (unseen, stable, 90)),
        trap("15 stable never reports, canary fails 5 %", "rollback within 20 polls", back_by(20), (bad(5), None, 40)),
        trap("16 good, then no telemetry", "nothing after 60 s", _silent, (good, stable, 5), (None, stable, 20)),
        trap(
            "17 one sample covers a gap",
            "no rollback",
            never_back,
            (good, stable, 10),
            (None, None, 17),
            gap,
            (good, stable, 20),
        ),
        trap(
            "18 20 % of answers beyond 2x p99",
            "rollback within 5 polls",
            back_by(5),
            (counts(100, 0, SLOW), stable, 30),
        ),
        trap(
            "19 both sides are slow",
            "no rollback",
            never_back,
            (counts(1000, 5, shared), counts(950, 5, shared), 60),
        ),
        trap("20 all fail, and fast", "rollback, poll 1", back_by(1), (counts(100, 100, ALL_QUICK), stable, 3)),
        trap(
            "21 histogram ends at p99", "hold: unjudgeable", holds, (short_canary, short, 60), edges=cut, history=short
        ),
        trap(
            "22 ten million requests a poll",
            "rollback, finite",
            _finite,
            flood,
            history=counts(10**7, 50000),
            goes_on=True,
        ),
        trap("23 1.05 % beside 1 %, a million", "no rollback", never_back, million, history=counts(10**6, 10000)),
        trap(
            "24 5 % in the warm-up, then good",
            "no rollback",
            never_back,
            (bad(5), stable, 6),
            (good, stable, 60),
            warm_up=60.0,
        ),
        trap("25 all fail in the warm-up", "rollback, poll 1", back_by(1), (bad(100), stable, 3), warm_up=60.0),
        trap("26 healthy 0.5 %", "advance by poll 20", _proven, *[(good, stable, 1), (bad(1), stable, 1)] * 30),
        trap("27 counts that are fractions", "no rollback", never_back, (odd, stable, 60)),
    ]


TRAPS = _traps()
