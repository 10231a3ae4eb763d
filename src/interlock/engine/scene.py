"""On what does a step act, and how does it say what came of it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from interlock.core.events import Done, Failed, Held, Observed
from interlock.core.rollout import Rollout
from interlock.core.steps import spell
from interlock.engine.guard import Guard
from interlock.engine.ports import Deadline, Ports
from interlock.engine.puller import Puller
from interlock.engine.sentinel import Sentinel
from interlock.ports.traffic import TrafficError

T = TypeVar("T")

SOON = timedelta(milliseconds=50)
LATER = timedelta(milliseconds=500)
CALL_WITHIN = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step, for the table (`event`) and for the journal (`data`)."""

    event: Done | Failed
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    """One rollout and its world. `tell` takes what happens on the way: waiting, time observed.

    `trouble` is what last kept a step from being done, `counted_from` the sample from which recovery is watched.
    """

    ports: Ports
    sentinel: Sentinel
    guard: Guard
    puller: Puller
    rollout: Callable[[], Rollout]
    tell: Callable[[Held | Observed], None]
    trouble: str = ""
    counted_from: int = 0

    def done(self, note: str, data: Mapping[str, Any] | None = None) -> Outcome:
        """Say that the present step reached its state."""
        return Outcome(Done(self.ports.clock.now(), self.rollout().index, note), data or {})

    def failed(self, reason: str, data: Mapping[str, Any] | None = None, *, quarantine: bool = False) -> Outcome:
        """Say that it did not; `quarantine` when that is the release's own fault."""
        return Outcome(Failed(self.ports.clock.now(), self.rollout().index, reason, quarantine), data or {})

    def left(self, within: timedelta) -> timedelta:
        """Return what is left of so long, counted from when the present step, or the pause, began: also by others."""
        return max(timedelta(0), within - self.sentinel.lasted)

    def deadline(self, within: timedelta) -> Deadline:
        """Return the end of what is left."""
        return Deadline.after(self.ports.clock, self.left(within))

    def hold(self, reason: str) -> None:
        """Say what the step waits for."""
        self.tell(Held(self.ports.clock.now(), self.rollout().index, reason))

    def unsure(self) -> str:
        """Say what must be known, or be otherwise, before more traffic may go to the new revision."""
        sentinel = self.sentinel
        found = sentinel.trouble or sentinel.share.impossible or (sentinel.unseen if sentinel.judged else "")
        return found or self.guard.closed


async def bounded(call: Awaitable[T]) -> T:
    """Await what asks ports; one that never answers is one that refused."""
    try:
        async with asyncio.timeout(CALL_WITHIN.total_seconds()):
            return await call
    except TimeoutError:
        raise TrafficError(f"no answer within {spell(CALL_WITHIN)}") from None
