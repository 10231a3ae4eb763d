"""How is one instance kept alive: started, asked whether it is ready and lives, and started again when it is not?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from interlock.adapters.workload.slots.record import Place
from interlock.adapters.workload.slots.runtime import Found, Life, PlaceTaken, Runtime
from interlock.core.health import Answer, ProbeKind
from interlock.core.release import Instance, Revision
from interlock.ports.clock import Clock
from interlock.ports.host import HostError
from interlock.ports.workload import WorkloadError

FIRST_PAUSE = timedelta(seconds=0.5)
LONGEST_PAUSE = timedelta(seconds=30)
HEALTHY_AFTER = timedelta(seconds=60)
LOOK_EVERY = timedelta(seconds=1)
_NEVER = timedelta(days=365)

_logger = logging.getLogger(__name__)


class Slot:
    """One place of a revision: at most one instance, whichever keeper started it.

    `place` is what the record says of it; `save` writes the record (False when it could not), `find_place` finds a
    place that no other slot has.
    """

    def __init__(
        self,
        number: int,
        place: Place,
        revision: Revision,
        runtime: Runtime,
        clock: Clock,
        *,
        find_place: Callable[[], Awaitable[Place]],
        save: Callable[[], bool],
        life: Life | None = None,
    ) -> None:
        self.number = number
        self.place = place
        self.life = life
        self.task: asyncio.Task[None] | None = None
        self._revision, self._runtime, self._clock = revision, runtime, clock
        self._find_place, self._save = find_place, save
        self._configuration = revision.release.configuration
        self._pause = FIRST_PAUSE
        self._place_taken = False
        self._ready = False
        self._reason = "starting"

    @property
    def observed(self) -> Instance:
        """The instance as last seen."""
        word = self.life.word if self.life else ""
        ready = self._ready and self.life is not None
        name, restarts, reason = self._revision.name, self.place.restarts, self._reason
        return Instance(name, self.number, self.place.address, self.life is not None, ready, restarts, reason, word)

    @property
    def found(self) -> Found:
        """The instance, for its runtime to retire."""
        handle = self.life.handle if self.life else None
        return Found(self._revision.environment, self._revision.name, self.number, handle, self.life is not None)

    async def start(self) -> None:
        """Start the instance, elsewhere when its place was taken. Raises WorkloadError or HostError."""
        if self._place_taken:
            await self._move()
        try:
            life = await self._runtime.start(self._revision, self.number, self.place)
        except PlaceTaken:
            await self._move()
            life = await self._runtime.start(self._revision, self.number, self.place)
        self.life, self._ready, self._reason = life, False, "starting"

    async def keep(self) -> None:
        """Keep one instance of this slot alive until cancelled; the instance itself lives on then."""
        while True:
            try:
                if self.life is None:
                    await self.start()
                    self._count_restart()
                if self.life is not None:
                    await self._watch(self.life)
            except (HostError, WorkloadError) as problem:
                self._ready, self._reason = False, str(problem)
            except Exception as problem:  # one slot's trouble must not end the supervision of all others
                _logger.exception("supervising %s/%s failed", self._revision.name, self.number)
                self._ready, self._reason = False, f"supervision failed: {problem!r}"
            await self._clock.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _count_restart(self) -> None:
        self.place = replace(self.place, restarts=self.place.restarts + 1)
        self._save()  # the count alone is worth no error on a full disk

    async def _move(self) -> None:
        """Take another place. It is recorded first: the next keeper would look for the instance at the old one."""
        before, found = self.place, await self._find_place()
        self.place = replace(found, restarts=before.restarts)
        if self._save():
            self._place_taken = False
            return
        self.place = before
        raise WorkloadError(f"port {before.port} is taken, and another cannot be recorded; is the disk full?")

    async def _watch(self, life: Life) -> None:
        """Look at a life until it has ended, by itself or because it has to be started again."""
        seen = _Seen(self._clock.monotonic())
        ended = asyncio.create_task(life.gone(_NEVER))
        try:
            while not ended.done():
                trouble = await _unless(ended, self._look(life, seen))
                if trouble is not None:
                    await self._end(life, trouble)
                    return
                await asyncio.wait({ended}, timeout=self._until_next_look(seen).total_seconds())
            ended.result()
        finally:
            ended.cancel()
        await self._autopsy(life, seen)

    async def _look(self, life: Life, seen: _Seen) -> str | None:
        """Look once; return why it has to be started again, or None."""
        if trouble := await life.trouble():
            return trouble
        readiness, liveness = self._configuration.readiness, self._configuration.liveness
        age = timedelta(seconds=self._clock.monotonic() - seen.since)
        if liveness is None or not (seen.ready_at or age > self._configuration.start_within):
            self._note(await life.ask(readiness), seen)
            return None
        if liveness == readiness:
            ready = lives = await life.ask(readiness)
        else:
            ready, lives = await asyncio.gather(life.ask(readiness), life.ask(liveness))
        self._note(ready, seen)
        seen.failures = 0 if lives.ok else seen.failures + 1
        if seen.failures < self._configuration.unhealthy_after:
            return None
        return f"alive but failed its liveness probe {seen.failures} times in a row: {lives.reason}"

    def _note(self, readiness: Answer, seen: _Seen) -> None:
        now = self._clock.monotonic()
        self._ready, self._reason = readiness.ok, "" if readiness.ok else readiness.reason
        if readiness.ok:
            seen.ready_at = seen.ready_at or now
            seen.healthy_since = seen.healthy_since or now
            if now - seen.healthy_since >= HEALTHY_AFTER.total_seconds():
                self._pause = FIRST_PAUSE
        else:
            seen.healthy_since = None

    def _until_next_look(self, seen: _Seen) -> timedelta:
        """Until first ready look after each twentieth of its age: seen promptly, and cheap where a start takes long."""
        if seen.ready_at:
            return LOOK_EVERY
        shortest = timedelta(seconds=0.5 if self._configuration.readiness.kind is ProbeKind.COMMAND else 0.05)
        age = timedelta(seconds=self._clock.monotonic() - seen.since)
        return min(LOOK_EVERY, max(shortest, age / 20))

    async def _end(self, life: Life, trouble: str) -> None:
        self._ready, self._reason = False, trouble
        await life.halt(self._configuration.stop_within)
        self.life, self._reason = None, f"{trouble}; it was stopped to be started again"

    async def _autopsy(self, life: Life, seen: _Seen) -> None:
        self._ready = False
        found = await life.autopsy(was_ready=seen.ready_at is not None)
        self.life, self._reason, self._place_taken = None, found.reason, found.place_taken


class _Seen:
    """What was seen of one life since we watch it, on the monotonic clock."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.ready_at: float | None = None
        self.healthy_since: float | None = None
        self.failures = 0


async def _unless(ended: asyncio.Task[bool], look: Awaitable[str | None]) -> str | None:
    """Wait for what a look finds, but no longer than it lives: a probe may hang as long as its time-out."""
    looking = asyncio.ensure_future(look)
    try:
        await asyncio.wait({ended, looking}, return_when=asyncio.FIRST_COMPLETED)
        return None if ended.done() else looking.result()
    finally:
        if not looking.done():
            looking.cancel()
            await asyncio.wait({looking})
