"""Which lines of a rollout's journal are news for people, and what must not be left untold?

Everything here follows from the journal alone, so that whoever takes over tells the same under the same keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from interlock.core.account import Account, Happened, Line
from interlock.core.events import OrderKind
from interlock.core.flag import OFF
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.release import fingerprint
from interlock.core.rollout import Rollout
from interlock.core.steps import SetFlag, SetWeight, Step, Until, Watch


class Kind(StrEnum):
    """What kind of news it is; these are also the words of `events` in the file."""

    STARTED = "started"
    WAITING = "waiting"
    HELD = "held"
    ORDERED = "ordered"
    PROMOTED = "promoted"
    FLAG_BACK = "flag-rolled-back"
    TURNED_BACK = "turned-back"
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    DRIFTED = "drifted"


PAGED = frozenset({Kind.WAITING, Kind.FAILED, Kind.STOPPED})
"""What somebody must do something about."""

RED = frozenset({Kind.TURNED_BACK, Kind.FLAG_BACK, Kind.FAILED})
ENDS = frozenset({Kind.ROLLED_BACK, Kind.SUPERSEDED, Kind.SUCCEEDED, Kind.FAILED})
CHATTER = frozenset({Kind.STARTED, Kind.WAITING, Kind.HELD, Kind.ORDERED, Kind.PROMOTED})
"""What is worth nothing any more once something newer is known."""

STALE_AFTER = timedelta(minutes=15)


class Numbered(Line, Protocol):
    """A line of a journal with its number."""

    @property
    def seq(self) -> int: ...


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell. `text` is the journal's; `step` is what it is about, or what is waited for.

    `left_out` is how many earlier ones were not told, as nobody could be reached before they were stale.
    """

    plan: Plan
    rollout: Rollout
    kind: Kind
    seq: int
    at: datetime
    text: str
    step: Step | None = None
    left_out: int = 0

    @property
    def key(self) -> str:
        """The name under which a receiver knows it again: rollout, line, and what tells this machine's from others'."""
        return f"{self.rollout.id}.{self.seq}.{_unique(self.plan, self.rollout.id)}"

    @property
    def thread(self) -> str:
        """The name of the whole deployment's conversation: all environments of a run are one."""
        return f"{self.rollout.run}.{_unique(self.plan, self.rollout.run)}"

    @property
    def first(self) -> bool:
        """Whether a deployment begins with it."""
        return self.seq == 1 and self.rollout.stage.environment == self.plan.stages[0].environment

    @property
    def last_environment(self) -> bool:
        """Whether it is about where users are."""
        return self.rollout.stage.environment == self.plan.stages[-1].environment


def news(plan: Plan, rollout: Rollout, lines: Sequence[Numbered]) -> tuple[News, ...]:
    """Return what a rollout's journal has to tell, in its order; at most one a line."""
    account = Account.of(rollout, lines, None)
    told = ((line.seq, _told(rollout, one)) for line, one in zip(lines, account.story, strict=True))
    return tuple(
        News(plan, rollout, found[0], seq, one.at, one.text, found[1])
        for (seq, found), one in zip(told, account.story, strict=True)
        if found is not None
    )


def wanted(all: Iterable[News], events: Collection[str]) -> tuple[News, ...]:
    """Return those of these kinds (all, when none is named), and whatever ends a trouble that is among them."""
    taken, red = [], False
    for one in all:
        if not events or one.kind in events:
            taken.append(one)
            red = one.kind in RED or (red and one.kind not in ENDS)
        elif red and one.kind in ENDS:
            taken.append(one)
            red = one.kind in RED
    return tuple(taken)


def collapsed(pending: Sequence[News], now: datetime) -> tuple[News, ...]:
    """Return what is still worth telling when the oldest could not be told for long: no chatter but the newest news.

    What is red and what ends it is always told; the first that is told says how many were left out.
    """
    if not pending or now - pending[0].at < STALE_AFTER:
        return tuple(pending)
    kept = [one for one in pending[:-1] if one.kind not in CHATTER] + [pending[-1]]
    return (replace(kept[0], left_out=len(pending) - len(kept)), *kept[1:])


def _told(rollout: Rollout, one: Happened) -> tuple[Kind, Step | None] | None:
    match one.kind:
        case "began":
            return _before(rollout, 0) or (Kind.STARTED, None)
        case "held":
            return Kind.HELD, one.step
        case "turned":
            return Kind.TURNED_BACK, None
        case "retracted":
            return Kind.FLAG_BACK, None
        case "ended":
            return _ENDINGS[Phase(one.data["phase"])], None
        case "not begun":
            return Kind.STOPPED, None
        case "drift":
            return Kind.DRIFTED, None
        case "approved":
            return Kind.ORDERED, one.step
        case "order":
            return _ordered(one)
        case "done" if not one.back and not one.retracting:
            return _done(rollout, one)
    return None


def _done(rollout: Rollout, one: Happened) -> tuple[Kind, Step | None] | None:
    """A step is done: news when people wait next, or when users get more of the new revision, or of a feature."""
    if one.step is None:
        return None
    more = isinstance(one.step, SetWeight) or (isinstance(one.step, SetFlag) and one.step.percentage > OFF)
    promoted = (Kind.PROMOTED, one.step) if more else None
    return _before(rollout, int(one.data["index"]) + 1) or promoted


def _before(rollout: Rollout, index: int) -> tuple[Kind, Step] | None:
    """Say that people are waited for, where the step that comes now waits for them: a release may even begin so."""
    step = rollout.stage.steps[index] if index < len(rollout.stage.steps) else None
    return (Kind.WAITING, step) if isinstance(step, Watch) and step.until is Until.APPROVED else None


def _ordered(one: Happened) -> tuple[Kind, Step | None] | None:
    """An order: to turn back has its own line, but for a rollback that failed and is tried again."""
    match one.data.get("order"):
        case OrderKind.PAUSE:
            return Kind.WAITING, None
        case OrderKind.ABORT if one.back:
            return Kind.ORDERED, None
        case OrderKind.RESUME | OrderKind.APPROVE | OrderKind.PROMOTE | OrderKind.ACKNOWLEDGE:
            return Kind.ORDERED, one.step
    return None


_ENDINGS = {
    Phase.SUCCEEDED: Kind.SUCCEEDED,
    Phase.ROLLED_BACK: Kind.ROLLED_BACK,
    Phase.SUPERSEDED: Kind.SUPERSEDED,
    Phase.FAILED: Kind.FAILED,
}


def _unique(plan: Plan, id: str) -> str:
    """Eight digits that differ for what is called the same elsewhere: rollouts are numbered on each machine."""
    return fingerprint([plan.hash, plan.made_at.isoformat(), id])[:8]
