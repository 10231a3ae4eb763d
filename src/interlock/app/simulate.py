"""What would the plan do with releases like these, if a thousand of each were rolled out?

The judge and the rules of a watch are the engine's; traffic, and how it fails, is made. Each rollout has a seed of its
own, so that the same call gives the same answer, however many processes share the work.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from math import ceil
from random import Random

from interlock.app.traffic import Latency, Traffic, Users, stables_hour
from interlock.core.course import Course, legs, loaded, loads, planned
from interlock.core.criteria import Criteria
from interlock.core.judge import Baseline, Verdict
from interlock.core.plan import Stage
from interlock.core.steps import Load
from interlock.core.trial import Trial, What
from interlock.core.watching import compared
from interlock.core.weight import NONE, Weight

HOURS = 10
"""So many different hours of stable are drawn beforehand, and rollouts take turns with them."""

_CHUNK = 20
_SOON = 0.001  # seconds after its load a weight is in force
_AT_ONCE = 1.0  # seconds: the sample that is taken at once after a weight step
_NORMAL, _LEAST_ANSWERS = 0.001, 500.0

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of release under one kind of traffic. `bad`: it ought to be taken back."""

    name: str
    users: Users
    bad: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """How one simulated rollout ended: after so many seconds and requests; `proven`: when proof first sufficed."""

    what: What
    seconds: float
    requests: float
    proven: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """How all rollouts of a scenario ended."""

    scenario: Scenario
    ended: tuple[Ended, ...]

    def share(self, *what: What) -> float:
        """Return the share of the rollouts that ended so, 0 to 1."""
        return sum(one.what in what for one in self.ended) / len(self.ended)

    def seconds(self, q: float) -> float:
        """Return a quantile of the time until the end."""
        return _quantile([one.seconds for one in self.ended], q)

    def requests(self, q: float) -> float:
        """Return a quantile of the requests that the release had."""
        return _quantile([one.requests for one in self.ended], q)

    def proven(self, q: float) -> float | None:
        """Return a quantile of the time until the first proof, of those that were proven; None when none was."""
        found = [one.proven for one in self.ended if one.proven is not None]
        return _quantile(found, q) if found else None


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is simulated: a stage's way through scenarios. `latency` is what was measured of stable, if it was."""

    stage: Stage
    scenarios: tuple[Scenario, ...]
    runs: int = 1000
    seed: int = 1
    latency: dict[float, float] = field(default_factory=dict)

    @property
    def criteria(self) -> Criteria:
        """By which criteria the releases are judged: without metrics of one's own, of which no traffic can be made."""
        return replace(self.stage.criteria or Criteria(), metrics=())


def usual(users: Users, criteria: Criteria) -> tuple[Scenario, ...]:
    """Return the scenarios that are run when none is given."""
    same = replace(users, canary_error_rate=users.error_rate)
    twice = min(1.0, 2 * criteria.error_rate)
    return (
        Scenario("healthy", same, bad=False),
        Scenario("twice the limit", replace(same, canary_error_rate=twice), bad=True),
        Scenario("5 % failures", replace(same, canary_error_rate=0.05), bad=criteria.error_rate < 0.05),
        Scenario("2.5 times as slow", replace(same, slower=2.5), bad=criteria.latency_factor < 2.5),
        Scenario("total failure", replace(same, canary_error_rate=1.0), bad=True),
    )


def given(users: Users, criteria: Criteria) -> Scenario:
    """Return the scenario of users as they were given; bad is what is over a limit and worse than stable may be."""
    failing = users.canary_error_rate > max(criteria.error_rate, criteria.stable_ratio * users.error_rate)
    return Scenario("as given", users, bad=failing or users.slower > criteria.latency_factor)


def simulate(simulation: Simulation, processes: int = 1, tell: Told = lambda done, of: None) -> tuple[Result, ...]:
    """Run every scenario; `tell` hears how many rollouts have ended, of how many."""
    ended: dict[str, dict[int, tuple[Ended, ...]]] = {one.name: {} for one in simulation.scenarios}
    done, of = 0, simulation.runs * len(simulation.scenarios)
    for name, first, some in _all(simulation, processes):
        ended[name][first] = some
        done += len(some)
        tell(done, of)
    return tuple(
        Result(one, tuple(e for _, some in sorted(ended[one.name].items()) for e in some))
        for one in simulation.scenarios
    )


