"""What comes out when many rollouts of every scenario are judged by many judges?

Rollouts are independent of one another, so all cores work on them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, exp, inf, lgamma, log
from multiprocessing import get_context
from typing import TypeVar

from bench.evaluator.bound import Bound, bound
from bench.evaluator.play import JUDGES, End, Run, play, setting
from bench.evaluator.scenarios import SCENARIOS, Scenario
from bench.evaluator.traffic import record
from bench.judge import Judge as Ours

T = TypeVar("T")

_AT_ONCE = 25  # runs a process takes at a time


@dataclass(frozen=True, slots=True)
class Series:
    """A series of rollouts: at a poll every so many seconds and a seed; `runs` for each scenario and judge by name."""

    every: float
    seed: int
    runs: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Key:
    """Which runs: of whom, where, at which interval and seed."""

    judge: str
    scenario: str
    every: float
    seed: int


@dataclass(frozen=True, slots=True)
class Runs:
    """How one judge ended many rollouts of one scenario."""

    scenario: Scenario
    every: float
    runs: tuple[Run, ...]

    @property
    def count(self) -> int:
        return len(self.runs)

    @property
    def bound(self) -> Bound:
        return bound(self.scenario, self.every)

    def share(self, *ends: End) -> float:
        """Share of the runs, 0 to 1, that ended so."""
        return self.ended(*ends) / self.count

    def ended(self, *ends: End) -> int:
        return sum(r.end in ends for r in self.runs)

    @property
    def false(self) -> int:
        """Runs that were rolled back while nothing was wrong."""
        return self.ended(End.TOO_EARLY) + (0 if self.scenario.bad else self.ended(End.ROLLED_BACK))

    @property
    def missed(self) -> float:
        """Share of the runs, 0 to 1, in which an advance was called for while the canary was bad."""
        return sum(r.advanced is not None and r.end is not End.TOO_EARLY for r in self.runs) / self.count

    @property
    def found(self) -> list[Run]:
        return [r for r in self.runs if r.end is End.ROLLED_BACK]

    @property
    def overhead(self) -> float:
        """Mean canary requests until a rollback, of those found, by the least possible; infinite if none is."""
        found = self.found
        return sum(r.requests for r in found) / len(found) / self.bound.requests if found else inf

    def requests(self, q: float) -> float:
        """Canary requests until a rollback, by quantile; runs that were not found count as infinite."""
        return quantile([r.requests for r in self.found], self.count, q)

    def seconds(self, q: float) -> float:
        """Seconds until a rollback, by quantile."""
        return quantile([r.seconds for r in self.found], self.count, q)

    def proven(self, q: float) -> float:
        """Seconds until an advance is first called for, by quantile."""
        return quantile([r.advanced for r in self.runs if r.advanced is not None], self.count, q)


@dataclass(slots=True)
class Results:
    """All runs, the microseconds of CPU each judge takes for a sample, and how many seconds all of it took.

    `conversion` is what the bench takes to turn its counts into a sample of ours, which is in no judge's figure.
    """

    runs: dict[Key, Runs] = field(default_factory=dict)
    microseconds: dict[str, float] = field(default_factory=dict)
    conversion: float = 0.0
    seconds: float = 0.0

    def of(self, judge: str, scenario: str, every: float, *seeds: int) -> Runs | None:
        """Return the runs of these seeds together, or None if there are none."""
        parts = [r for seed in seeds if (r := self.runs.get(Key(judge, scenario, every, seed))) is not None]
        return Runs(parts[0].scenario, every, tuple(r for p in parts for r in p.runs)) if parts else None


@dataclass(frozen=True, slots=True)
class Task:
    """Some runs of one scenario, from `first` until before `last`; each judge takes part in so many of all."""

    scenario: str
    every: float
    seed: int
    first: int
    last: int
    runs: Mapping[str, int]


Done = tuple[Task, dict[str, list[Run]]]


def measure(series: Iterable[Series], progress: Callable[[Iterator[Done], int], Iterable[Done]]) -> Results:
    """Play all series on all cores; `progress` is told how many parts there are, and hands them through."""
    tasks, since = list(_tasks(series)), time.monotonic()
    collected: dict[Key, list[tuple[int, list[Run]]]] = {}
    results = Results()
    with get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        for task, runs in progress(pool.imap_unordered(work, tasks), len(tasks)):
            for judge, some in runs.items():
                key = Key(judge, task.scenario, task.every, task.seed)
                collected.setdefault(key, []).append((task.first, some))
    for key, parts in collected.items():
        runs_of_key = tuple(r for _, some in sorted(parts, key=lambda p: p[0]) for r in some)
        results.runs[key] = Runs(SCENARIOS[key.scenario], key.every, runs_of_key)
    results.microseconds = {judge: microseconds(judge) for judge in JUDGES}
    results.conversion = conversion()
    results.seconds = time.monotonic() - since
    return results


def _tasks(series: Iterable[Series]) -> Iterator[Task]:
    for part in series:
        for scenario, runs in part.runs.items():
            most = max(runs.values())
            for first in range(0, most, _AT_ONCE):
                yield Task(scenario, part.every, part.seed, first, min(most, first + _AT_ONCE), runs)


def work(task: Task) -> Done:
    """Draw the task's rollouts and let all its judges watch each of them."""
    scenario = SCENARIOS[task.scenario]
    judges = {name: JUDGES[name]() for name in task.runs}
    least = bound(scenario, task.every)
    runs: dict[str, list[Run]] = {name: [] for name in judges}
    for number in range(task.first, task.last):
        recording = record(scenario, task.seed, number, task.every)
        for name, judge in judges.items():
            if number < task.runs[name]:
                runs[name].append(play(judge, scenario, recording, task.every, least))
    return task, {n: r for n, r in runs.items() if r}


