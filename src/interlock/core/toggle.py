"""What may a person or a program ask of one flag, by itself, and what came of it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from interlock.core.audit import Act
from interlock.core.conditions import Conditions
from interlock.core.events import LOCAL
from interlock.core.flag import OFF, Flag, FlagState, named
from interlock.core.record import plain
from interlock.core.rollout import Rollout
from interlock.core.steps import GateName

GATES = (GateName.NO_INCIDENT, GateName.WINDOW)
"""What is asked before more users may get a feature, where it is declared."""


class Action(StrEnum):
    """What may be done to a flag; `update_strategy` gives it to a percentage of users, and enables it."""

    ENABLE = "enable"
    DISABLE = "disable"
    UPDATE = "update_strategy"


class TogglingError(Exception):
    """What was asked of a flag cannot be meant; the message says what was expected, found, and what to do."""


class FlagHeld(Exception):
    """A rollout, a gate or a lock forbids it now; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Toggle:
    """A flag of an environment, and how it is to stand: given to `percentage` of users (0: off, None: as many as now).

    `conditions` are those of the environment, with what a person says to them. With `wait` it is done only when
    clients must know of it.
    """

    service: str
    environment: str
    flag: Flag
    action: Action
    percentage: int | None
    by: str
    channel: str = LOCAL
    conditions: Conditions = Conditions()
    wait: bool = False

    @property
    def off(self) -> bool:
        """Whether nobody is to get the feature any more: the way to safety."""
        return self.percentage == OFF

    def target(self, before: FlagState) -> int:
        """Return the exposure that is wanted of a flag that stands so: the percentage of users who may get it."""
        if self.percentage is not None:
            return self.percentage
        return 100 if before.percentage is None else before.percentage

    def raises(self, before: FlagState) -> bool:
        """Whether more users may get the feature than do now."""
        return self.target(before) > before.exposure


@dataclass(frozen=True, slots=True)
class Toggled:
    """What came of it: the flag stood `before` and stands `now`, both as whoever keeps it says.

    `before` is None where it could not be seen and the flag was turned off all the same. `taken` says how it is known
    that clients have it, where that was waited for. `rollout` is the one under way to which the flag belongs.
    """

    at: datetime
    environment: str
    flag: str
    action: Action
    before: FlagState | None
    now: FlagState
    taken: str = ""
    rollout: str = ""

    def __str__(self) -> str:
        was = "how it stood before is not known" if self.before is None else f"it was {self.before}"
        return f"flag {self.flag} in {self.environment} is {self.now}; {was}"


def understood(action: str, percentage: int | None) -> tuple[Action, int | None]:
    """Return the action and the percentage that it means: 0 for off, None for the present one.

    `update_strategy` at 0 turns the flag off: nobody gets it. Raises TogglingError for what cannot be meant.
    """
    if action not in [one.value for one in Action]:
        raise TogglingError(f'expected one of {", ".join(Action)}, found "{action}"')
    if percentage is not None and (isinstance(percentage, bool) or not 0 <= percentage <= 100):
        raise TogglingError(f"expected a rollout percentage from 0 to 100, found {percentage}")
    match Action(action):
        case Action.DISABLE if percentage:
            raise TogglingError(f"expected no rollout percentage with disable, found {percentage}: nobody gets it then")
        case Action.DISABLE:
            return Action.DISABLE, OFF
        case Action.ENABLE if percentage == OFF:
            raise TogglingError(
                "expected a rollout percentage from 1 to 100 with enable, found 0: disable turns it off"
            )
        case Action.UPDATE if percentage is None:
            raise TogglingError("expected a rollout percentage (0 to 100) with update_strategy, found none")
    return Action(action), percentage


def sane(name: str) -> str:
    """Return the flag's name; raise TogglingError for what could be none."""
    try:
        return named(name)
    except ValueError as error:
        raise TogglingError(str(error)) from error


def owner(active: Iterable[Rollout], flag: Flag) -> Rollout | None:
    """Return the rollout under way that moves this flag, by whatever name its environment goes there."""
    for rollout in active:
        if not rollout.over and any(use.flag.place == flag.place for use in rollout.stage.flags):
            return rollout
    return None


def puts_back(rollout: Rollout, wanted: Toggle) -> bool:
    """Whether the flag is to stand again as the rollout has put it: somebody had turned it off or moved it by hand."""
    held = next((one for one in rollout.flags if one.flag.place == wanted.flag.place), None)
    under_way = not (rollout.going_back or rollout.retracting)
    return held is not None and under_way and held.now.exposure > OFF and wanted.target(held.now) == held.now.exposure


def owned(rollout: Rollout, wanted: Toggle) -> FlagHeld:
    """Say that a rollout has the flag, and what can be done."""
    version = rollout.stage.revision.release.version
    return FlagHeld(
        f"flag {wanted.flag} belongs to {rollout.id} (of {version}, {rollout.phase.value}) until that is over: wait for"
        f" it, or go back with: interlock abort {rollout.run}. To turn the flag off is always possible: interlock flag "
        f"set {wanted.flag} --environment {wanted.environment} --off"
    )


def shut(gate: GateName, reason: str, wanted: Toggle) -> FlagHeld:
    """Say that a gate is closed to more users, and what can be done."""
    what = f"flag {wanted.flag} may not go to more users of {wanted.environment} now: gate {gate.value}: {reason}"
    if gate is GateName.WINDOW:
        return FlagHeld(f'{what}. Wait, or say why it must be now: --override window -m "…"')
    return FlagHeld(f"{what}. Wait for its end; to turn a flag down or off is always possible")


def act(wanted: Toggle, done: Toggled) -> Act:
    """Return what the audit says of it."""
    text = f"{done} (by {wanted.by})" + _excused(wanted)
    return _act(wanted, text, done.at, before=plain(done.before), now=plain(done.now))


def asked(wanted: Toggle, before: FlagState, at: datetime) -> Act:
    """Return what the audit says before more users get a feature: what cannot be written down is not done."""
    text = f"flag {wanted.flag} in {wanted.environment}: {_how(wanted)} asked for by {wanted.by}; it is {before}"
    return _act(wanted, text + _excused(wanted), at)


def unknown(wanted: Toggle, reason: str, at: datetime) -> Act:
    """Return what the audit says when it is not known whether it was done."""
    text = f"flag {wanted.flag} in {wanted.environment}: {_how(wanted)} asked for by {wanted.by}, and not confirmed"
    return _act(wanted, f"{text}: {reason}", at)


def said(wanted: Toggle, done: Toggled) -> str:
    """Return what the journal of the rollout says to which the flag belongs."""
    return f"{wanted.flag}: {done.now}, by {wanted.by}, not by this rollout" + _excused(wanted)


def _excused(wanted: Toggle) -> str:
    words = [f"gate {word.gate.value} overridden by {word.by}: {word.reason}" for word in wanted.conditions.overrides]
    return f"; {'; '.join(words)}" if words else ""


def _how(wanted: Toggle) -> str:
    return wanted.action.value + ("" if wanted.percentage in (None, OFF) else f" at {wanted.percentage}%")


def _act(wanted: Toggle, text: str, at: datetime, **seen: object) -> Act:
    what = {"flag": wanted.flag.name, "environment": wanted.environment, "action": wanted.action.value}
    how = {"percentage": wanted.percentage, "overrides": plain(wanted.conditions.overrides)}
    return Act(at, "flag", wanted.service, text, wanted.by, wanted.channel, {**what, **how, **seen})
