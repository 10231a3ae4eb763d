"""What did a rollout's judge get to see, and what came of it?

A recording is lines, one a sample, in the order in which things happened: to be judged again, by the same criteria or
by others. It holds no secret and needs no records beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args

from interlock.core.criteria import Criteria
from interlock.core.judge import Baseline
from interlock.core.phase import Phase
from interlock.core.record import plain, restore
from interlock.core.sample import Sample, Side
from interlock.core.steps import Step
from interlock.core.weight import Weight

FORMAT = 1

_APART = 1e-6  # seconds: what happened in one instant keeps its order


class RecordingError(ValueError):
    """What was given is no recording; the message says where, what was expected, and what to do."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The first line: of which rollout, by which steps and criteria, and what was known of stable before.

    `planned` samples were expected; `stable` is what was counted of the old revision in this rollout until then.
    """

    format: int
    rollout: str
    run: str
    service: str
    version: str
    environment: str
    replaces: str | None
    at: datetime
    steps: tuple[Step, ...]
    criteria: Criteria
    baseline: Baseline | None
    planned: int
    stable: Side = Side()


@dataclass(frozen=True, slots=True)
class Weighted:
    """A weight was observed in force, by the step at `index`."""

    at: datetime
    monotonic: float
    boot: str
    index: int
    weight: Weight


@dataclass(frozen=True, slots=True)
class Sampled:
    """The judge got a sample. `concurrent`: stable had enough of the traffic to be compared with."""

    at: datetime
    index: int
    weight: Weight
    concurrent: bool
    sample: Sample


@dataclass(frozen=True, slots=True)
class Loaded:
    """The judge got a sample of synthetic load, sent by the step at `index`; `anew`: nothing of that step came before.

    No request of a user is in it, and none of these is in any `Sampled`.
    """

    at: datetime
    index: int
    anew: bool
    sample: Sample


@dataclass(frozen=True, slots=True)
class Voided:
    """The load of the step at `index` was not what was planned: what it showed in favour counts for nothing."""

    at: datetime
    monotonic: float
    boot: str
    index: int


@dataclass(frozen=True, slots=True)
class Moved:
    """The rollout came to stand at `index`, in this phase; `back`: on the way back. `text` says what moved it."""

    at: datetime
    monotonic: float
    boot: str
    index: int
    phase: Phase
    back: bool
    event: str
    text: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """Another owner took over, and knew the samples up to the one at `last` (None: none), at this weight.

    The watch at `index` had observed so much by then. Of synthetic load it knew the samples up to the one at `loaded`.
    What was recorded since is in the next sample once more.
    """

    at: datetime
    monotonic: float
    boot: str
    index: int
    observed: timedelta
    weight: Weight
    last: float | None
    loaded: float | None = None


Line = Begun | Weighted | Sampled | Loaded | Voided | Moved | Resumed
Judged = Sampled | Loaded | Voided
_KINDS: dict[str, type[Line]] = {kind.__name__: kind for kind in get_args(Line)}


@dataclass(frozen=True, slots=True)
class Recording:
    """One rollout as its judge saw it: lines with the seconds since the first one; `notes` on what is missing.

    The first one is the first weight, or the first sample of a synthetic load that was sent before it.
    """

    name: str
    begun: Begun
    lines: tuple[tuple[float, Line], ...]
    notes: tuple[str, ...] = ()

    @property
    def sampled(self) -> tuple[tuple[float, Sampled], ...]:
        """The samples of users' requests alone, each time covered once."""
        return tuple((seconds, line) for seconds, line in self.judged if isinstance(line, Sampled))

    @property
    def judged(self) -> tuple[tuple[float, Judged], ...]:
        """All that was judged, each time covered once: without what a new owner did not know and saw again."""
        known: list[tuple[float, Judged]] = []
        for seconds, line in self.lines:
            if isinstance(line, Judged):
                known.append((seconds, line))
            elif isinstance(line, Resumed):
                users, loads = _known(known, Sampled, line.last), _known(known, Loaded, line.loaded)
                known = [k for at, k in enumerate(known) if at < (users if isinstance(k[1], Sampled) else loads)]
        return tuple(known)


