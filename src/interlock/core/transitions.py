"""What may change a rollout, and how?

`advance` is the only way a rollout changes, and every change of phase is a row of `TRANSITIONS`: the manual's diagram
is drawn from that table. What has no row is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from interlock.core import flag
from interlock.core.approval import enough
from interlock.core.events import (
    ALWAYS_HEARD,
    Done,
    Event,
    Failed,
    Held,
    Observed,
    Order,
    OrderKind,
    TurnedOff,
    Unsafe,
)
from interlock.core.phase import Phase
from interlock.core.rollout import Acknowledged, Approval, Rollout
from interlock.core.steps import SetFlag, Step, Until, Watch


class Refused(Exception):
    """The order or event does not fit where the rollout stands; the message says where that is and what would fit."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way on: in any of `phases`, `on` this event, `when` this holds, go `to` that phase (None: stay)."""

    phases: frozenset[Phase]
    on: str
    when: str
    to: Phase | None
    then: str = ""


def advance(rollout: Rollout, event: Event) -> Rollout:
    """Return the rollout after the event; raise Refused when the event does not fit where the rollout stands.

    An order already heard (same key) changes nothing: twice is once.
    """
    if isinstance(event, Order) and event.key in rollout.heard:
        return rollout
    _check_seen(rollout, event)
    for row in TRANSITIONS:
        if rollout.phase in row.phases and row.on == name(event) and _GUARDS[row.when](rollout, event):
            return _apply(rollout, event, row)
    raise Refused(_why_refused(rollout, event))


def name(event: Event) -> str:
    """Return the event's name in the table: its kind, or for an order what was ordered."""
    return event.kind.value if isinstance(event, Order) else type(event).__name__.lower()


_GOING = frozenset({Phase.WAITING, Phase.PROGRESSING, Phase.WATCHING})
_UNDER_WAY = _GOING | {Phase.PAUSED}
_BACK = frozenset({Phase.ROLLING_BACK})
_RETRACTING = frozenset({Phase.RETRACTING})
_PAUSED = frozenset({Phase.PAUSED})


def _onward(on: str, when: str = "always", then: str = "next") -> tuple[Row, ...]:
    prefix = "" if when == "always" else f"{when} and "
    return (
        Row(_GOING, on, f"{prefix}it was the last step", Phase.SUCCEEDED, then),
        Row(_GOING, on, f"{prefix}a person comes next", Phase.WAITING, then),
        Row(_GOING, on, f"{prefix}the last watch comes next", Phase.WATCHING, then),
        Row(_GOING, on, when, Phase.PROGRESSING, then),
    )


