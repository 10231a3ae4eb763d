"""How is a run moved: on, held, or back?"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from interlock.app.back import Way
from interlock.core.events import OrderKind
from interlock.surfaces.mcp.call import Call, Change
from interlock.surfaces.mcp.plans import Key
from interlock.surfaces.mcp.rollouts import RunId

Reason = Annotated[str, Field(max_length=500, description="why, for the record")]
Spoken = Annotated[str, Field(min_length=3, max_length=500, description="why, for the record; it stands in the report")]


class Ordered(Change):
    """What an order did."""

    order: str = ""
    rollout: str = ""
    run: str = ""
    phase: str = ""
    step: int = 0
    steps: int = 0
    step_text: str = ""

    def said(self) -> str:
        at = f"step {self.step}/{self.steps} {self.step_text}" if self.step_text else "no step left"
        return f"{self.order}: {self.rollout} is {self.phase}, {at}. next: wait_rollout({self.run})"


class Returned(Change):
    """How it is gone back."""

    turned: str = Field("", description="the rollout that was under way and turns round")
    run: str = Field("", description="the run that brings the earlier release back, where one was needed")
    version: str = Field("", description="the release that is brought back by that run")

    def said(self) -> str:
        turns = f"{self.turned} goes back" if self.turned else ""
        brings = f"{self.run} brings {self.version} back" if self.run else ""
        would = f"{self.version} would be brought back" if self.version and not self.run else ""
        said = " and ".join(filter(None, (turns, brings, would)))
        return f"{said}. next: wait_rollout until it is over, then get_rollout to see that it worked"


async def promote(call: Call, reason: Spoken, rollout: RunId = "") -> Ordered:
    """End the present watch without proof. Refused to agents unless the file lets them, and never an approval.

    To wait for the proof is what is nearly always wanted: wait_rollout.
    """
    return await _ordered(call, OrderKind.PROMOTE, rollout, reason)


async def pause(call: Call, rollout: RunId = "", reason: Reason = "") -> Ordered:
    """Hold a run where it is; safety goes on watching it, and after a day it goes back."""
    return await _ordered(call, OrderKind.PAUSE, rollout, reason)


async def resume(call: Call, rollout: RunId = "", reason: Reason = "") -> Ordered:
    """Let a run go on that an agent has paused; what a person has paused a person resumes."""
    return await _ordered(call, OrderKind.RESUME, rollout, reason)


async def abort(call: Call, rollout: RunId = "", reason: Reason = "") -> Ordered:
    """Take back what is under way, now: flags first, then the traffic. Legal in every phase; quarantines nothing."""
    return await _ordered(call, OrderKind.ABORT, rollout, reason)


async def rollback(
    call: Call,
    version: Annotated[str, Field(max_length=300, description="a release proven earlier; empty: the one before")] = "",
    reason: Reason = "",
    key: Key = "",
) -> Returned:
    """Go back to an earlier release, also after the end: what is under way turns round, or a proven one comes back.

    Never held by a gate, a window or a person.
    """
    went = await call.desk.rollback(version or None, reason, key)
    call.project.glance.forget()
    dry = call.project.limits.dry_run
    return Returned(
        outcome="dry_run" if dry else "done",
        turned="" if went.way is Way.PLAN else went.turned,
        run=went.run,
        version=went.version,
    )


async def _ordered(call: Call, kind: OrderKind, rollout: str, reason: str) -> Ordered:
    view, after = await call.desk.order(kind, rollout or None, reason)
    call.project.glance.forget()
    return Ordered(
        outcome="dry_run" if after is view.current and call.project.limits.dry_run else "done",
        order=kind.value,
        rollout=after.id,
        run=view.run,
        phase=after.phase.value,
        step=after.index + 1,
        steps=len(after.way),
        step_text="" if after.next_step is None else str(after.next_step),
    )
