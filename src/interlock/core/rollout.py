"""Where does a rollout stand, what comes next, and what may change it?

`advance` is the only way a rollout changes, and every change of phase is a row of `TRANSITIONS`: the manual's diagram
is drawn from that table. What has no row is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from interlock.core.plan import Stage
from interlock.core.release import Revision
from interlock.core.steps import Drain, Retire, SetWeight, Step, Until, Watch
from interlock.core.weight import NONE, Weight


class Phase(StrEnum):
    """Where a rollout stands."""

    WAITING = "waiting"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    WATCHING = "watching"
    ROLLING_BACK = "rolling back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled back"
    SUPERSEDED = "superseded"
    FAILED = "failed"


OVER = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.SUPERSEDED, Phase.FAILED})


class OrderKind(StrEnum):
    """What a person, or a program on their behalf, may tell a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    PROMOTE = "promote"
    ABORT = "abort"
    SUPERSEDE = "supersede"


ALWAYS_HEARD = frozenset({OrderKind.ABORT, OrderKind.SUPERSEDE})


class Refused(Exception):
    """The order or event does not fit where the rollout stands; the message says where that is and what would fit."""


@dataclass(frozen=True, slots=True)
class Done:
    """The step at `index` reached its state; `unproven` says why when a watch ended without proof, by policy."""

    at: datetime
    index: int
    note: str = ""
    unproven: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The step at `index` did not reach its state; `quarantine` when that is the release's own fault."""

    at: datetime
    index: int
    reason: str
    quarantine: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The step at `index` waits, for the reason given: a gate is closed, or the evidence does not suffice yet."""

    at: datetime
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Observed:
    """The watch at `index` has seen so much more time."""

    at: datetime
    index: int
    covers: timedelta


@dataclass(frozen=True, slots=True)
class Unsafe:
    """Safety found something, in whatever phase: a fail verdict, dead instances, blindness beyond what policy bears."""

    at: datetime
    reason: str
    quarantine: bool


@dataclass(frozen=True, slots=True)
class Order:
    """What `by` told the rollout. `key` makes twice once; `index` and `phase` are what its sender saw."""

    at: datetime
    kind: OrderKind
    by: str
    key: str
    reason: str = ""
    index: int | None = None
    phase: Phase | None = None


Event = Done | Failed | Held | Observed | Unsafe | Order


@dataclass(frozen=True, slots=True)
class Approval:
    """Who let the rollout go on, bound to the plan and the release that they saw."""

    at: datetime
    by: str
    plan: str
    identity: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A stage of a plan under way: the plan, an index into it, and what is known of how it went.

    `index` counts in `stage.steps`, or in `way_back` while going back. `turned_at` is the step from which it turned
    back. `observed` is the time that the present watch has seen. `since` is when the phase began, `step_since` when
    the step did.
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
        return self.way_back if self.going_back else self.stage.steps

    @property
    def way_back(self) -> tuple[Step, ...]:
        """The rollback's steps; only what ends the new revision where no user ever reached it.

        Nothing was taken from the revision before then, and no route names the new one: a gate that was closed, or a
        port that was taken, must leave everything as it found it.
        """
        steps, new = self.stage.rollback, self.stage.revision.name
        if self.exposed:
            return steps
        return tuple(step for step in steps if isinstance(step, (Drain, Retire)) and step.revision == new)

    @property
    def next_step(self) -> Step | None:
        """What to do now; None when it is over."""
        return None if self.over else self.way[self.index]

    @property
    def reached(self) -> tuple[Step, ...]:
        """The forward steps begun so far, the present one included."""
        last = self.index if self.turned_at is None else self.turned_at
        return self.stage.steps[: last + 1]

    @property
    def exposed(self) -> bool:
        """Whether users may have reached the new revision."""
        return any(isinstance(step, SetWeight) for step in self.reached)

    @property
    def weight(self) -> Weight:
        """The share of the traffic that the new revision is wanted to have now."""
        if self.going_back and any(isinstance(step, SetWeight) for step in self.way_back[: self.index + 1]):
            return NONE
        weights = [step.weight for step in self.reached if isinstance(step, SetWeight)]
        return weights[-1] if weights else NONE

    @property
    def proven_revision(self) -> Revision | None:
        """The revision that carries all traffic when the rollout is over."""
        return self.stage.revision if self.phase is Phase.SUCCEEDED else self.stage.replaces


@dataclass(frozen=True, slots=True)
class Row:
    """One way on: in any of `phases`, `on` this event, `when` this holds, go `to` that phase (None: stay)."""

    phases: frozenset[Phase]
    on: str
    when: str
    to: Phase | None
    then: str = ""


def begin(id: str, run: str, plan: str, stage: Stage, at: datetime, by: str = "") -> Rollout:
    """Make the rollout of one stage, at its first step."""
    return Rollout(id, run, plan, stage, Phase.PROGRESSING, 0, at, at, at, by)


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
    *_onward("approve", "the step waits for a person", "approved"),
    Row(frozenset({Phase.WATCHING}), "held", "always", None, "held"),
    Row(frozenset({Phase.WAITING, Phase.PROGRESSING}), "held", "always", Phase.WAITING, "held"),
    Row(_GOING | _BACK, "observed", "always", None, "observed"),
    Row(_GOING, "pause", "always", Phase.PAUSED, "paused"),
    Row(_PAUSED, "resume", "a person is waited for", Phase.WAITING, "resumed"),
    Row(_PAUSED, "resume", "the last watch is under way", Phase.WATCHING, "resumed"),
    Row(_PAUSED, "resume", "always", Phase.PROGRESSING, "resumed"),
    Row(_UNDER_WAY, "failed", "always", Phase.ROLLING_BACK, "turned"),
    Row(_UNDER_WAY, "unsafe", "always", Phase.ROLLING_BACK, "turned"),
    Row(_UNDER_WAY, "abort", "always", Phase.ROLLING_BACK, "turned"),
    Row(_UNDER_WAY, "supersede", "always", Phase.ROLLING_BACK, "turned"),
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
    last = rollout.index + 1 >= len(rollout.way)
    index = rollout.index if last else rollout.index + 1
    return replace(
        rollout, index=index, step_since=event.at, observed=timedelta(0), reason=_kept(rollout), unproven=unproven
    )


def _promoted(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Order)
    why = f": {event.reason}" if event.reason else ""
    said = f"step {rollout.index + 1} ({rollout.next_step}) advanced unproven by {event.by}{why}"
    return replace(_next(rollout, event), unproven=(*rollout.unproven, said))


def _approved(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Order)
    approval = Approval(event.at, event.by, rollout.plan, rollout.stage.revision.release.identity, event.reason)
    return replace(_next(rollout, event), approvals=(*rollout.approvals, approval))


def _held(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Held)
    return rollout if rollout.going_back else replace(rollout, reason=event.reason)


def _observed(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Observed)
    return replace(rollout, observed=rollout.observed + event.covers)


def _paused(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Order)
    return replace(rollout, reason=f"paused by {event.by}" + (f": {event.reason}" if event.reason else ""))


def _turned(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, (Failed, Unsafe, Order))
    why = event.reason if not isinstance(event, Order) else _ordered(event)
    return replace(
        rollout,
        index=0,
        step_since=event.at,
        observed=timedelta(0),
        reason=rollout.reason if rollout.going_back else why,
        turned_at=rollout.index if rollout.turned_at is None else rollout.turned_at,
        quarantine=rollout.quarantine or (not isinstance(event, Order) and event.quarantine),
        superseded=rollout.superseded or (isinstance(event, Order) and event.kind is OrderKind.SUPERSEDE),
    )


def _noted(rollout: Rollout, event: Event) -> Rollout:
    assert isinstance(event, Unsafe)
    return replace(rollout, quarantine=rollout.quarantine or event.quarantine)


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


def _both(first: _Guard, second: _Guard) -> _Guard:
    return lambda rollout, event: first(rollout, event) and second(rollout, event)


_GUARDS: dict[str, _Guard] = {
    **_NEXT_GUARDS,
    **_STEP_GUARDS,
    **{f"{a} and {b}": _both(f, g) for a, f in _STEP_GUARDS.items() for b, g in _NEXT_GUARDS.items() if b != "always"},
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
    "held": _held,
    "observed": _observed,
    "paused": _paused,
    "resumed": lambda rollout, _: replace(rollout, reason=""),
    "turned": _turned,
    "noted": _noted,
    "heard": _heard,
    "given up": _given_up,
}
