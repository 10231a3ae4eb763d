"""What is on record of one environment's rollout: which line is about which step, and what was counted?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from interlock.core.judge import Judgement
from interlock.core.load import Tried
from interlock.core.record import restore
from interlock.core.rollout import Rollout
from interlock.core.sample import Side
from interlock.core.steps import SetWeight, Step
from interlock.core.tally import Tally
from interlock.core.weight import NONE, Weight


class Line(Protocol):
    """A line of a rollout's journal: what happened, in words for people and as data for programs."""

    @property
    def at(self) -> datetime: ...
    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Happened:
    """A line of the journal with the step it is about, if it is about one; `back` when that was on the way back.

    `retracting` when only the flags went back then, and the code stayed.
    """

    at: datetime
    kind: str
    text: str
    data: Mapping[str, Any]
    back: bool
    step: Step | None
    place: str
    retracting: bool = False

    @property
    def told_by_its_step(self) -> bool:
        """Whether it is only there for programs: the line of the step that moved a flag says the same."""
        return self.kind == "flag" and "index" in self.data

    @property
    def judgement(self) -> Judgement | None:
        """What the judge said at that moment; None when it was not asked, or another version wrote it."""
        try:
            return restore(Judgement, self.data["judgement"])
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Account:
    """One environment's rollout, all that happened in it, and the requests that were counted.

    `tally` is None when nothing was counted, or when another version counted it. `tried` counts the synthetic requests,
    which are in no other number; None where none were planned.
    """

    rollout: Rollout
    story: tuple[Happened, ...]
    tally: Tally | None
    tried: Tried | None = None

    @classmethod
    def of(cls, rollout: Rollout, lines: Iterable[Line], checkpoint: Mapping[str, Any] | None) -> Account:
        """Read the journal and the last checkpoint (or what is live: `tally` is in both)."""
        try:
            tally = restore(Tally, checkpoint["tally"]) if checkpoint else None
        except (KeyError, ValueError):
            tally = None
        return cls(rollout, _story(rollout, lines), tally, _tried(checkpoint))

    @property
    def environment(self) -> str:
        """Where it took place."""
        return self.rollout.stage.environment

    @property
    def version(self) -> str:
        """What was released."""
        return self.rollout.stage.revision.release.version

    @property
    def old_version(self) -> str | None:
        """What ran before; None before a first release."""
        old = self.rollout.stage.replaces
        return old.release.version if old else None

    @property
    def most(self) -> Weight:
        """The largest share of the traffic that the new revision was given, or was being given."""
        return max((step.weight for step in self.rollout.reached if isinstance(step, SetWeight)), default=NONE)

    @property
    def turned(self) -> Happened | None:
        """When and why it turned back; None when it did not."""
        return next((one for one in self.story if one.kind == "turned"), None)

    @property
    def cause(self) -> Happened | None:
        """The finding, the failure or the order for which it turned back."""
        if self.turned is None:
            return None
        before = self.story[: self.story.index(self.turned)]
        return next((one for one in reversed(before) if one.kind in ("unsafe", "failed", "order")), None)

    def moved(self, *, back: bool) -> tuple[Happened, ...]:
        """The moments in which a weight was observed at the data plane, on the way there or on the way back."""
        return tuple(one for one in self.of_kind("done") if isinstance(one.step, SetWeight) and one.back is back)

    def of_kind(self, *kinds: str) -> tuple[Happened, ...]:
        """All lines of these kinds."""
        return tuple(one for one in self.story if one.kind in kinds)

    @property
    def cut(self) -> tuple[str, ...]:
        """The requests that were under way when their instance was ended, each by name."""
        return tuple(str(name) for one in self.of_kind("done") for name in one.data.get("cut", ()))

    @property
    def beside(self) -> Side | None:
        """The old revision's requests while both were there; None when nothing was counted."""
        return None if self.tally is None else less(self.tally.stable, self.tally.returned)

    @property
    def partly(self) -> Side | None:
        """The new revision's requests before it had all the traffic; None when nothing was counted."""
        return None if self.tally is None else less(self.tally.canary, self.tally.last)

    @property
    def before(self) -> Side | None:
        """The old revision's requests in the hour before the rollout; None when nothing was counted."""
        if self.tally is None:
            return None
        sums = self.tally.before
        return Side(sums.requests, sums.requests, sums.failed, sums.latency)


def _tried(checkpoint: Mapping[str, Any] | None) -> Tried | None:
    load = (checkpoint or {}).get("load")
    try:
        return restore(Tried, load.get("tried", load)) if load else None
    except ValueError:  # another version's
        return None


def less(whole: Side, part: Side) -> Side:
    """Return what is left of the sums of one side without a part of them."""
    latency = {edge: count - part.latency.get(edge, 0.0) for edge, count in whole.latency.items()}
    return Side(
        whole.started - part.started,
        whole.completed - part.completed,
        whole.failed - part.failed,
        {edge: count for edge, count in latency.items() if count > 0},
    )


def _story(rollout: Rollout, lines: Iterable[Line]) -> tuple[Happened, ...]:
    story: list[Happened] = []
    back = retracting = False
    for line in lines:
        step, place = _step(rollout, line, back=back, retracting=retracting)
        story.append(Happened(line.at, line.kind, line.text, line.data, back, step, place, retracting))
        back = back or line.kind == "turned"
        retracting = not back and (retracting or line.kind == "retracted")
    return tuple(story)


def _step(rollout: Rollout, line: Line, *, back: bool, retracting: bool) -> tuple[Step | None, str]:
    """Return the step a line is about, and its number as people count."""
    index = line.data.get("index")
    way = rollout.way_back if back else rollout.stage.retract if retracting else rollout.stage.steps
    if not isinstance(index, int) or not 0 <= index < len(way):
        return None, ""
    return way[index], f"{'back ' if back else 'flags back ' if retracting else ''}{index + 1}/{len(way)}"