def microseconds(judge: str, scenario: str = "ok base 0.1%", every: float = 5.0, times: int = 9) -> float:
    """Return the CPU time a judge takes for one sample, with all its bookkeeping: the least of several rollouts.

    What others do on the machine can only add to it. Ours is given samples, as by the engine: making them of the
    bench's counts is no judge's work.
    """
    watched = SCENARIOS[scenario]
    recording, rule = record(watched, 0, 0, every), JUDGES[judge]()
    known = setting(watched, recording, every, oracle=True)
    rule.reset(known)
    if isinstance(rule, Ours):
        return _least(lambda: rule.reset(known), rule.weigh, [rule.sample(poll) for poll in recording.polls], times)
    return _least(lambda: rule.reset(known), rule.update, recording.polls, times)


def conversion(scenario: str = "ok base 0.1%", every: float = 5.0, times: int = 9) -> float:
    """Return the CPU time, in microseconds, that the bench takes to make one of our samples of its counts."""
    recording, rule = record(SCENARIOS[scenario], 0, 0, every), Ours()
    rule.reset(setting(SCENARIOS[scenario], recording, every, oracle=False))
    return _least(lambda: None, rule.sample, recording.polls, times)


def _least(reset: Callable[[], None], take: Callable[[T], object], given: Sequence[T], times: int) -> float:
    took = []
    for _ in range(times):
        reset()
        since = time.process_time()
        for one in given:
            take(one)
        took.append(time.process_time() - since)
    return 1e6 * min(took) / len(given)


def quantile(values: Iterable[float], count: int, q: float) -> float:
    """The least value that a share q of `count` reaches; those without a value count as infinite."""
    ordered, i = sorted(values), max(0, ceil(q * count) - 1)
    return ordered[i] if i < len(ordered) else inf


def interval(k: int, n: int, error: float = 0.05) -> tuple[float, float]:
    """Between which rates lies that of an event seen k times in n (C. Clopper, E. Pearson, Biometrika 26, 1934)?"""
    low = 0.0 if k == 0 else _bisect(lambda p: 1 - _upto(k - 1, n, p) < error / 2)
    high = 1.0 if k == n else _bisect(lambda p: _upto(k, n, p) > error / 2)
    return low, high


def _upto(k: int, n: int, p: float) -> float:
    """Probability of at most k events in n."""
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 or k >= n else 0.0
    ways = lgamma(n + 1)
    logs = (ways - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log(1 - p) for i in range(k + 1))
    return min(1.0, sum(exp(x) for x in logs))


def _bisect(below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return low
