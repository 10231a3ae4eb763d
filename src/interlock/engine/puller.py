"""How are flags commanded off until whoever keeps them has confirmed it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from interlock.core.flag import Flag, FlagState
from interlock.core.steps import spell
from interlock.engine.ports import Ports
from interlock.ports.flags import Flags, FlagsError, Gone, Unmovable

T = TypeVar("T")

ANSWERS_WITHIN = timedelta(seconds=10)
AGAIN_FIRST, AGAIN_AT_MOST = timedelta(milliseconds=250), timedelta(seconds=5)


class Puller:
    """Commands flags off, each again and again until it is confirmed, as long as the rollout is on its way back."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._tasks: dict[Flag, asyncio.Task[None]] = {}
        self.confirmed: dict[Flag, FlagState] = {}
        self.troubles: dict[Flag, str] = {}

    def begin(self, flags: tuple[Flag, ...]) -> None:
        """Command these flags off, at once; those for which that has begun are left to it."""
        for flag in flags:
            if flag not in self._tasks:
                self._tasks[flag] = asyncio.create_task(self._pull(flag))

    async def wait(self, flags: tuple[Flag, ...], within: timedelta) -> bool:
        """Wait until these flags are confirmed off, at most so long; say whether they are."""
        under_way = {self._tasks[flag] for flag in flags if flag in self._tasks}
        if under_way:
            await asyncio.wait(under_way, timeout=within.total_seconds())
        return self.off(flags)

    def off(self, flags: tuple[Flag, ...]) -> bool:
        """Say whether all of these are confirmed off."""
        return all(flag in self.confirmed for flag in flags)

    def unconfirmed(self, flags: tuple[Flag, ...]) -> str:
        """Say which are not, and why."""
        return "; ".join(
            f"{flag} is not confirmed off ({self.troubles.get(flag) or 'no answer yet'})"
            for flag in flags
            if flag not in self.confirmed
        )

    def end(self) -> None:
        """Stop commanding."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _pull(self, flag: Flag) -> None:
        pause = AGAIN_FIRST
        while True:
            try:
                self.confirmed[flag] = await answered(flags_of(self._ports).turn_off(flag))
                return
            except Exception as error:  # whatever an adapter raises: to stop trying would leave users exposed
                if isinstance(error, Unmovable) and await self._gone(flag):
                    return
                self.troubles[flag] = str(error) or repr(error)
            await self._ports.clock.sleep(pause)
            pause = min(2 * pause, AGAIN_AT_MOST)

    async def _gone(self, flag: Flag) -> bool:
        """Say whether there is no such flag any more: nobody has what was archived or deleted."""
        try:
            await answered(flags_of(self._ports).look(flag))
        except Gone:
            self.confirmed[flag] = FlagState(enabled=False)
            return True
        except Exception:  # not to know is to go on
            return False
        return False


def flags_of(ports: Ports) -> Flags:
    if ports.flags is None:
        raise Unmovable("nobody here keeps flags")
    return ports.flags


async def answered(call: Awaitable[T]) -> T:
    """Await what asks whoever keeps the flags; one that never answers is one that refused."""
    try:
        async with asyncio.timeout(ANSWERS_WITHIN.total_seconds()):
            return await call
    except TimeoutError:
        raise FlagsError(f"no answer within {spell(ANSWERS_WITHIN)}") from None
