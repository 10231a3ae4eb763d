"""What can happen to a rollout: a step's outcome, a finding of safety, a person's order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from interlock.core.flag import Captured, Flag
from interlock.core.phase import Phase

LOCAL = "command line"
"""The channel of whatever is said on this machine, by the command `interlock`."""


class OrderKind(StrEnum):
    """What a person, or a program on their behalf, may tell a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    PROMOTE = "promote"
    ABORT = "abort"
    SUPERSEDE = "supersede"
    ACKNOWLEDGE = "acknowledge"


ALWAYS_HEARD = frozenset({OrderKind.ABORT, OrderKind.SUPERSEDE})


@dataclass(frozen=True, slots=True)
class Done:
    """The step at `index` reached its state; `unproven` says why when a watch ended without proof, by policy.

    `synthetic` says by what a watch was proven when it was not by users' requests. `flags` are those that the step has
    captured or moved.
    """

    at: datetime
    index: int
    note: str = ""
    unproven: str = ""
    synthetic: str = ""
    flags: tuple[Captured, ...] = ()


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
class TurnedOff:
    """A person turned off a flag that the rollout holds; `by` is "" when it is on again as the rollout had put it."""

    at: datetime
    flag: Flag
    by: str


@dataclass(frozen=True, slots=True)
class Proven:
    """That an approval was signed by whom, and until when it holds; `on_call`: they are on call now."""

    by: str
    expires: datetime | None
    on_call: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """What `by` told the rollout. `key` makes twice once; `index` and `phase` are what its sender saw.

    `channel` is the surface by which it came. `text` and `signature` prove an approval; whoever checks them says so in
    `word`, which no sender can. `claims` is the name under which somebody acknowledges.
    """

    at: datetime
    kind: OrderKind
    by: str
    key: str
    reason: str = ""
    index: int | None = None
    phase: Phase | None = None
    channel: str = LOCAL
    text: str = ""
    signature: str = ""
    word: Proven | None = None
    claims: str = ""


Event = Done | Failed | Held | Observed | Unsafe | TurnedOff | Order
