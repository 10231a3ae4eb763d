"""What happened in a recording, and what would happen in it under these steps and criteria?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from interlock.core.course import Course, legs, loaded, planned
from interlock.core.criteria import Criteria
from interlock.core.phase import OVER, Phase
from interlock.core.recording import Loaded, Moved, Recording, Resumed, Sampled, Voided, Weighted
from interlock.core.steps import Step, spell
from interlock.core.trial import Happening, Trial, What
from interlock.core.weight import NONE, Weight


@dataclass(frozen=True, slots=True)
class Replayed:
    """What would happen, by which criteria; `notes` say where it rests on samples seen at another weight."""

    criteria: Criteria
    happenings: tuple[Happening, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Happening:
        """How it ends."""
        return self.happenings[-1]


def replay(recording: Recording, criteria: Criteria | None = None, steps: tuple[Step, ...] | None = None) -> Replayed:
    """Judge a recording again, by its own steps and criteria where no others are given.

    Moving from one weight to the next takes as long as it took then, where it was recorded.
    """
    begun = recording.begun
    course = course_of(recording, criteria or begun.criteria, steps or begun.steps)
    trial, last, weight = Trial(course), 0.0, NONE
    for seconds, line in recording.lines:
        match line:
            case Sampled():
                trial.take(seconds, line.sample, line.concurrent, None if line.weight == NONE else line.weight)
                last = seconds
            case Loaded():
                trial.take_load(seconds, line.sample, anew=line.anew)
                last = seconds
            case Voided():
                trial.void_load(seconds)
            case Weighted():
                if line.weight == weight:  # set once more, by another owner
                    trial.weighted_again(seconds, weight)
                weight = line.weight
            case Moved(phase=Phase.PAUSED, index=index):
                trial.pause(seconds, index)
            case Moved(back=False):
                trial.resume(seconds)
            case Resumed():
                trial.taken_over(seconds, line.index, line.observed.total_seconds(), line.last, line.loaded)
            case _:
                pass
        if trial.over:
            break
    trial.end(last)
    return Replayed(course.criteria, tuple(trial.happenings), (*_load_notes(recording, course), *_elsewhere(trial)))


def course_of(recording: Recording, criteria: Criteria, steps: tuple[Step, ...]) -> Course:
    """Lay out the course of a replay; how often samples were taken is what it was, whatever the criteria say."""
    begun = recording.begun
    every = begun.criteria.sample_every
    criteria = replace(criteria, sample_every=every)
    expected = begun.planned if steps == begun.steps else planned(steps, every)
    way, ours = legs(steps, _moving(recording)), loaded(steps, every)
    return Course(way, criteria, expected, begun.baseline, begun.stable, ours)


def what_happened(recording: Recording) -> tuple[Happening, ...]:
    """Return what became of the rollout; nothing for samples that belong to none."""
    return tuple(_then(recording)) if any(isinstance(line, Moved) for _, line in recording.lines) else ()


def _then(recording: Recording) -> Iterator[Happening]:
    watches = sorted(leg.index for leg in legs(recording.begun.steps))
    requests, at, weight, index, held = 0.0, 0.0, NONE, 0, -1
    known: dict[float | None, float] = {None: 0.0}
    for seconds, line in recording.lines:
        at = seconds
        match line:
            case Sampled(sample=sample):
                requests += sample.canary.completed if sample.canary else 0.0
                known[sample.monotonic] = requests
            case Resumed(last=last_known):
                requests = known.get(last_known, requests)
            case Weighted() if line.weight != weight or index not in watches:  # a flag moves at the same weight
                weight = line.weight
                index = next((i for i in watches if i >= line.index), line.index)
                yield Happening(seconds, What.WEIGHT, index, weight, requests)
            case Moved(back=True):
                ahead = next((i for i in watches if i >= index), index)
                yield Happening(seconds, _turned(line), ahead, weight, requests, line.text)
                return
            case Moved(event="held") if held != index:
                held = index
                yield Happening(seconds, What.HELD, index, weight, requests, line.text)
            case Moved() if (line.index > index or line.phase in OVER) and index in watches:
                last = index == watches[-1]
                what = What.UNPROVEN if line.event in ("unproven", "promote") else What.ADVANCED
                yield Happening(seconds, What.THROUGH if last else what, index, weight, requests, line.text)
                if last:
                    return
                index = line.index
            case _:
                pass
    yield Happening(at, What.UNDECIDED, index, weight, requests, "the recording ends here")


def _turned(line: Moved) -> What:
    if line.event in ("abort", "supersede"):
        return What.ABORTED
    return What.NO_PROOF if line.event in ("failed", "blind") else What.ROLLED_BACK


def _moving(recording: Recording) -> dict[Weight, tuple[float, float]]:
    """Return, by weight, how long it took to be in force, from the sample before on, and then to be watched."""
    watched = {leg.index: leg.weight for leg in legs(recording.begun.steps)}
    ready: dict[Weight, float] = {}
    verified: dict[Weight, float] = {}
    left = sample_at = weight_at = 0.0
    index = -1
    for seconds, line in recording.lines:
        match line:
            case Sampled():
                sample_at = seconds
            case Weighted():
                if line.weight not in ready:
                    weight_at, ready[line.weight] = seconds, seconds - left
            case Moved(back=False) if line.index != index:
                if index in watched:
                    left = sample_at
                if line.index in watched:
                    verified.setdefault(watched[line.index], seconds - weight_at)
                index = line.index
            case _:
                pass
    if index not in watched and (ahead := [i for i in sorted(watched) if i > index]) and recording.lines:
        # It ended on the way to this weight: not before its end is it in force.
        ready.setdefault(watched[ahead[0]], recording.lines[-1][0] - left)
    return {weight: (ready[weight], verified.get(weight, 0.0)) for weight in ready}


def _load_notes(recording: Recording, course: Course) -> Iterator[str]:
    """Say where synthetic load was recorded and is not planned, or the other way round."""
    recorded = any(isinstance(line, Loaded) for _, line in recording.lines)
    if recorded and course.loaded is None:
        yield "these steps send no synthetic load: the one that was recorded is left out"
    if course.loaded is not None and not recorded:
        yield "these steps send synthetic load, and none was recorded: what it would have shown is not known"


def _elsewhere(trial: Trial) -> Iterator[str]:
    """Say which part of the evidence was seen at another weight than it is taken for."""
    every = trial.criteria.sample_every
    for position, samples in sorted(trial.elsewhere.items()):
        leg = trial.course.legs[position]
        about = timedelta(seconds=round(samples * every.total_seconds()))
        yield f"about {spell(about)} of what is judged at {leg.weight} was recorded at another weight"