def of_samples(name: str, samples: Sequence[Sampled], baseline: Baseline | None = None) -> Recording:
    """Return samples that come from elsewhere as a recording of no rollout: without steps, by the default criteria.

    How often they were taken is what most of them say.
    """
    every = sorted(line.sample.covers for line in samples)[len(samples) // 2]
    criteria, at = replace(Criteria(), sample_every=every), samples[0].at - samples[0].sample.covers
    begun = Begun(FORMAT, "", "", "", "", "", None, at, (), criteria, baseline, 1)
    zero = samples[0].sample.monotonic - samples[0].sample.covers.total_seconds()
    return Recording(name, begun, tuple((line.sample.monotonic - zero, line) for line in samples))


def write(line: Line) -> str:
    """Return a line as it is stored."""
    return json.dumps(plain(line), ensure_ascii=False, separators=(",", ":"))


def read(name: str, text: str) -> Recording:
    """Read a recording; raise RecordingError with the line's number. A last line that is torn is left out, and said."""
    lines: list[Line] = []
    notes: list[str] = []
    rows = text.split("\n")
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            lines.append(_line(row))
        except ValueError as problem:
            if number == len(rows):  # the writer ended in the middle of it: what ends in a line feed is whole
                notes.append(f"line {number}, the last one, is torn and was left out")
                break
            raise RecordingError(f"{name}, line {number}: {problem}") from problem
    if not lines or not isinstance(lines[0], Begun):
        raise RecordingError(f'{name}, line 1: expected the beginning of a recording ("kind":"Begun"), found none')
    begun, lines, again = _since_the_judge_began(lines)
    return Recording(name, begun, tuple(_dated(lines)), (*notes, *again))


def _line(row: str) -> Line:
    try:
        record: Any = json.loads(row)
    except ValueError as broken:
        raise ValueError(f"expected a JSON document, found {row[:40]!r}: {broken}") from broken
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind not in _KINDS:
        raise ValueError(f"expected a kind of line ({', '.join(_KINDS)}), found {kind!r}")
    if kind == "Begun" and record.get("format") != FORMAT:
        raise ValueError(f"expected format {FORMAT}, found {record.get('format')!r}: another version has written it")
    return restore(_KINDS[kind], record)


def _since_the_judge_began(lines: Sequence[Line]) -> tuple[Begun, list[Line], list[str]]:
    """Return the last beginning and what came after it: a judge that had lost its memory began anew."""
    first = max(position for position, line in enumerate(lines) if isinstance(line, Begun))
    begun = lines[first]
    assert isinstance(begun, Begun)
    said = f"the judge began anew at {begun.at:%Y-%m-%d %H:%M:%S} UTC: nothing before it counts"
    return begun, list(lines[first + 1 :]), [said] if first else []


def _known(lines: Sequence[tuple[float, Judged]], kind: type[Sampled | Loaded], last: float | None) -> int:
    """Return up to where the new owner knew samples of this kind: all, when its last one is not among them."""
    if last is None:
        return 0
    found = (p for p, (_, line) in enumerate(lines, 1) if isinstance(line, kind) and line.sample.monotonic == last)
    return next(found, len(lines))


def _dated(lines: Iterable[Line]) -> Iterator[tuple[float, Line]]:
    """Give each line its seconds since the first one, over boots too, never twice the same."""
    now, boot, zero = -_APART, "", 0.0
    for line in lines:
        its_boot, monotonic = _place(line)
        if now < 0:
            boot, zero = its_boot, monotonic
        elif its_boot != boot and its_boot and boot:  # of the time in between nothing is known
            boot, zero = its_boot, monotonic - now - _covered(line)
        now = max(monotonic - zero, now + _APART)
        yield now, line


def _place(line: Line) -> tuple[str, float]:
    match line:
        case Sampled(sample=sample) | Loaded(sample=sample):
            return sample.boot, sample.monotonic
        case Weighted() | Voided() | Moved() | Resumed():
            return line.boot, line.monotonic
        case Begun():
            raise AssertionError("a recording has one beginning")


def _covered(line: Line) -> float:
    return line.sample.covers.total_seconds() if isinstance(line, Sampled | Loaded) else 0.0
