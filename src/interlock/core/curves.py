"""How did weight, failures, latency and evidence move while a release was judged?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from interlock.core.judge import Evidence, joint_odds_against
from interlock.core.judge.verdict import deciding
from interlock.core.recording import Loaded, Moved, Recording, Sampled, Voided, Weighted
from interlock.core.replay import course_of
from interlock.core.sample import Side
from interlock.core.steps import SetWeight, Step
from interlock.core.tally import total
from interlock.core.trial import Trial
from interlock.core.weight import NONE, Weight

COLUMNS = 120
"""Neighbouring samples are summed until at most so many points are left: what is drawn must be seen."""

Curve = tuple[tuple[float, float | None], ...]
"""(seconds since the first weight, value); None where there is none."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One rollout over time, in seconds since its first weight was in force, or since a load was sent before it.

    Weights and error rates are from 0 to 1, p99 in ms. Odds: at `rolls_back` the release is taken back, at `proves` a
    step's evidence suffices. `marks` are what moved the rollout.
    """

    wanted: Curve
    observed: Curve
    canary_errors: Curve
    stable_errors: Curve
    canary_p99: Curve
    stable_p99: Curve
    against: Curve
    in_favour: Curve
    rolls_back: float
    proves: float
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def seconds(self) -> float:
        """When it ends."""
        every = (self.wanted, self.observed, self.canary_errors, self.stable_errors, self.against)
        return max((at for curve in every for at, _ in curve), default=0.0)


def curves_of(recording: Recording, returned: datetime | None = None) -> Curves:
    """Return the curves of a recording; the evidence is what the judge makes of it again.

    `returned` is when the journal observed that all traffic was back: on the way back no weight is recorded.
    """
    criteria = recording.begun.criteria
    columns = _columns([(seconds, line) for seconds, line in recording.sampled])
    against, in_favour = _evidence(recording)
    return Curves(
        tuple(_wanted(recording)),
        tuple(_observed(recording, returned)),
        tuple((at, canary.error_rate if canary else None) for at, canary, _ in columns),
        tuple((at, stable.error_rate if stable else None) for at, _, stable in columns),
        tuple((at, _p99(canary)) for at, canary, _ in columns),
        tuple((at, _p99(stable)) for at, _, stable in columns),
        _thinned(against),
        _thinned(in_favour),
        1 / criteria.alpha,
        1 / criteria.beta,
        tuple((at, line.event) for at, line in recording.lines if isinstance(line, Moved) and _tells(line)),
    )


def _tells(line: Moved) -> bool:
    return line.event not in ("done", "observed") or (line.back and line.event == "unsafe")


def _wanted(recording: Recording) -> Iterator[tuple[float, float | None]]:
    last: Weight | None = None
    for seconds, line in recording.lines:
        match line:
            case Moved(back=True):
                weight = NONE
            case Moved(index=index):
                weight = _weight(recording.begun.steps, index)
            case Weighted() if last is None:
                weight = line.weight
            case _:
                continue
        if weight != last:
            last = weight
            yield seconds, weight.points / 10_000
    if last is not None:
        yield _end(recording), last.points / 10_000


def _weight(steps: Sequence[Step], index: int) -> Weight:
    weights = [step.weight for step in steps[: index + 1] if isinstance(step, SetWeight)]
    return weights[-1] if weights else NONE


def _observed(recording: Recording, returned: datetime | None) -> Iterator[tuple[float, float | None]]:
    last = None
    for seconds, line in recording.lines:
        if isinstance(line, Weighted):
            last = line.weight.points / 10_000
            yield seconds, last
    if returned is not None and last is not None:
        last = 0.0
        yield _when(recording, returned), last
    if last is not None:
        yield max(_end(recording), 0.0 if returned is None else _when(recording, returned)), last


def _when(recording: Recording, moment: datetime) -> float:
    """Return a moment in the recording's seconds, by the line nearest before it: clocks jump."""
    before = [(seconds, line.at) for seconds, line in recording.lines if line.at <= moment]
    if not before:
        return 0.0
    seconds, at = before[-1]
    return seconds + (moment - at).total_seconds()


def _end(recording: Recording) -> float:
    return max((seconds for seconds, _ in recording.lines), default=0.0)


def _columns(samples: list[tuple[float, Sampled]]) -> list[tuple[float, Side | None, Side | None]]:
    """Sum neighbouring samples; return (when, canary, stable)."""
    size = max(1, -(-len(samples) // COLUMNS))
    found = []
    for first in range(0, len(samples), size):
        part = samples[first : first + size]
        sides = ([line.sample.canary for _, line in part], [line.sample.stable for _, line in part])
        found.append((part[-1][0], _summed(sides[0]), _summed(sides[1])))
    return found


def _summed(sides: Sequence[Side | None]) -> Side | None:
    found: Side | None = None
    for side in sides:
        if side is not None:
            found = side if found is None else total(found, side)
    return found


def _p99(side: Side | None) -> float | None:
    edge = None if side is None else side.quantile(0.99)
    return edge if edge is not None and isfinite(edge) else None


def _evidence(recording: Recording) -> tuple[list[tuple[float, float | None]], list[tuple[float, float | None]]]:
    """Judge the samples again; return the odds against the release, and the least of those that prove it."""
    begun = recording.begun
    trial = Trial(course_of(recording, begun.criteria, begun.steps), explain=False)
    against: list[tuple[float, float | None]] = []
    in_favour: list[tuple[float, float | None]] = []
    for seconds, line in recording.judged:
        match line:
            case Sampled():
                trial.take(seconds, line.sample, line.concurrent, line.weight)
            case Loaded():
                trial.take_load(seconds, line.sample, anew=line.anew)
            case Voided():
                trial.void_load(seconds)
        against.append((seconds, joint_odds_against(trial.evidence, trial.synthetic)))
        in_favour.append((seconds, max(_least(trial.evidence), _least(trial.synthetic))))
        if trial.over:
            break
    return against, in_favour


def _least(evidence: Evidence | None) -> float:
    """Return the least of the odds that prove it: users' requests do so, or ours where they are sent."""
    return min((one.odds_for for one in deciding(evidence)), default=0.0) if evidence else 0.0


def _thinned(curve: list[tuple[float, float | None]]) -> Curve:
    size = max(1, -(-len(curve) // (2 * COLUMNS)))
    return tuple(point for number, point in enumerate(curve) if number % size == 0 or number == len(curve) - 1)
