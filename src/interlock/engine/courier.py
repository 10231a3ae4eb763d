"""Who is told what of which rollout, when: at least once, in order, and never at a rollout's expense?

The journal is the outbox: what is news follows from it (`core.news`), and per reader and rollout the store keeps up to
which line it has been told. A line is marked once its receiver has taken it, so a crash before that sends it again,
under the same key. Each reader has a task of its own: one that is down delays no other, and nothing here ever holds a
rollout. A reader is told of rollouts whose plan names it, so a new one does not get history.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from interlock.core.news import News, collapsed, news
from interlock.core.plan import Plan
from interlock.core.steps import spell
from interlock.ports.clock import Clock
from interlock.ports.docs import DocsError
from interlock.ports.notify import Undelivered, Unwanted
from interlock.ports.store import Store, StoreError

LOOK_EVERY = timedelta(seconds=1)
LOOK_BACK = 20
"""So many of the newest rollouts are told of: what could not be told by then is given up."""

TAKES_AT_MOST = timedelta(seconds=90)
AGAIN_FIRST = timedelta(seconds=1)
AGAIN_AT_MOST = timedelta(minutes=5)
SAID_AGAIN_EVERY = timedelta(hours=1)

log = logging.getLogger(__name__)


class Reader(Protocol):
    """Somebody who is told: a channel to people, or the deployment log."""

    @property
    def name(self) -> str:
        """The name under which the store keeps what it has been told."""

    def wants(self, all: Sequence[News]) -> tuple[News, ...]:
        """Choose what it is told, by nothing but the news themselves."""

    async def take(self, news: News) -> None:
        """Take one; raise Undelivered or DocsError when it is to be tried again, Unwanted when it never will be."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a reader cannot be told anything, and since when."""

    since: datetime
    why: str


@dataclass(slots=True)
class _Desk:
    """One reader with what is known of it. `read` is the last line looked at of each rollout, `told` the last told."""

    reader: Reader
    rollouts: list[str] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    trouble: Trouble | None = None
    wait: timedelta = timedelta(0)
    again: float = 0.0
    said: float = 0.0


class Courier:
    """Tells every reader. `readers` makes those of a plan; of one name the newest plan's is used."""

    def __init__(self, store: Store, clock: Clock, readers: Callable[[Plan], Sequence[Reader]]) -> None:
        self._store, self._clock, self._readers = store, clock, readers
        self._plans: dict[str, Plan | None] = {}
        self._desks: dict[str, _Desk] = {}
        self._said = ""

    async def run(self) -> None:
        """Tell what is new, for ever."""
        try:
            while True:
                await self._look()
                await self._clock.sleep(LOOK_EVERY)
        finally:
            await self._leave()

    def troubles(self) -> dict[str, Trouble]:
        """Return which readers cannot be told anything now, and why."""
        return {name: desk.trouble for name, desk in self._desks.items() if desk.trouble is not None}

    async def _leave(self) -> None:
        tasks = [desk.task for desk in self._desks.values() if desk.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        try:
            newest = await self._store.journals(LOOK_BACK)
            for id, _ in reversed(newest):
                await self._open(id)
        except StoreError as error:
            self._say_once(f"nobody can be told anything while the records cannot be read: {error}")
            return
        self._said = ""
        self._forget({id for id, _ in newest})
        lines = dict(newest)
        for desk in self._desks.values():
            busy = desk.task is not None and not desk.task.done()
            behind = any(lines[id] > desk.read.get(id, 0) for id in desk.rollouts)
            if behind and not busy and self._clock.monotonic() >= desk.again:
                desk.task = asyncio.create_task(self._serve(desk, lines))

    async def _open(self, id: str) -> None:
        """Take in a rollout that was not seen before: from now on its plan's readers are told of it."""
        if id in self._plans:
            return
        rollout = await self._store.rollout(id)
        plan = await self._store.plan(rollout.plan) if rollout is not None else None
        self._plans[id] = plan
        for reader in self._readers(plan) if plan is not None else ():
            desk = self._desks.setdefault(reader.name, _Desk(reader))
            desk.reader = reader
            desk.rollouts.append(id)

    def _forget(self, known: set[str]) -> None:
        for id in self._plans.keys() - known:
            del self._plans[id]
            for desk in self._desks.values():
                desk.rollouts = [one for one in desk.rollouts if one != id]
                desk.read.pop(id, None)
                desk.told.pop(id, None)

    async def _serve(self, desk: _Desk, lines: dict[str, int]) -> None:
        """Tell one reader all that it was not told yet, oldest rollout first; stop where it takes nothing."""
        try:
            for id in [one for one in desk.rollouts if lines.get(one, 0) > desk.read.get(one, 0)]:
                await self._catch_up(desk, id)
        except (Undelivered, DocsError, StoreError) as error:
            self._put_off(desk, str(error))
        except TimeoutError:
            self._put_off(desk, f"no answer within {spell(TAKES_AT_MOST)}")
        except Exception as error:  # an adapter's own fault: the other readers are told all the same
            log.exception("%s: broke, and is tried again", desk.reader.name)
            self._put_off(desk, f"it broke ({type(error).__name__}; see the keeper's log)")
        else:
            self._well(desk)

    async def _catch_up(self, desk: _Desk, id: str) -> None:
        reader, plan = desk.reader, self._plans.get(id)
        lines = await self._store.entries(id)
        rollout = await self._store.rollout(id)
        if rollout is None or plan is None:
            return
        if id not in desk.told:
            desk.told[id] = await self._store.told(reader.name, id)
        wanted = reader.wants(news(plan, rollout, lines))
        pending = tuple(one for one in wanted if one.seq > desk.told[id])
        for one in collapsed(pending, self._clock.now()):
            await self._hand_over(desk, one)
        desk.read[id] = lines[-1].seq if lines else 0

    async def _hand_over(self, desk: _Desk, one: News) -> None:
        try:
            async with asyncio.timeout(TAKES_AT_MOST.total_seconds()):
                await desk.reader.take(one)
        except Unwanted as error:
            log.warning("%s: %s is not told again: %s", desk.reader.name, one.key, error)
        desk.told[one.rollout.id] = one.seq
        await self._store.tell(desk.reader.name, one.rollout.id, one.seq)
        self._well(desk)

    def _well(self, desk: _Desk) -> None:
        if desk.trouble is not None:
            log.info("%s: takes what it is told again", desk.reader.name)
        desk.trouble, desk.wait, desk.again, desk.said = None, timedelta(0), 0.0, 0.0

    def _put_off(self, desk: _Desk, why: str) -> None:
        """Try again later, and later each time; the log says so once an hour."""
        now = self._clock.monotonic()
        desk.trouble = Trouble(desk.trouble.since if desk.trouble else self._clock.now(), why)
        desk.wait = min(AGAIN_AT_MOST, max(AGAIN_FIRST, 2 * desk.wait))
        desk.again = now + desk.wait.total_seconds()
        if not desk.said or now - desk.said >= SAID_AGAIN_EVERY.total_seconds():
            desk.said = now
            log.warning("%s: cannot be told, which is tried again for hours: %s", desk.reader.name, why)

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            log.warning("%s", text)
