"""What has changed in a run since we last looked, as lines that are never redrawn?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from interlock.app.view import View
from interlock.app.words import brief, number, odds, percent
from interlock.core.phase import Phase
from interlock.core.rollout import Rollout
from interlock.core.steps import Load, Until, Watch, spell
from interlock.ports.store import Entry

PROGRESS_EVERY = timedelta(seconds=60)
"""How often a watch that goes on is worth a line: often enough for what ends a silent job."""

MOVES = frozenset({"began", "done", "failed", "turned", "retracted", "ended"})
"""What a line may say before the present step begins; all others are of the step itself."""

ICONS = {
    "began": "→",
    "done": "✔",
    "held": "◔",
    "order": "!",
    "unsafe": "✖",
    "failed": "✖",
    "turned": "←",
    "retracted": "⚑",
    "not begun": "✖",
}


class Way(IntEnum):
    """On which way a rollout is; none is left for one before it."""

    FORWARD = 0
    FLAGS_BACK = 1
    BACK = 2


Place = tuple[Way, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened, for people (`text`) and for programs."""

    at: datetime
    environment: str
    kind: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def for_people(self) -> bool:
        """Whether it says anything that the line of the step that moved a flag does not say."""
        return not (self.kind == "flag" and "index" in self.data)

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.environment:<10} {self.text}"


