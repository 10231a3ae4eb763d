"""How do the rollouts stand, and what do they wait for?"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from interlock.app.agents import approval, waits_for_approval, waits_for_on_call
from interlock.app.endings import ending
from interlock.app.view import View
from interlock.app.waits import waits
from interlock.core.phase import Phase
from interlock.core.rollout import Rollout
from interlock.core.steps import Watch
from interlock.surfaces.mcp.call import Answer, Call, Person
from interlock.surfaces.mcp.quoted import Quoted, quote

LOOK_EVERY = 0.5
MOST = 50
"""Seconds for which `wait_rollout` waits at most: clients give up on a call after a minute."""

RunId = Annotated[str, Field(max_length=200, description="a run (shop-7) or one of its rollouts; empty: the newest")]


class Standing(BaseModel):
    """One environment's rollout as it stands."""

    id: str
    environment: str
    phase: str = Field(description="waiting, progressing, paused, watching, rolling back, or how it ended")
    strategy: str
    version: str
    replaces: str | None = Field(description="the version that it is to replace; null for a first release")
    step: int = Field(description="the present step, from 1")
    steps: int
    step_text: str
    weight: float = Field(description="the wanted share of the traffic on the new version, from 0 to 1")
    going_back: bool
    over: bool
    waits_for: str
    until: datetime | None = Field(description="when it waits no longer, and does what `then` says")
    then: str
    observed_seconds: float
    reason: Quoted | None = Field(description="why it waits, is paused, or goes back")
    unproven: list[Quoted] = Field(description="steps that were passed without proof")
    quarantine: bool = Field(description="whether this version failed its verdict: only a person lets it out")
    by: str
    started: datetime
    since: datetime


class Run(Answer):
    """A run as it stands: one rollout for each environment that it has come to."""

    run: str
    service: str
    version: str
    plan: str
    over: bool
    keeper: bool = Field(description="whether the resident process answers; without it nothing moves")
    rollouts: list[Standing]
    ending: Quoted | None = Field(description="how it ended, once it is over")
    needs: Person | None = Field(description="what a person has to do before it goes on")
    next: str = Field(description="what is best called now")

    def text(self) -> str:
        now = self.rollouts[-1]
        at = f"step {now.step}/{now.steps} {now.step_text}, weight {100 * now.weight:g} %"
        lines = [f"{self.run} ({self.version}): {now.phase} in {now.environment}, {at}"]
        if not self.over and now.waits_for:
            lines.append(f"waits for {now.waits_for}")
        if self.over:
            lines = [f"{self.run} is over: {self.ending}"]
        elif now.reason:
            lines.append(f"because {now.reason}")
        if self.needs:
            lines.append(f"needs a person, who types: {self.needs.command}")
        if not self.keeper and not self.over:
            lines.append("NO KEEPER ANSWERS: nothing moves; have a person run interlock doctor")
        return "\n".join([*lines, f"next: {self.next}"])


class Waited(Run):
    """A run after a wait."""

    waited_seconds: float
    changed: bool = Field(description="whether anything moved while it was waited for")


class Listed(BaseModel):
    """One rollout in a list."""

    id: str
    run: str
    environment: str
    version: str
    phase: str
    by: str
    started: datetime
    reason: Quoted | None


class Rollouts(Answer):
    """The newest rollouts, newest first."""

    rollouts: list[Listed]

    def text(self) -> str:
        lines = [f"{one.id}: {one.version}, {one.phase}, by {one.by}" for one in self.rollouts]
        return "\n".join(lines) or "nothing has been deployed from here yet; begin with check_preconditions"


async def get_rollout(call: Call, rollout: RunId = "") -> Run:
    """Look how a run stands: phase, step, weight, what it waits for, and what a person has to do.

    For how users fare see query_metrics; to wait for what comes next see wait_rollout.
    """
    return run_of(await call.project.glance.view(rollout or None))