Part = tuple[str, int, tuple[Ended, ...]]


def _all(simulation: Simulation, processes: int) -> Iterator[Part]:
    """Yield some rollouts after the other; with several processes in any order."""
    chunks = [
        (replace(simulation, scenarios=(scenario,)), hours, first, min(_CHUNK, simulation.runs - first))
        for scenario in simulation.scenarios
        for hours in [_hours(simulation, scenario)]
        for first in range(0, simulation.runs, _CHUNK)
    ]
    if processes <= 1 or len(chunks) < 2:
        yield from (_some(*chunk) for chunk in chunks)
        return
    # Not by fork: what draws the progress bar is a thread.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        left = {pool.submit(_some, *chunk) for chunk in chunks}
        try:
            while left:
                finished, left = wait(left, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _hours(simulation: Simulation, scenario: Scenario) -> tuple[Baseline, ...]:
    _, stable = _latency(simulation, scenario)
    seeds = (Random(f"{simulation.seed} hour {number}") for number in range(HOURS))
    return tuple(stables_hour(scenario.users, seed, stable) for seed in seeds)


def _latency(simulation: Simulation, scenario: Scenario) -> tuple[Latency, Latency]:
    slower, measured = scenario.users.slower, simulation.latency
    if sum(measured.values()) >= _LEAST_ANSWERS:
        return Latency.measured(measured, slower), Latency.measured(measured, 1.0)
    return Latency.assumed(slower), Latency.assumed(1.0)


def _some(simulation: Simulation, hours: Sequence[Baseline], first: int, runs: int) -> Part:
    (scenario,) = simulation.scenarios
    latency, stage, criteria = _latency(simulation, scenario), simulation.stage, simulation.criteria
    every, sent = criteria.sample_every, loads(stage.steps)
    moving = {weight: (load.duration.total_seconds() + _SOON, 0.0) for weight, load in sent.items()}
    way, expected, ours = legs(stage.steps, moving), planned(stage.steps, every), loaded(stage.steps, every)
    ended = []
    for number in range(first, first + runs):
        random = Random(f"{simulation.seed} {scenario.name} {number}")
        history = hours[number % len(hours)] if stage.replaces else None
        course = Course(way, criteria, expected, history, loaded=ours)
        traffic = Traffic(scenario.users, random, latency)
        ended.append(_run(course, traffic, sent, first_release=stage.replaces is None))
    return scenario.name, first, tuple(ended)


def _run(course: Course, traffic: Traffic, sent: Mapping[Weight, Load], *, first_release: bool) -> Ended:
    """Roll out once; `sent` is the synthetic load before each weight."""
    trial, now, leg = Trial(course, explain=False), 0.0, -1
    every = course.criteria.sample_every.total_seconds()
    while not trial.over:
        weight, index = trial.leg.weight, trial.leg.index
        if index != leg and weight in sent:
            now = _load(trial, traffic, sent[weight], now, every)
            if trial.over:
                break
        covers, leg = (every, leg) if index == leg else (min(_AT_ONCE, every), index)
        now += covers
        trial.take(now, traffic.sample(now, covers, weight), compared(weight) and not first_release)
    last = trial.outcome
    proven = next((seconds for seconds, verdict in trial.verdicts if verdict is Verdict.PASS), None)
    return Ended(last.what, last.seconds, last.requests, proven)


def _load(trial: Trial, traffic: Traffic, load: Load, now: float, every: float) -> float:
    """Send a load before the next weight, while users go on at the present one; return when all is sent."""
    began, weight, lasts = now, trial.weight, load.duration.total_seconds()
    while now < began + lasts and not trial.over:
        covers = min(every, began + lasts - now)
        now, anew = now + covers, now == began
        trial.take_load(now, traffic.load(now, covers, load.rate), anew=anew)
        if weight != NONE:
            trial.take(now, traffic.sample(now, covers, weight), compared(weight))
    return now


def _quantile(values: Iterable[float], q: float) -> float:
    """Return the smallest value that is not exceeded by a share of q."""
    ordered = sorted(values)
    return ordered[max(0, ceil(q * len(ordered)) - 1)]
