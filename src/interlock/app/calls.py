"""What have agents asked for here? Every call is in the audit, with who it was and what they said.

What may change something is written before it is done. What only looks is written within a few seconds, alike calls
as one row with their number: to look costs a millisecond, and to write a row on the disk several.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from interlock.adapters.clock import SystemClock
from interlock.adapters.store.sqlite import SQLite
from interlock.core.agents import AGENTS, Agent
from interlock.core.audit import Act
from interlock.core.record import plain
from interlock.ports.store import StoreError

KIND = "agent"
WRITTEN_WITHIN = timedelta(seconds=3)
MOST_WAITING = 1_000
"""Different calls that wait to be written; then they are written before the next one is answered."""

_Key = tuple[Agent, str, str]


class Calls:
    """The record of what agents ask for, over one state directory's audit."""

    def __init__(self, store: SQLite) -> None:
        self._store, self._clock = store, SystemClock()
        self._waiting: dict[_Key, tuple[int, Mapping[str, Any], str]] = {}
        self._writer: asyncio.Task[None] | None = None

    async def asked(self, agent: Agent, tool: str, said: Mapping[str, Any], subject: str) -> None:
        """Write down a call that may change something; raises StoreError when that cannot be done."""
        await self._store.act(_act(self._clock, agent, tool, said, subject))

    async def refused(self, agent: Agent, tool: str, why: str, subject: str) -> None:
        """Write down that a call was refused, and why."""
        act = _act(self._clock, agent, tool, {}, subject)
        text = f"{agent}: {tool} refused: {why}"
        with contextlib.suppress(StoreError):
            await self._store.act(Act(act.at, act.kind, act.subject, text, act.by, act.channel, {"refused": tool}))

    async def looked(self, agent: Agent, tool: str, said: Mapping[str, Any], subject: str) -> None:
        """Remember a call that only looked, until it is written with others."""
        key = (agent, tool, repr(sorted(said.items())))
        count = self._waiting[key][0] if key in self._waiting else 0
        self._waiting[key] = (count + 1, said, subject)
        if len(self._waiting) >= MOST_WAITING:
            await self.write()
        elif self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._soon())

    async def write(self) -> None:
        """Write what waits. What cannot be written now is tried again with the next."""
        waiting, self._waiting = self._waiting, {}
        for key, (count, said, subject) in waiting.items():
            try:
                await self._store.act(_act(self._clock, key[0], key[1], said, subject, count))
            except StoreError:
                self._waiting.setdefault(key, (count, said, subject))

    async def close(self) -> None:
        """Write what waits, and let nothing wait any more."""
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None
        await self.write()

    async def _soon(self) -> None:
        await asyncio.sleep(WRITTEN_WITHIN.total_seconds())
        await self.write()


def _act(clock: SystemClock, agent: Agent, tool: str, said: Mapping[str, Any], subject: str, count: int = 1) -> Act:
    times = f", {count} times" if count > 1 else ""
    model = f" ({agent.model})" if agent.model else ""
    who = {"client": agent.client, "version": agent.version, "model": agent.model}
    data = {"tool": tool, "arguments": plain(said), "count": count, **who}
    return Act(clock.now(), KIND, subject, f"{agent}{model} asked for {tool}{times}", str(agent), AGENTS, data)
