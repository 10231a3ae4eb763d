"""Where does a rollout stand, and what comes next?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from interlock.core.flag import OFF, Captured
from interlock.core.phase import OVER, Phase
from interlock.core.plan import Stage
from interlock.core.stay import Stay
from interlock.core.steps import (
    ConfirmFlags,
    Drain,
    PullFlags,
    RestoreFlags,
    Retire,
    SetFlag,
    SetWeight,
    Step,
    Until,
    Watch,
)
from interlock.core.weight import ALL, NONE, Weight


@dataclass(frozen=True, slots=True)
class Approval:
    """Who let the rollout go on, bound to the plan and the release that they saw.

    `proven`: by a signature, not by a name alone; `on_call`: they were on call when they did. `index` is the step they
    saw, `expires` is until when their word holds, `channel` is how it came.
    """

    at: datetime
    by: str
    plan: str
    identity: str
    reason: str = ""
    proven: bool = False
    on_call: bool = False
    index: int | None = None
    expires: datetime | None = None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Who of those on call said first that they know of the rollout, when, and by which surface."""

    at: datetime
    by: str
    channel: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A stage of a plan under way: the plan, an index into it, and what is known of how it went.

    `index` counts in `way`: in `stage.steps`, in `stage.retract` while the flags are taken back and the code stays, or
    in `way_back` while going back. `retracted_at` is the step from which the flags were taken back and `retracted` why,
    `turned_at` the one from which it turned back. `observed` is the time that the present watch has seen. `since` is
    when the phase began, `step_since` when the step did, by the wall clock; `stay` counts the same for deadlines.
    `synthetic` says what was proven by requests of our own, not by those of users. `flags` are those that were
    captured, as they stood and as they stand by our doing.
    """

    id: str
    run: str
    plan: str
    stage: Stage
    phase: Phase
    index: int
    started: datetime
    since: datetime
    step_since: datetime
    by: str = ""
    reason: str = ""
    observed: timedelta = timedelta(0)
    turned_at: int | None = None
    quarantine: bool = False
    superseded: bool = False
    approvals: tuple[Approval, ...] = ()
    unproven: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    stay: Stay | None = None
    synthetic: tuple[str, ...] = ()
    acknowledged: Acknowledged | None = None
    flags: tuple[Captured, ...] = ()
    retracted_at: int | None = None
    retracted: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.phase in OVER

    @property
    def going_back(self) -> bool:
        """Whether traffic is on its way back, or is back, on the revision that was there before."""
        return self.turned_at is not None

    @property
    def way(self) -> tuple[Step, ...]:
        """The steps that `index` counts in."""
        if self.going_back:
            return self.way_back
        return self.stage.steps if self.retracted_at is None else self.stage.retract

    @property
    def way_back(self) -> tuple[Step, ...]:
        """The rollback's steps; only what ends the new revision where no user ever reached it.

        Nothing was taken from the revision before then, and no route names the new one: a gate that was closed, or a
        port that was taken, must leave everything as it found it. A flag that was never moved is left alone, too.
        """
        steps, new = self.stage.rollback, self.stage.revision.name
        if self.stage.flag_alone and not self.moved_a_flag:
            return tuple(step for step in steps if isinstance(step, RestoreFlags))
        if not self.moved_a_flag:
            steps = tuple(step for step in steps if not isinstance(step, _FLAGS_BACK))
        if self.exposed:
            return steps
        return tuple(
            step
            for step in steps
            if isinstance(step, _FLAGS_BACK) or (isinstance(step, (Drain, Retire)) and step.revision == new)
        )

    @property
    def next_step(self) -> Step | None:
        """What to do now; None when it is over."""
        return None if self.over else self.way[self.index]

    @property
    def reached(self) -> tuple[Step, ...]:
        """The forward steps begun so far, the present one included."""
        last = self.index if self.turned_at is None else self.turned_at
        return self.stage.steps[: (last if self.retracted_at is None else self.retracted_at) + 1]

    @property
    def exposed(self) -> bool:
        """Whether users may have reached the new revision, or what a flag alone gives them."""
        if self.stage.flag_alone:
            return self.moved_a_flag
        return any(isinstance(step, SetWeight) for step in self.reached)

    @property
    def moved_a_flag(self) -> bool:
        """Whether a flag may stand otherwise than it did before."""
        return any(isinstance(step, SetFlag) for step in self.reached)

    @property
    def retracting(self) -> bool:
        """Whether the flags are on their way back, or are back, while the code stays."""
        return self.retracted_at is not None and not self.going_back

    @property
    def ramping(self) -> bool:
        """Whether a flag is on, or being turned on, with all the traffic on the new revision and the old one warm."""
        up = any(isinstance(step, SetFlag) and step.percentage > OFF for step in self.reached)
        return up and self.weight == ALL and isinstance(self.next_step, (SetFlag, Watch))

    @property
    def pulling(self) -> bool:
        """Whether, on the way back, flags are still to be off: commanded, and not all confirmed."""
        return self.going_back and any(isinstance(step, ConfirmFlags) for step in self.way[self.index :])

    @property
    def weight(self) -> Weight:
        """The share of the traffic that the new revision is wanted to have now."""
        if self.stage.flag_alone:
            return ALL
        if self.going_back and any(isinstance(step, SetWeight) for step in self.way_back[: self.index + 1]):
            return NONE
        weights = [step.weight for step in self.reached if isinstance(step, SetWeight)]
        return weights[-1] if weights else NONE


_FLAGS_BACK = (PullFlags, ConfirmFlags, RestoreFlags)


def timed(before: Rollout, after: Rollout, boot: str, monotonic: float) -> Rollout:
    """Return `after` with its stay: a new one at a new step, put off by a pause, taken up again when that ends."""
    stay, paused = before.stay or Stay(boot, monotonic), Phase.PAUSED
    if _place(after) != _place(before):
        return replace(after, stay=Stay(boot, monotonic))
    if after.phase is paused and before.phase is not paused:
        return replace(after, stay=stay.paused(boot, monotonic))
    if before.phase is paused and after.phase is not paused:
        return replace(after, stay=stay.resumed(boot, monotonic))
    return after if after.stay is not None else replace(after, stay=stay)


def _place(rollout: Rollout) -> tuple[int, int | None, int | None, bool]:
    return rollout.index, rollout.turned_at, rollout.retracted_at, rollout.over


def begin(id: str, run: str, plan: str, stage: Stage, at: datetime, by: str = "") -> Rollout:
    """Make the rollout of one stage, at its first step."""
    first = stage.steps[0] if stage.steps else None
    person = isinstance(first, Watch) and first.until is Until.APPROVED
    return Rollout(id, run, plan, stage, Phase.WAITING if person else Phase.PROGRESSING, 0, at, at, at, by)
