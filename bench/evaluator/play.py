"""How does one judge end one rollout?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from bench.evaluator.bound import Bound, bad_rate, divergence
from bench.evaluator.contract import Judge, Setting, Truth
from bench.evaluator.kayenta import Kayenta
from bench.evaluator.latency import USUAL, quantile, slowed, upto
from bench.evaluator.peers import MSPRT, Argo, Flagger, PeekingZ
from bench.evaluator.reference import Oracle, Reference
from bench.evaluator.scenarios import FACTOR, LIMIT, Scenario, at
from bench.evaluator.traffic import Recording
from bench.judge import Judge as Interlock

OURS = Interlock.name
JUDGES: dict[str, Callable[[], Judge]] = {
    "interlock": Interlock,
    "reference": Reference,
    "argo 0": lambda: Argo(0),
    "argo 3": lambda: Argo(3),
    "argo 9": lambda: Argo(9),
    "flagger 5": lambda: Flagger(5),
    "kayenta": lambda: Kayenta(),
    "kayenta x2": lambda: Kayenta(2.0),
    "msprt": MSPRT,
    "peeking z": PeekingZ,
    "oracle": Oracle,
}
"""All of them by name: Argo by its failureLimit, Flagger by its threshold, Kayenta by its allowedIncrease."""


class End(StrEnum):
    """How a rollout ended: rolled back (too early: before anything was wrong), advanced although bad, or not at all."""

    ROLLED_BACK = "rolled back"
    TOO_EARLY = "too early"
    ADVANCED = "advanced"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Run:
    """How it ended, how many seconds and canary requests after the onset, and when an advance was first called for."""

    end: End
    seconds: float
    requests: int
    advanced: float | None


def play(judge: Judge, scenario: Scenario, recording: Recording, every: float, least: Bound) -> Run:
    """Let a judge watch a rollout until it rolls back.

    Of a healthy canary nothing else ends it: it goes on after an advance, as the rollout would. A bad one that is
    advanced before it is found is missed, if it was bad all along; where it turns bad later, an advance counts only
    once even the fastest judge could have known.
    """
    judge.reset(setting(scenario, recording, every, oracle=judge.name == Oracle.name))
    advanced: float | None = None
    grace = least.seconds if scenario.onset else 0.0
    for i, poll in enumerate(recording.polls):
        decision, t = judge.update(poll), poll["t"]
        if decision == "rollback":
            end = End.TOO_EARLY if scenario.bad and t <= scenario.onset else End.ROLLED_BACK
            requests = int(recording.asked[round(scenario.onset / every) : i + 1].sum())
            return Run(end, t - scenario.onset, requests, advanced)
        if decision == "advance" and advanced is None and t > scenario.onset + grace:
            advanced = t
            if scenario.bad and not scenario.onset:
                return Run(End.ADVANCED, t, 0, advanced)
    return Run(End.OPEN, 0.0, 0, advanced)


def setting(scenario: Scenario, recording: Recording, every: float, *, oracle: bool = False) -> Setting:
    """What is known beforehand; the truth only to the oracle."""
    known: Setting = {
        "edges": scenario.edges,
        "poll_s": every,
        "horizon_s": scenario.horizon,
        "warmup_s": scenario.warm_up,
        "history": recording.history,
    }
    if oracle:
        known["oracle"] = truth(scenario, every)
    return known


def truth(scenario: Scenario, every: float) -> Truth:
    """What a scenario's regression is, as well as counts can tell: of a latency, by the edge that tells most."""
    if scenario.tail is None:
        rate = bad_rate(scenario, every) if scenario.bad else 2 * LIMIT
        return {"onset": scenario.onset, "p1": rate, "theta": LIMIT, "v": None}
    bad = at(scenario.canary_latency, scenario.onset + every)
    least = FACTOR * quantile(USUAL, 0.99)
    best, told = -1.0, (0, 0.0, 0.0)
    for i, edge in enumerate(scenario.edges):
        allowed, rate = min(LIMIT, 1 - upto(slowed(USUAL, FACTOR), edge)), 1 - upto(bad, edge)
        if edge >= least * 0.99 and 1e-6 < allowed < rate < 1 and divergence(rate, allowed) > best:
            best, told = divergence(rate, allowed), (i, rate, allowed)
    edge_index, rate, allowed = told
    return {"onset": scenario.onset, "p1": rate, "theta": allowed, "v": edge_index}
