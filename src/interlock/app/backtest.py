"""What would have happened to a rollout of the past, by the present criteria or by others?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path

from interlock.adapters.recordings import prometheus, table
from interlock.adapters.recordings.files import RecordingFiles
from interlock.app.state import StateDirectory
from interlock.app.terms import changed, staged, under, usual_steps
from interlock.config.file import Environment
from interlock.core.criteria import Criteria
from interlock.core.recording import Recording, RecordingError, read
from interlock.core.replay import Replayed, replay, what_happened
from interlock.core.trial import Happening, What
from interlock.ports.recordings import RecordingsError

_AT_ONCE = 1.0
"""Seconds by which a replay may differ: the engine looks once a second."""


class Form(StrEnum):
    """How a recording is written."""

    OURS = "recording"
    PROMETHEUS = "prometheus"
    CSV = "csv"


_ENDINGS = {".json": Form.PROMETHEUS, ".csv": Form.CSV}


@dataclass(frozen=True, slots=True)
class Terms:
    """By what is judged again: an environment of the file, or the recording's own; with single `settings` changed."""

    environment: Environment | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backtest:
    """One recording: what happened `then` (nothing, for samples of no rollout), and what would happen `now`.

    `own`: by its own steps and criteria. `environment` is the one of the file that it was judged by, if one was.
    """

    recording: Recording
    then: tuple[Happening, ...]
    now: Replayed
    own: bool
    environment: str = ""

    @property
    def same(self) -> bool | None:
        """Whether it is the same decision at the same weight and time; None without a decision to compare with."""
        if not self.then or self.then[-1].what in (What.UNDECIDED, What.ABORTED):
            return None
        pairs = list(zip_longest(_decided(self.then), _decided(self.now.happenings)))
        return all(one and other and _alike(one, other) for one, other in pairs)


def find(
    names: Sequence[str], form: Form | None, sides: prometheus.Sides, state: Callable[[], StateDirectory]
) -> list[Recording]:
    """Return the recordings that are meant: files, rollouts, or all rollouts of a run. Raises RecordingError."""
    found: list[Recording] = []
    for name in names:
        path = Path(name)
        if path.is_file() or path.suffix in (*_ENDINGS, ".jsonl") or "/" in name:
            found.append(_from_file(path, form or _ENDINGS.get(path.suffix, Form.OURS), sides))
        else:
            found += _recorded(name, RecordingFiles(state().recordings))
    return found


def backtest(recording: Recording, terms: Terms) -> Backtest:
    """Judge a recording again."""
    begun = recording.begun
    named = terms.environment.name if terms.environment else ""
    if terms.environment is None:
        criteria, steps = changed(begun.criteria, terms.settings), begun.steps or usual_steps()
    else:
        stage = staged(under(terms.environment, terms.settings), _rate(recording))
        criteria, steps = stage.criteria or begun.criteria, stage.steps
    criteria = replace(criteria, sample_every=begun.criteria.sample_every)
    if not begun.rollout:  # what comes from elsewhere has nothing of them
        criteria = replace(criteria, metrics=())
    own = (criteria, steps) == (begun.criteria, begun.steps)
    return Backtest(recording, what_happened(recording), replay(recording, criteria, steps), own, named)


def _rate(recording: Recording) -> float | None:
    """Return how many requests a second both sides had."""
    sides = [side for _, line in recording.sampled for side in (line.sample.canary, line.sample.stable) if side]
    seconds = sum(line.sample.covers.total_seconds() for _, line in recording.sampled)
    return sum(side.completed for side in sides) / seconds if seconds else None


def differences(before: Criteria, after: Criteria) -> tuple[tuple[str, object, object], ...]:
    """Return (name, then, now) of each criterion that is another one."""
    names = sorted(set(Criteria.__dataclass_fields__) - {"sample_every"})
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in names)
    return tuple((name, one, other) for name, one, other in pairs if one != other)


def _from_file(path: Path, form: Form, sides: prometheus.Sides) -> Recording:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as missing:
        raise RecordingError(f"there is no file {path}") from missing
    except UnicodeDecodeError as broken:
        raise RecordingError(f"{path}: expected UTF-8, found something else at byte {broken.start}") from broken
    except OSError as problem:
        raise RecordingError(f"{path} cannot be read: {problem.strerror}") from problem
    match form:
        case Form.PROMETHEUS:
            return prometheus.read(str(path), text, sides)
        case Form.CSV:
            return table.read(str(path), text)
    return read(str(path), text)


def _recorded(name: str, recordings: RecordingFiles) -> list[Recording]:
    known = recordings.names()
    mine = [one for one in known if one == name] or sorted(one for one in known if one.rpartition("-")[0] == name)
    if not mine:
        newest = f"; the newest are {', '.join(known[:8])}" if known else ": nothing was recorded here yet"
        raise RecordingError(f"there is no recording {name}{newest}")
    try:
        return [read(one, recordings.read(one)) for one in mine]
    except RecordingsError as problem:
        raise RecordingError(str(problem)) from problem


def _decided(happenings: Sequence[Happening]) -> list[Happening]:
    return [one for one in happenings if one.what not in (What.WEIGHT, What.HELD)]


def _alike(one: Happening, other: Happening) -> bool:
    same = (one.what, one.weight) == (other.what, other.weight)
    return same and abs(one.seconds - other.seconds) <= _AT_ONCE
