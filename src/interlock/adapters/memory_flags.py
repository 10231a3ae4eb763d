"""How would whoever keeps the feature flags behave, for tests in virtual time?

Verbs by name (`look`, `turn_off`, …) can be told to fail, to hang, or to lose their answer after the change was made.
`changes` says who changed what, in order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

from interlock.core.flag import Flag, FlagSource, FlagState
from interlock.ports.flags import FlagsError, Gone, Unmovable

US = "interlock"


def stood(
    enabled: bool,
    percentage: int | None = None,
    stickiness: str = "default",
    constraints: tuple[str, ...] = (),
    variants: tuple[str, ...] = (),
) -> FlagState:
    """Return a state with the native text that this memory gives it."""
    return _native(FlagState(enabled, percentage, stickiness, constraints, variants))


@dataclass(frozen=True, slots=True)
class Change:
    """One change that was made, `at` so many seconds of the event loop, by us or by somebody by hand."""

    at: float
    who: str
    flag: str
    before: FlagState
    after: FlagState


@dataclass(slots=True)
class MemoryFlags:
    """All flags of every source, by name and source.

    `unmovable` says why `check` refuses a flag, by name. `fails` is raised by a verb before it changes anything;
    `hangs` is how long a verb takes first, and it gives up after `patience`; `lost` are verbs that change the flag and
    then fail. Each verb is recorded in `calls`, and `before_call` may raise to play a crash.
    """

    flags: dict[Flag, FlagState] = field(default_factory=dict)
    unmovable: dict[str, str] = field(default_factory=dict)
    fails: dict[str, Exception] = field(default_factory=dict)
    hangs: dict[str, timedelta] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    patience: timedelta = timedelta(seconds=5)
    calls: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    before_call: Callable[[str], None] = field(default=lambda call: None)

    # --- the port

    async def look(self, flag: Flag) -> FlagState:
        """Return how the flag stands."""
        await self._answer("look", flag.name)
        return self._state(flag)

    async def check(self, flag: Flag) -> FlagState:
        """Return how it stands, unless it was said to be unmovable."""
        await self._answer("check", flag.name)
        return self._movable(flag)

    async def turn_off(self, flag: Flag) -> FlagState:
        """Disable it."""
        await self._answer("turn_off", flag.name)
        return self._put("turn_off", flag, replace(self._state(flag), enabled=False))

    async def turn_on(self, flag: Flag, percentage: int | None) -> FlagState:
        """Enable it at so many percent, or at those it has."""
        await self._answer("turn_on", f"{flag.name} {percentage}")
        if percentage is not None and not 1 <= percentage <= 100:
            raise ValueError(f"flag {flag}: expected 1 to 100 %, found {percentage}")
        state = self._movable(flag)
        kept = state.percentage if percentage is None else percentage
        return self._put("turn_on", flag, replace(state, enabled=True, percentage=kept))

    async def restore(self, flag: Flag, state: FlagState, *, off: bool = False) -> FlagState:
        """Put the state back, or all of it but that it was on."""
        await self._answer("restore", flag.name)
        self._state(flag)
        return self._put("restore", flag, replace(state, enabled=state.enabled and not off))

    async def taken(self, flag: Flag, state: FlagState) -> str:
        """Wait one refresh interval, and see that it still stands."""
        await self._answer("taken", flag.name)
        await asyncio.sleep(flag.source.refresh.total_seconds())
        if (found := self._state(flag)).native != state.native:
            raise FlagsError(f"flag {flag} stands otherwise ({found}) than it was put ({state}): somebody changed it")
        return f"clients read every {flag.source.refresh.total_seconds():g} s"

    async def every(self, source: FlagSource) -> tuple[tuple[str, FlagState], ...]:
        """Return all flags of a source, by name."""
        await self._answer("every", "")
        return tuple(sorted((flag.name, state) for flag, state in self.flags.items() if flag.source == source))

    # --- its own books

    def by_hand(self, flag: Flag, state: FlagState, who: str = "ada") -> None:
        """Have a person put a flag into a state, made when there is none."""
        self._change(flag, state, who)

    def exposure(self, flag: Flag) -> int:
        """Return the percentage of users who may get the feature now."""
        return self.flags[flag].exposure

    def peak(self, flag: Flag, since: float = 0.0) -> int:
        """Return the greatest exposure that our own changes have brought about since then; 0 when there were none."""
        ours = (one for one in self.changes if one.flag == flag.name and one.who == US and one.at >= since)
        return max((one.after.exposure for one in ours), default=0)

    def _state(self, flag: Flag) -> FlagState:
        if flag not in self.flags:
            raise Gone(f"flag {flag}: there is none of that name; create it, or correct the name")
        return self.flags[flag]

    def _movable(self, flag: Flag) -> FlagState:
        if flag.name in self.unmovable:
            raise Unmovable(f"flag {flag}: {self.unmovable[flag.name]}")
        return self._state(flag)

    def _put(self, verb: str, flag: Flag, state: FlagState) -> FlagState:
        self._change(flag, _native(state), US)
        if verb in self.lost:
            raise FlagsError(f"flag {flag}: no answer came to {verb}; whether it was done is not known")
        return self.flags[flag]

    def _change(self, flag: Flag, state: FlagState, who: str) -> None:
        before = self.flags.get(flag, state)
        self.flags[flag] = state
        if before != state:
            self.changes.append(Change(_now(), who, flag.name, before, state))

    async def _answer(self, verb: str, what: str) -> None:
        call = f"{verb} {what}".strip()
        self.calls.append(call)
        self.before_call(call)
        hangs = self.hangs.get(verb, timedelta(0))
        await asyncio.sleep(min(hangs, self.patience).total_seconds())
        if hangs > self.patience:
            raise FlagsError(f"{call}: no answer within {self.patience.total_seconds():g} s")
        if verb in self.fails:
            raise self.fails[verb]


def _native(state: FlagState) -> FlagState:
    held = asdict(replace(state, native=""))
    return replace(state, native=json.dumps(held, sort_keys=True, separators=(",", ":")))


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # before the test's loop runs
        return 0.0
