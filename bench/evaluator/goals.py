"""Does Interlock's judge reach what was set for it?

The goals hold at a poll every 5 s unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.evaluator.measure import Results, Runs, interval
from bench.evaluator.play import OURS
from bench.evaluator.scenarios import SCENARIOS
from bench.evaluator.traps import Outcome

USUAL, LONG, SHORT = 5.0, 10.0, 2.0
"""Seconds between polls."""

LONG_BURSTS = "overdisp. hidden 0.9%"
"""Bursts of 10 s that only the canary has: a poll must be as long, so this one is judged at 10 s."""

FAST = "0.5->2% 200rps"
TWICE = ("0.5->2%", "0.5->2% 200rps", "low 5rps 0.5->2%", "ramp 1..50% 0.5->2%", "even split 0.5->2%")
THRICE = ("0.5->3%", "late 450s 0.5->3%", "0.1->5%", "overdispersed 0.5->5%", "gaps 0.5->5%", "sides in turns 0.5->5%")
OVERHEADS = (
    ("0.5->2%", 1.5, 1.4),
    ("0.1->5%", 2.7, 2.2),
    ("latency x2.5", 1.6, 1.4),
    ("latency bimodal 5%x10", 2.0, 1.7),
    ("late 450s 0.5->3%", 3.3, 3.0),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached: at most `must`, better `stretch`; `measured` is None if it was not. All in `unit`."""

    what: str
    must: float
    stretch: float | None
    measured: float | None
    unit: str = ""
    note: str = ""

    @property
    def missed(self) -> bool:
        return self.measured is not None and self.measured > self.must

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        if self.missed:
            return "NOT MET"
        return "stretch met" if self.stretch is not None and self.measured <= self.stretch else "met"


def goals(results: Results, traps: Sequence[Outcome], seeds: tuple[int, ...]) -> list[Goal]:
    """Measure all goals, over all seeds together."""
    return [
        _false_rollbacks(results, seeds),
        *_overheads(results, seeds),
        *_speed(results, seeds),
        *_missed(results, seeds),
        *_proofs(results, seeds),
        Goal("traps failed, of 28", 0, None, sum(not t.passed for t in traps) if traps else None),
        Goal("CPU per sample", 50, 30, results.microseconds.get(OURS), "µs"),
    ]


def healthy(results: Results, seeds: tuple[int, ...]) -> Iterator[Runs]:
    """Our runs of each healthy scenario, at the interval at which the promise is given."""
    for scenario in (s for s in SCENARIOS.values() if not s.bad):
        runs = results.of(OURS, scenario.name, LONG if scenario.name == LONG_BURSTS else USUAL, *seeds)
        if runs is not None:
            yield runs


def _false_rollbacks(results: Results, seeds: tuple[int, ...]) -> Goal:
    worst = max(healthy(results, seeds), key=lambda r: r.false / r.count, default=None)
    if worst is None:
        return Goal("false rollbacks, worst healthy scenario", 1.0, None, None, "%")
    low, high = interval(worst.false, worst.count)
    note = f"{worst.scenario.name}: {worst.false} of {worst.count}, 95 %: {100 * low:.2f} to {100 * high:.2f} %"
    return Goal("false rollbacks, worst healthy scenario", 1.0, None, 100 * worst.false / worst.count, "%", note)


def _overheads(results: Results, seeds: tuple[int, ...]) -> Iterator[Goal]:
    for name, must, stretch in OVERHEADS:
        runs = results.of(OURS, name, USUAL, *seeds)
        yield Goal(f"mean requests / bound, {name}", must, stretch, None if runs is None else runs.overhead)


def _speed(results: Results, seeds: tuple[int, ...]) -> Iterator[Goal]:
    for every, must in ((USUAL, 45), (SHORT, 20)):
        runs = results.of(OURS, FAST, every, *seeds)
        what = f"{FAST}, a sample each {every:g} s: median"
        yield Goal(what, must, None, None if runs is None else runs.seconds(0.5), "s")
    runs = results.of(OURS, "0->100%", USUAL, *seeds)
    yield Goal("total failure, one sample: p95", USUAL, None, None if runs is None else runs.seconds(0.95), "s")
    runs = results.of(OURS, "low 0.1rps 0->100%", USUAL, *seeds)
    requests = None if runs is None else runs.requests(0.95)
    yield Goal("total failure, 0.1 requests/s: p95", 6, None, requests, "requests")


def _missed(results: Results, seeds: tuple[int, ...]) -> Iterator[Goal]:
    for what, names, must in (("twice", TWICE, 5.0), ("three times and more", THRICE, 1.0)):
        runs = [r for name in names if (r := results.of(OURS, name, USUAL, *seeds)) is not None]
        worst = max(runs, key=lambda r: r.missed, default=None)
        note = "" if worst is None else f"worst of {len(runs)}: {worst.scenario.name}, {worst.count} runs"
        measured = None if worst is None else 100 * worst.missed
        yield Goal(f"advanced while bad, {what} the limit", must, None, measured, "%", note)


def _proofs(results: Results, seeds: tuple[int, ...]) -> Iterator[Goal]:
    for rate, must in (("0.5", 70), ("0.9", 150)):
        runs = results.of(OURS, f"ok base {rate}%", USUAL, *seeds)
        what = f"healthy {rate} %, 10 requests/s: median proof"
        yield Goal(what, must, None, None if runs is None else runs.proven(0.5), "s")
