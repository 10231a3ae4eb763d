"""What does a rollout wait for, since when, until when, what happens then, and who can move it?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.app.words import brief
from interlock.core.phase import Phase
from interlock.core.rollout import Rollout
from interlock.core.steps import (
    CaptureFlags,
    ConfirmFlags,
    Drain,
    Gate,
    GateName,
    Load,
    Migrate,
    SetFlag,
    SetWeight,
    Smoke,
    Start,
    Step,
    Until,
    Watch,
    spell,
)

PAUSED_AT_MOST = timedelta(hours=24)
"""What the engine allows a pause; a test holds the two together."""


@dataclass(frozen=True, slots=True)
class Waits:
    """`earliest` and `until` bound the end of the wait, `then` is what follows at `until`; `orders` are the commands
    that change something now."""

    what: str
    since: datetime | None = None
    earliest: datetime | None = None
    until: datetime | None = None
    then: str = ""
    orders: tuple[str, ...] = ()


def waits(rollout: Rollout, now: datetime, lasted: timedelta | None = None) -> Waits:
    """Say what the rollout waits for. `lasted`: what the engine has counted of its present step, or of its pause.

    Without it, as when no keeper answers, the wall clock must do.
    """
    step = rollout.next_step
    if step is None:
        return Waits("", orders=_afterwards(rollout))
    if rollout.phase is Phase.PAUSED:
        until = rollout.since + PAUSED_AT_MOST if lasted is None else now + PAUSED_AT_MOST - lasted
        return Waits("a person, who paused it", rollout.since, None, until, "goes back", ("resume", "abort"))
    within, then = _within(step), "it gives up and pages" if rollout.going_back else "goes back"
    then = "sends no more" if isinstance(step, Load) else then
    then = "takes the code back too" if rollout.retracting else then
    begun = rollout.step_since if lasted is None else now - lasted
    last = None if within is None else begun + within
    return Waits(_what(rollout, step), rollout.step_since, _earliest(rollout, step, now), last, then, _orders(rollout))


def _what(rollout: Rollout, step: Step) -> str:
    match step:
        case Gate() if _unknown_to_on_call(rollout):
            return "somebody on call, who has to acknowledge it"
        case Gate():
            return str(step)
        case Start(instances=instances):
            return f"{instances} ready instance{'s' if instances > 1 else ''} of {step.revision}"
        case Smoke():
            return f"the smoke tests of {step.revision}"
        case Load(requests=requests):
            return f"{requests:,} synthetic requests to {step.revision} and to {step.beside}"
        case SetWeight(weight=weight):
            return f"{weight} of the traffic on {rollout.stage.revision.name}, observed at the data plane"
        case Watch(until=Until.APPROVED):
            return _whose_approval(rollout)
        case SetFlag():
            return f"{step}, and clients to know of it"
        case ConfirmFlags():
            return f"whoever keeps them to confirm that {', '.join(map(str, step.flags))} is off"
        case Watch(until=Until.RECOVERED):
            return f"health and error rate back to normal for {spell(step.duration)}"
        case Watch(until=Until.PROVEN) if rollout.observed >= step.duration:
            return "proof: enough requests to call the release safe"
        case Watch():
            left = brief(step.duration - rollout.observed)
            return f"{left} more to be observed" + (", and proof" if step.until is Until.PROVEN else "")
        case Drain():
            return f"the requests under way on {step.revision}"
    return str(step)


def _whose_approval(rollout: Rollout) -> str:
    policy = rollout.stage.conditions.approvals
    if policy is None:
        return "a person's approval"
    given = len({one.by for one in rollout.approvals if one.index == rollout.index})
    people = "somebody" if policy.needed == 1 else f"{policy.needed} people"
    so_far = f" ({given} so far)" if given else ""
    return f"the approval of {people}{so_far}, signed by a key that {policy.listed_in} lists"


def _within(step: Step) -> timedelta | None:
    match step:
        case Start(within=within) | Smoke(within=within) | SetWeight(within=within) | Drain(within=within):
            return within
        case CaptureFlags(within=within) | SetFlag(within=within) | ConfirmFlags(within=within):
            return within
        case Load(within=within):
            return within
        case Gate(patience=patience):
            return patience
        case Migrate(migration=migration):
            return migration.timeout
        case Watch(duration=duration, patience=patience):
            return duration + patience
    return None


def _earliest(rollout: Rollout, step: Step, now: datetime) -> datetime | None:
    uncounted = (Until.APPROVED, Until.RECOVERED)
    if not isinstance(step, Watch) or step.until in uncounted or rollout.observed >= step.duration:
        return None
    return now + step.duration - rollout.observed


def _unknown_to_on_call(rollout: Rollout) -> bool:
    """Whether it waits for one of those on call to say that they know of it."""
    declared, step = rollout.stage.conditions.on_call, rollout.next_step
    asked = isinstance(step, Gate) and step.name is GateName.ON_CALL
    return asked and declared is not None and declared.acknowledge and rollout.acknowledged is None


def _orders(rollout: Rollout) -> tuple[str, ...]:
    if rollout.going_back:
        return ()
    step = rollout.next_step
    if _unknown_to_on_call(rollout):
        return ("acknowledge", "pause", "abort")
    if isinstance(step, Watch) and step.until is Until.APPROVED:
        return ("approve", "abort")
    return ("pause", "promote", "abort") if isinstance(step, Watch) else ("pause", "abort")


def _afterwards(rollout: Rollout) -> tuple[str, ...]:
    match rollout.phase:
        case Phase.FAILED:
            return ("abort",)
        case Phase.SUCCEEDED if rollout.stage.flag_alone:
            return ()
        case Phase.SUCCEEDED:
            return ("rollback",) if rollout.stage.replaces else ()
        case Phase.ROLLED_BACK:
            return ("retry",)
    return ()