async def wait_rollout(
    call: Call,
    rollout: RunId = "",
    timeout_s: Annotated[float, Field(ge=0, le=MOST, description="wait so many seconds at most")] = 30.0,
    until: Annotated[
        Literal["attention", "change", "over"],
        Field(description="attention: it is over, needs a person or goes back; change: it moved at all"),
    ] = "attention",
) -> Waited:
    """Wait until a run is over, needs a person, or goes back, and return how it stands then; call it again and again.

    The rollout goes on whether or not anybody waits. Progress is told while it is waited for.
    """
    begun, first = time.monotonic(), await call.project.glance.view(rollout or None)
    view, left = first, timeout_s
    while left > 0 and not _reached(first, view, until):
        await call.progress(*_progress(view))
        await asyncio.sleep(min(LOOK_EVERY, left))
        view = await call.project.glance.view(first.run)
        left = timeout_s - (time.monotonic() - begun)
    waited = round(time.monotonic() - begun, 3)
    return Waited(**run_of(view).model_dump(), waited_seconds=waited, changed=_place(view) != _place(first))


async def list_rollouts(
    call: Call, limit: Annotated[int, Field(ge=1, le=100, description="so many at most")] = 20
) -> Rollouts:
    """List the newest rollouts, newest first, over or not: which version, where, how it ended, and by whom."""
    found = call.project.glance.newest(limit)
    return Rollouts(
        rollouts=[
            Listed(
                id=one.id,
                run=one.run,
                environment=one.stage.environment,
                version=one.stage.revision.release.version,
                phase=one.phase.value,
                by=one.by,
                started=one.started,
                reason=quote(one.reason, "the journal"),
            )
            for one in found
        ]
    )


def run_of(view: View) -> Run:
    """Return what is told of a run."""
    now = datetime.now(UTC)
    return Run(
        run=view.run,
        service=view.plan.service,
        version=view.plan.version,
        plan=view.plan.hash if not view.rollouts else view.rollouts[0].plan,
        over=view.over,
        keeper=view.keeper,
        rollouts=[_standing(view, one, now) for one in view.rollouts],
        ending=quote(ending(view), "the journal") if view.over else None,
        needs=needs(view.current),
        next=_next(view),
    )


def needs(rollout: Rollout) -> Person | None:
    """Say what a person has to do before the rollout goes on; None where nobody is waited for."""
    if waits_for_approval(rollout):
        why = "it waits for a person's approval; an agent's word is none"
        return Person(why=Quoted(data=why, source="interlock"), command=approval(rollout))
    if waits_for_on_call(rollout):
        why = "somebody on call has to say that they know of it; an agent is nobody on call"
        command = f"interlock acknowledge {rollout.run} --as NAME"
        return Person(why=Quoted(data=why, source="interlock"), command=command)
    return None


def _standing(view: View, one: Rollout, now: datetime) -> Standing:
    wait, old = waits(one, now, view.lasted(one)), one.stage.replaces
    return Standing(
        id=one.id,
        environment=one.stage.environment,
        phase=one.phase.value,
        strategy=one.stage.strategy.value,
        version=one.stage.revision.release.version,
        replaces=old.release.version if old else None,
        step=one.index + 1,
        steps=len(one.way),
        step_text="" if one.next_step is None else str(one.next_step),
        weight=one.weight.share,
        going_back=one.going_back,
        over=one.over,
        waits_for=wait.what,
        until=wait.until,
        then=wait.then,
        observed_seconds=one.observed.total_seconds(),
        reason=quote(one.reason, "the journal"),
        unproven=[Quoted(data=said, source="the journal") for said in one.unproven],
        quarantine=one.quarantine,
        by=one.by,
        started=one.started,
        since=one.since,
    )


def _next(view: View) -> str:
    now = view.current
    if view.over:
        if now.phase is Phase.SUCCEEDED and not view.not_begun:
            return "deployment_report"
        return "incident_report, then deployment_report" if now.going_back else "deployment_report"
    if needs(now):
        return "tell a person the command, then wait_rollout"
    return "wait_rollout"


def _reached(first: View, view: View, until: str) -> bool:
    if view.over:
        return True
    if until == "change":
        return _place(view) != _place(first)
    return until == "attention" and (needs(view.current) is not None or _turned(view) != _turned(first))


def _turned(view: View) -> int:
    return sum(one.going_back for one in view.rollouts)


def _place(view: View) -> object:
    now = view.current
    return (now.id, now.phase, now.index, now.turned_at, now.over, needs(now) is None)


def _progress(view: View) -> tuple[float, float | None, str]:
    """Return steps done of all, with the part of a watch that was seen, and what goes on."""
    now, step = view.current, view.current.next_step
    part = 0.0
    if isinstance(step, Watch) and step.duration:
        part = min(0.99, now.observed / step.duration)
    return now.index + part, float(len(now.way)), f"{now.phase.value} in {now.stage.environment}: {step}"