TRANSITIONS: tuple[Row, ...] = (
    *_onward("done"),
    *_onward("promote", "the step is a watch", "promoted"),
    Row(_GOING, "approve", "the step waits for more people", None, "approved in part"),
    *_onward("approve", "the step waits for a person", "approved"),
    Row(frozenset({Phase.WATCHING}), "held", "always", None, "held"),
    Row(frozenset({Phase.WAITING, Phase.PROGRESSING}), "held", "always", Phase.WAITING, "held"),
    Row(_GOING | _BACK, "observed", "always", None, "observed"),
    Row(_GOING, "pause", "always", Phase.PAUSED, "paused"),
    Row(_UNDER_WAY | _RETRACTING, "acknowledge", "always", None, "acknowledged"),
    Row(_UNDER_WAY | _RETRACTING | _BACK, "turnedoff", "always", None, "turned off"),
    Row(_PAUSED, "resume", "a flag is ramped and was turned off by hand", Phase.RETRACTING, "retracted"),
    Row(_PAUSED, "resume", "a person is waited for", Phase.WAITING, "resumed"),
    Row(_PAUSED, "resume", "the last watch is under way", Phase.WATCHING, "resumed"),
    Row(_PAUSED, "resume", "always", Phase.PROGRESSING, "resumed"),
    Row(_UNDER_WAY, "failed", "a flag is ramped", Phase.RETRACTING, "retracted"),
    Row(_UNDER_WAY, "unsafe", "a flag is ramped", Phase.RETRACTING, "retracted"),
    Row(_RETRACTING, "done", "it was the last step", Phase.SUCCEEDED, "next"),
    Row(_RETRACTING, "done", "always", Phase.RETRACTING, "next"),
    Row(_RETRACTING, "held", "always", None, "held"),
    Row(_RETRACTING, "observed", "always", None, "observed"),
    Row(_RETRACTING, "unsafe", "users may still have the flag", None, "heard again"),
    Row(_UNDER_WAY | _RETRACTING, "failed", "always", Phase.ROLLING_BACK, "turned"),
    Row(_UNDER_WAY | _RETRACTING, "unsafe", "always", Phase.ROLLING_BACK, "turned"),
    Row(_UNDER_WAY | _RETRACTING, "abort", "always", Phase.ROLLING_BACK, "turned"),
    Row(_UNDER_WAY | _RETRACTING, "supersede", "always", Phase.ROLLING_BACK, "turned"),
    Row(_BACK, "done", "it was the last step and a newer release waits", Phase.SUPERSEDED, "next"),
    Row(_BACK, "done", "it was the last step", Phase.ROLLED_BACK, "next"),
    Row(_BACK, "done", "always", Phase.ROLLING_BACK, "next"),
    Row(_BACK, "held", "always", None, "held"),
    Row(_BACK, "unsafe", "always", None, "noted"),
    Row(_BACK, "abort", "always", None, "heard"),
    Row(_BACK, "supersede", "always", None, "heard"),
    Row(_BACK, "failed", "always", Phase.FAILED, "given up"),
    Row(frozenset({Phase.FAILED}), "abort", "always", Phase.ROLLING_BACK, "turned"),
)
"""Every change of phase. The first row that fits is taken."""


def _check_seen(rollout: Rollout, event: Event) -> None:
    if isinstance(event, (Done, Failed, Held, Observed)) and event.index != rollout.index:
        raise Refused(f"{rollout.id}: step {event.index + 1} is not the present one ({rollout.index + 1})")
    if not isinstance(event, Order) or event.kind in ALWAYS_HEARD:
        return
    if event.index is not None and event.index != rollout.index:
        raise Refused(
            f"{rollout.id} has passed step {event.index + 1}, for which this {event.kind.value} was meant: it is at "
            f"step {rollout.index + 1} ({rollout.next_step}). Look again with: interlock get {rollout.run}"
        )
    if event.phase is not None and event.phase is not rollout.phase:
        raise Refused(
            f"{rollout.id} is {rollout.phase.value}, no longer {event.phase.value}, for which this {event.kind.value} "
            f"was meant. Look again with: interlock get {rollout.run}"
        )


def _why_refused(rollout: Rollout, event: Event) -> str:
    stands = f"{rollout.id} is {rollout.phase.value}"
    if rollout.over:
        ended = f"{stands} since {rollout.since:%Y-%m-%d %H:%M:%S} UTC: there is nothing left to {name(event)}"
        service = rollout.stage.revision.release.service
        return f"{ended}. To go back to an earlier release of {service}: interlock rollback VERSION"
    match event:
        case Order(kind=OrderKind.PROMOTE):
            return f"{stands} at step {rollout.index + 1} ({rollout.next_step}): promote only ends a watch"
        case Order(kind=OrderKind.APPROVE):
            return f"{stands} at step {rollout.index + 1} ({rollout.next_step}), which waits for no approval"
        case Order(kind=kind):
            return f"{stands}: {kind.value} does not fit there"
    return f"{stands}: {name(event)} does not fit there"


def _apply(rollout: Rollout, event: Event, row: Row) -> Rollout:
    to = row.to or rollout.phase
    changed = _EFFECTS[row.then](rollout, event)
    since = rollout.since if to is rollout.phase else event.at
    heard = (*rollout.heard, event.key) if isinstance(event, Order) else rollout.heard
    return replace(changed, phase=to, since=since, heard=heard)


