"""By which weights and watches does a stage go, and how long did it take to move between them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from interlock.core.criteria import Criteria
from interlock.core.judge import Baseline, Evidence, begin
from interlock.core.load import of_load
from interlock.core.sample import Side
from interlock.core.steps import Load, SetWeight, Step, Until, Watch
from interlock.core.weight import ALL, NONE, Weight


@dataclass(frozen=True, slots=True)
class Leg:
    """One weight and its watch, which is the step at `index`. `ready`: seconds until the weight is in force, once it is
    wanted; `verified`: seconds from there until it is watched."""

    index: int
    weight: Weight
    watch: Watch
    ready: float = 0.0
    verified: float = 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """All that decides how samples are judged: the legs, the criteria, and what was known of stable beforehand.

    `planned` samples are expected, and `loaded` of synthetic load; None where none is sent.
    """

    legs: tuple[Leg, ...]
    criteria: Criteria
    planned: int
    baseline: Baseline | None = None
    stable: Side = field(default_factory=Side)
    loaded: int | None = None

    def begin(self) -> Evidence:
        """Begin to judge."""
        return begin(self.criteria, self.planned, history=self.baseline)

    def begin_load(self) -> Evidence | None:
        """Begin to judge synthetic load, apart from users' requests."""
        return None if self.loaded is None else begin(of_load(self.criteria), self.loaded)


def legs(steps: tuple[Step, ...], moving: Mapping[Weight, tuple[float, float]] = {}) -> tuple[Leg, ...]:
    """Return the watches of users' traffic among the steps; `moving` has (ready, verified) by weight, in seconds.

    Where no step moves traffic, as in the rollout of a flag alone, all of it is there from the first one on.
    """
    found, weight = [], NONE if any(isinstance(step, SetWeight) for step in steps) else ALL
    for index, step in enumerate(steps):
        if isinstance(step, SetWeight):
            weight = step.weight
        elif isinstance(step, Watch) and weight != NONE and step.until in (Until.PROVEN, Until.QUIET):
            goes_on = isinstance(steps[index - 1], Watch)  # nothing was moved between the two
            found.append(Leg(index, weight, step, *((0.0, 0.0) if goes_on else moving.get(weight, (0.0, 0.0)))))
    return tuple(found)


def planned(steps: tuple[Step, ...], every: timedelta) -> int:
    """Return how many samples the bakes take: the judge's guess of how long it will be asked."""
    shortest = sum((step.duration for step in steps if isinstance(step, Watch)), timedelta(0))
    return max(1, round(shortest / every))


def loads(steps: tuple[Step, ...]) -> dict[Weight, Load]:
    """Return the synthetic load that is sent before each weight, where one is."""
    found: dict[Weight, Load] = {}
    load: Load | None = None
    for step in steps:
        if isinstance(step, Load):
            load = step
        elif isinstance(step, SetWeight) and load is not None:
            found[step.weight], load = load, None
    return found


def loaded(steps: tuple[Step, ...], every: timedelta) -> int | None:
    """Return how many samples the synthetic load takes; None where none is sent."""
    loads = [step.duration for step in steps if isinstance(step, Load)]
    return max(1, round(sum(loads, timedelta(0)) / every)) if loads else None