class Log:
    """Remembers what was said of one run, and says what is new."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}
        self._at_step: dict[str, Place] = {}
        self._reasons: dict[str, str] = {}
        self._progress: datetime | None = None
        self._keeper = True

    def news(self, view: View, now: datetime) -> list[Line]:
        """Return a line for each change since the last call, in the order in which they were written: clocks jump."""
        lines: list[Line] = []
        for rollout in view.rollouts:
            written = self._journal(view, rollout)
            began = self._begun(view, rollout, now)
            at = max((place for place, line in enumerate(written, 1) if line.kind in MOVES), default=0)
            lines += [*written[:at], *began, *written[at:], *self._held(rollout, now)]
        return [*lines, *self._keeper_line(view, now), *self._watched(view, now, quiet=not lines)]

    def journal(self, view: View) -> list[Line]:
        """Return what the records say, oldest first, and nothing of how it stands just now."""
        return [line for rollout in view.rollouts for line in self._journal(view, rollout)]

    def _journal(self, view: View, rollout: Rollout) -> list[Line]:
        entries = view.entries.get(rollout.id, ())
        said = self._said.get(rollout.id, 0)
        if entries:
            self._said[rollout.id] = entries[-1].seq
        fresh = [entry for entry in entries if entry.seq > said]
        for entry in fresh:
            if entry.kind == "held":
                self._reasons[rollout.id] = entry.text
        return [_entry(rollout, entry, _way_of(entries, entry)) for entry in fresh]

    def _begun(self, view: View, rollout: Rollout, now: datetime) -> list[Line]:
        """Say which step began, when it lasts long enough to be seen and the journal does not say yet how it ended."""
        place = (_way(rollout), rollout.index)
        if rollout.over or self._at_step.get(rollout.id) == place:
            return []
        self._at_step[rollout.id] = place
        self._progress = now
        if _passed(view.entries.get(rollout.id, ()), place):
            return []
        text = f"→ {_place(rollout, rollout.index, _way(rollout))} {rollout.next_step}"
        return [Line(rollout.step_since, rollout.stage.environment, "step", text, {"index": rollout.index})]

    def _held(self, rollout: Rollout, now: datetime) -> list[Line]:
        """Say what the rollout is held by, when the journal does not."""
        if rollout.over:
            return []
        lines = []
        held = rollout.reason and not rollout.going_back and rollout.phase is not Phase.PAUSED
        if held and _gist(self._reasons.get(rollout.id, "")) != _gist(rollout.reason):
            lines.append(Line(now, rollout.stage.environment, "waits", f"◔ {rollout.reason}"))
        self._reasons[rollout.id] = rollout.reason
        return lines

    def _keeper_line(self, view: View, now: datetime) -> list[Line]:
        if view.keeper == self._keeper or view.over:
            return []
        self._keeper = view.keeper
        text = "✔ a keeper answers again" if view.keeper else "✖ no keeper answers: the rollout stands still"
        return [Line(now, view.current.stage.environment, "keeper", text, {"answers": view.keeper})]

    def _watched(self, view: View, now: datetime, *, quiet: bool) -> list[Line]:
        rollout, step = view.current, view.current.next_step
        due = self._progress is None or now - self._progress >= PROGRESS_EVERY
        if not (quiet and due) or not isinstance(step, (Watch, Load)) or not view.keeper:
            return []
        self._progress = now
        return [Line(now, rollout.stage.environment, "progress", f"◌ {progress(view, rollout, step, now)}")]


def _passed(entries: Sequence[Entry], place: Place) -> bool:
    """Whether the journal, which was read after the keeper was asked, says that this step has ended."""
    way, index = place
    on = Way.FORWARD
    for entry in entries:
        at = entry.data.get("index")
        if entry.kind in ("done", "failed") and on is way and isinstance(at, int) and at >= index:
            return True
        on = _turned(on, entry)
    return on > way


def _way(rollout: Rollout) -> Way:
    if rollout.going_back:
        return Way.BACK
    return Way.FORWARD if rollout.retracted_at is None else Way.FLAGS_BACK


def _way_of(entries: Sequence[Entry], one: Entry) -> Way:
    """Return the way that a line of the journal belongs to."""
    on = Way.FORWARD
    for entry in entries:
        if entry.seq >= one.seq:
            break
        on = _turned(on, entry)
    return on


def _turned(on: Way, entry: Entry) -> Way:
    """Return the way after a line of the journal: none is taken again."""
    return max(on, {"retracted": Way.FLAGS_BACK, "turned": Way.BACK}.get(entry.kind, on))


def _gist(reason: str) -> str:
    """What a reason says without its numbers: how much is still missing changes with each sample, and is no news."""
    return re.sub(r"[\d.,]+", "#", reason)


def progress(view: View, rollout: Rollout, step: Watch | Load, now: datetime) -> str:
    """Say how far a watch or a load has come: time, requests, odds."""
    if isinstance(step, Load):
        return _sent(view, rollout, step)
    if step.until in (Until.APPROVED, Until.RECOVERED):
        return f"{step}: for {brief(now - rollout.step_since)}"
    text = f"{brief(rollout.observed)} observed, {spell(step.duration)} wanted"
    live = view.live.get(rollout.id)
    if live is None or rollout.stage.criteria is None:
        return text
    tally = live["tally"]["canary"]
    text += f", {number(tally['completed'])} requests, {number(tally['failed'])} failed"
    points = live["points"]
    if points and points[-1]["canary"][1] is not None:
        text += f", {percent(points[-1]['canary'][1])} now"
    worst = max((f["odds_against"] for f in live["judgement"]["findings"]), default=None)
    least = min((f["odds_for"] for f in live["judgement"]["findings"]), default=None)
    if worst is None or least is None:
        return text
    criteria = rollout.stage.criteria
    proof = f"odds for {odds(least)} of {odds(1 / criteria.beta)}"
    return f"{text}; {proof}, against {odds(worst)} of {odds(1 / criteria.alpha)}"


def _sent(view: View, rollout: Rollout, step: Load) -> str:
    load = (view.live.get(rollout.id) or {}).get("load")
    new = load["step"]["canary"] if load else {"started": 0, "failed": 0}
    sent, failed = number(new["started"]), number(new["failed"])
    return f"{sent} of {number(step.requests)} synthetic requests sent, {failed} failed"


def _entry(rollout: Rollout, entry: Entry, way: Way) -> Line:
    icon = ICONS.get(entry.kind, "•")
    if entry.kind == "ended":
        icon = "✔" if entry.data.get("phase") == "succeeded" else "✖"
    place = ""
    if entry.kind in ("done", "failed") and isinstance(entry.data.get("index"), int):
        place = f"{_place(rollout, entry.data['index'], way)} "
    data = {name: value for name, value in entry.data.items() if name not in ("judgement", "points")}
    text = f"{icon} {place}{entry.text}"
    return Line(entry.at, rollout.stage.environment, entry.kind, text, {**data, "text": entry.text, "seq": entry.seq})


def _place(rollout: Rollout, index: int, way: Way) -> str:
    steps = {Way.FORWARD: rollout.stage.steps, Way.FLAGS_BACK: rollout.stage.retract, Way.BACK: rollout.way_back}[way]
    head = {Way.FORWARD: "", Way.FLAGS_BACK: "flags back ", Way.BACK: "back "}[way]
    return f"{head}{index + 1}/{len(steps)}"