def _next(rollout: Rollout, event: Event) -> Rollout:
    unproven = rollout.unproven
    if isinstance(event, Done) and event.unproven:
        unproven = (*unproven, event.unproven)
    synthetic = rollout.synthetic
    if isinstance(event, Done) and event.synthetic:
        synthetic = (*synthetic, event.synthetic)
    flags = rollout.flags
    if isinstance(event, Done) and event.flags:
        flags = flag.merged(flags, event.flags)
    last = rollout.index + 1 >= len(rollout.way)
    index = rollout.index if last else rollout.index + 1
    return replace(
        rollout,
        index=index,
        step_since=event.at,
        observed=timedelta(0),
        reason=_kept(rollout),
        unproven=unproven,
        synthetic=synthetic,
        flags=flags,
    )


def _promoted(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Order)
    why = f": {event.reason}" if event.reason else ""
    said = f"step {rollout.index + 1} ({rollout.next_step}) advanced unproven by {event.by}{why}"
    return replace(_next(rollout, event), unproven=(*rollout.unproven, said))


def _approved(rollout: Rollout, event: Event) -> Rollout:
    return replace(_next(rollout, event), approvals=(*rollout.approvals, _approval(rollout, event)))


def _approved_in_part(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, approvals=(*rollout.approvals, _approval(rollout, event)))


def _approval(rollout: Rollout, event: Event) -> Approval:
    assert isinstance(event, Order)
    word, identity = event.word, rollout.stage.revision.release.identity
    return Approval(
        event.at,
        word.by if word else event.by,
        rollout.plan,
        identity,
        event.reason,
        proven=word is not None,
        on_call=word is not None and word.on_call,
        index=rollout.index,
        expires=word.expires if word else None,
        channel=event.channel,
    )


def _acknowledged(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Order)
    first = rollout.acknowledged or Acknowledged(event.at, event.by, event.channel, event.reason)
    return replace(rollout, acknowledged=first)


def _held(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Held)
    return rollout if rollout.going_back else replace(rollout, reason=event.reason)


def _observed(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Observed)
    return replace(rollout, observed=rollout.observed + event.covers)


def _paused(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Order)
    return replace(rollout, reason=f"paused by {event.by}" + (f": {event.reason}" if event.reason else ""))


def _retracted(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, (Failed, Unsafe, Order))
    return replace(
        rollout,
        index=0,
        step_since=event.at,
        observed=timedelta(0),
        reason="",
        retracted_at=rollout.index,
        retracted=event.reason if not isinstance(event, Order) else f"{_by_hand(rollout)}, resumed by {event.by}",
    )


def _by_hand(rollout: Rollout) -> str:
    return ", ".join(f"flag {one.flag} was turned off by {one.off_by}" for one in rollout.flags if one.off_by)


def _turned_off(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, TurnedOff)
    return replace(rollout, flags=flag.turned_off(rollout.flags, event.flag, event.by))


def _turned(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, (Failed, Unsafe, Order))
    why = event.reason if not isinstance(event, Order) else _ordered(event)
    return replace(
        rollout,
        index=0,
        step_since=event.at,
        observed=timedelta(0),
        reason=rollout.reason if rollout.going_back else why,
        turned_at=_forward_index(rollout),
        quarantine=rollout.quarantine or (not isinstance(event, Order) and _blames(rollout, event)),
        superseded=rollout.superseded or (isinstance(event, Order) and event.kind is OrderKind.SUPERSEDE),
    )


def _noted(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Unsafe)
    return replace(rollout, quarantine=rollout.quarantine or _blames(rollout, event))


def _forward_index(rollout: Rollout) -> int:
    """Return the step of the plan from which the rollout turned, also where its flags were taken back first."""
    first = rollout.turned_at if rollout.turned_at is not None else rollout.retracted_at
    return rollout.index if first is None else first


