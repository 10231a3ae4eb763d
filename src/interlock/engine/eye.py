"""Do the flags stand as the rollout has put them, or has somebody else moved one?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from interlock.core.events import TurnedOff
from interlock.core.flag import OFF, Captured, Flag, FlagState
from interlock.core.rollout import Rollout
from interlock.core.steps import SetFlag, spell
from interlock.engine.journal import flag_data
from interlock.engine.ports import Ports
from interlock.engine.puller import answered, flags_of
from interlock.ports.flags import FlagsError
from interlock.ports.store import Entry, StoreError

LOOK_EVERY = timedelta(seconds=2)
TOO_OLD = timedelta(seconds=15)
SOMEBODY = "somebody else"


class FlagsEye:
    """Looks whether the flags stand as the rollout has put them; `closed` is why it may not advance now.

    `tell` takes that a person has turned one off, or on again.
    """

    def __init__(self, ports: Ports, rollout: Callable[[], Rollout], tell: Callable[[TurnedOff], None]) -> None:
        self._ports, self._rollout, self._tell = ports, rollout, tell
        self._troubles: dict[Flag, str] = {}
        self._noted: dict[Flag, str] = {}
        self._looked: float | None = None

    @property
    def closed(self) -> str:
        """Why nothing may advance: a flag that somebody else moved, or that cannot be seen."""
        if not self._rollout().flags:
            return ""
        if self._looked is not None:
            age = timedelta(seconds=self._ports.clock.monotonic() - self._looked)
            if age > LOOK_EVERY + TOO_OLD:
                return f"flags: not seen for {spell(age)}"
        return "; ".join(why for why in self._troubles.values() if why)

    async def run(self) -> None:
        """Look for ever; a flag whose keeper is slow holds up no other."""
        while True:
            await self.look()
            await self._ports.clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Look once at all flags that the rollout holds."""
        rollout = self._rollout()
        if rollout.flags and not rollout.going_back:
            await asyncio.gather(*(self._look(one, rollout) for one in rollout.flags))
            self._looked = self._ports.clock.monotonic()

    async def _look(self, held: Captured, then: Rollout) -> None:
        try:
            found = await answered(flags_of(self._ports).look(held.flag))
        except FlagsError as error:
            self._troubles[held.flag] = f"flag {held.flag} cannot be seen: {error}"
            return
        except Exception as error:  # an adapter's own fault: not to know is to hold, and looking goes on
            self._troubles[held.flag] = f"flag {held.flag} cannot be seen: {error!r}"
            return
        now = self._rollout()
        if now.flags != then.flags:
            return  # it was being moved while we looked: the next look tells
        off = found.exposure == OFF < held.now.exposure
        if self._moves(held.flag, then, off=off) or self._moves(held.flag, now, off=off):
            self._troubles[held.flag] = ""  # it was seen, and may stand between two of our own states
            return
        same = found.native == held.now.native
        self._troubles[held.flag] = "" if same else _by_hand(held, found)
        self._turned(held, off=off, same=same)
        await self._note(held, found, same=same)

    def _moves(self, flag: Flag, rollout: Rollout, *, off: bool) -> bool:
        """Whether we may have brought about ourselves what was found: on its way up, a flag is never off."""
        step = rollout.next_step
        ours = isinstance(step, SetFlag) and step.flag == flag and not (off and step.percentage > OFF)
        return rollout.going_back or ours

    def _turned(self, held: Captured, *, off: bool, same: bool) -> None:
        if off and not held.off_by:
            self._tell(TurnedOff(self._ports.clock.now(), held.flag, SOMEBODY))
        elif same and held.off_by and held.now.exposure > OFF:
            self._tell(TurnedOff(self._ports.clock.now(), held.flag, ""))

    async def _note(self, held: Captured, found: FlagState, *, same: bool) -> None:
        """Write down once what somebody else did, and once that it is as it was; a full store costs only that."""
        said = "" if same else found.native
        if said == self._noted.get(held.flag, ""):
            return
        self._noted[held.flag] = said
        text = f"{held.flag} is again as the rollout has put it" if same else _by_hand(held, found)
        with suppress(StoreError):
            line = Entry(self._ports.clock.now(), "flag", text, flag_data(Captured(held.flag, held.before, found)))
            await self._ports.store.note(self._rollout().id, (line,))


def _by_hand(held: Captured, found: FlagState) -> str:
    changed = f"is {found} where the rollout has put {held.now}"
    if str(found) == str(held.now):
        changed = f"is still {found}, and its constraints, variants or strategy are not what they were"
    return f"flag {held.flag} was changed by somebody else: it {changed}. Put it back, or abort"