def _blames(rollout: Rollout, event: Failed | Unsafe) -> bool:
    """Whether the release is to be quarantined; the code that a flag alone was to change has been proven before."""
    return event.quarantine and not rollout.stage.flag_alone


def _heard(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Order)
    return replace(rollout, superseded=rollout.superseded or event.kind is OrderKind.SUPERSEDE)


def _given_up(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Failed)
    return replace(rollout, reason=f"{rollout.reason}; the rollback could not be verified: {event.reason}")


def _ordered(order: Order) -> str:
    verb = "superseded by a newer release, ordered" if order.kind is OrderKind.SUPERSEDE else "aborted"
    return f"{verb} by {order.by}" + (f": {order.reason}" if order.reason else "")


def _kept(rollout: Rollout) -> str:
    return rollout.reason if rollout.going_back else ""


def _following(rollout: Rollout) -> Step | None:
    return rollout.way[rollout.index + 1] if rollout.index + 1 < len(rollout.way) else None


def _for_a_person(step: Step | None) -> bool:
    return isinstance(step, Watch) and step.until is Until.APPROVED


def _last_watch(step: Step | None) -> bool:
    return isinstance(step, Watch) and step.last


_Guard = Callable[[Rollout, Event], bool]
_NEXT_GUARDS: dict[str, _Guard] = {
    "it was the last step": lambda rollout, _: _following(rollout) is None,
    "a person comes next": lambda rollout, _: _for_a_person(_following(rollout)),
    "the last watch comes next": lambda rollout, _: _last_watch(_following(rollout)),
    "always": lambda rollout, _: True,
}
_STEP_GUARDS: dict[str, _Guard] = {
    "the step is a watch": lambda rollout, _: (
        isinstance(rollout.next_step, Watch) and not _for_a_person(rollout.next_step)
    ),
    "the step waits for a person": lambda rollout, _: _for_a_person(rollout.next_step),
}


def _needs_more(rollout: Rollout, event: Event) -> bool:
    given = (*rollout.approvals, _approval(rollout, event))
    return _for_a_person(rollout.next_step) and not enough(rollout, given, event.at)


def _both(first: _Guard, second: _Guard) -> _Guard:
    return lambda rollout, event: first(rollout, event) and second(rollout, event)


_GUARDS: dict[str, _Guard] = {
    **_NEXT_GUARDS,
    **_STEP_GUARDS,
    **{f"{a} and {b}": _both(f, g) for a, f in _STEP_GUARDS.items() for b, g in _NEXT_GUARDS.items() if b != "always"},
    "the step waits for more people": _needs_more,
    "a flag is ramped": lambda rollout, _: bool(rollout.stage.retract) and rollout.ramping,
    "a flag is ramped and was turned off by hand": lambda rollout, _: (
        bool(rollout.stage.retract)
        and rollout.ramping
        and any(one.off_by and one.now.exposure for one in rollout.flags)
    ),
    "users may still have the flag": lambda rollout, _: isinstance(rollout.next_step, SetFlag),
    "a person is waited for": lambda rollout, _: _for_a_person(rollout.next_step),
    "the last watch is under way": lambda rollout, _: _last_watch(rollout.next_step),
    "it was the last step and a newer release waits": lambda rollout, _: (
        _following(rollout) is None and rollout.superseded
    ),
}

_EFFECTS: dict[str, Callable[[Rollout, Event], Rollout]] = {
    "next": _next,
    "promoted": _promoted,
    "approved": _approved,
    "approved in part": _approved_in_part,
    "acknowledged": _acknowledged,
    "held": _held,
    "observed": _observed,
    "paused": _paused,
    "resumed": lambda rollout, _: replace(rollout, reason=""),
    "turned": _turned,
    "retracted": _retracted,
    "turned off": _turned_off,
    "heard again": lambda rollout, _: rollout,
    "noted": _noted,
    "heard": _heard,
    "given up": _given_up,
}
