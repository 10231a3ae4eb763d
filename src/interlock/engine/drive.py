"""How does one rollout get to its end, whatever comes: orders, findings of safety, crashes, a full disk?

One loop with one inbox. The present step runs as a child task; the sentinel lives beside it as long as the rollout.
What arrives first wins: an order or a finding that changes where the rollout stands cancels the step. Each change is
written before its effect begins; when it cannot be written, only what lowers risk goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from interlock.core.judge.baseline import History
from interlock.core.record import plain
from interlock.core.rollout import (
    Event,
    Failed,
    Held,
    Observed,
    Order,
    Phase,
    Refused,
    Rollout,
    Unsafe,
    advance,
)
from interlock.core.steps import Until, Watch
from interlock.engine.journal import entries
from interlock.engine.perform import Outcome, Performer
from interlock.engine.ports import Ports
from interlock.engine.sentinel import Sentinel
from interlock.ports.store import Entry, Proof, Quarantined, StoreError

PAUSED_AT_MOST = timedelta(hours=24)
TRY_AGAIN_AFTER = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class Message:
    """Something for the loop: an event, who waits for the answer, and for which run of a step it was meant."""

    event: Event
    data: Mapping[str, Any] = field(default_factory=dict)
    answer: asyncio.Future[Rollout] | None = None
    turn: int | None = None


class Drive:
    """Drives one rollout that we own under `epoch`."""

    def __init__(self, ports: Ports, rollout: Rollout, epoch: int, history: History) -> None:
        self.rollout = rollout
        self._ports, self._epoch = ports, epoch
        self.sentinel = Sentinel(ports, lambda: self.rollout, epoch, history)
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._performer = Performer(ports, self.sentinel, lambda: self.rollout, self._tell)
        self._step: asyncio.Task[None] | None = None
        self._turn = 0
        self._unwritten: tuple[Entry, ...] = ()

    async def run(self) -> Rollout:
        """Drive to the end; return the rollout when it is over. Raises Fenced when another owner has taken it."""
        await self.sentinel.recover()
        if not self.rollout.going_back:
            await self.sentinel.look_once(self._find)
        safety = asyncio.create_task(self.sentinel.run(self._find))
        safety.add_done_callback(self._safety_ended)
        try:
            while not self.rollout.over:
                self._begin_step()
                await self._take(await self._inbox.get())
            await self._write_until_kept()
        finally:
            safety.cancel()
            await self._end_step()
        return self.rollout

    async def order(self, order: Order) -> Rollout:
        """Give an order; return the rollout after it. Raises Refused, or StoreError when it cannot be recorded."""
        answer: asyncio.Future[Rollout] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(Message(order, answer=answer))
        return await answer

    @property
    def over(self) -> bool:
        """Whether there is no one left to give an order to."""
        return self.rollout.over

    def _find(self, finding: Unsafe) -> None:
        self._inbox.put_nowait(Message(finding))

    def _tell(self, event: Held | Observed) -> None:
        self._inbox.put_nowait(Message(event, turn=self._turn))

    def _safety_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            reason = f"safety could no longer be evaluated: {task.exception()!r}"
            self._find(Unsafe(self._ports.clock.now(), reason, quarantine=False))

    def _begin_step(self) -> None:
        if self._step is None:
            self._step = asyncio.create_task(self._run_step(self._turn))

    async def _run_step(self, turn: int) -> None:
        if self.rollout.phase is Phase.PAUSED:
            await self._ports.clock.sleep(PAUSED_AT_MOST)
            late = Failed(self._ports.clock.now(), self.rollout.index, "paused for longer than a day")
            self._inbox.put_nowait(Message(late, turn=turn))
            return
        step = self.rollout.next_step
        assert step is not None
        try:
            outcome = await self._performer.perform(step)
        except (
            Exception
        ) as error:  # a step that breaks must be an outcome: a rollout without one would stand still for ever
            outcome = Outcome(Failed(self._ports.clock.now(), self.rollout.index, f"{step}: {error!r}"))
        self._inbox.put_nowait(Message(outcome.event, outcome.data, turn=turn))

    async def _end_step(self) -> None:
        step, self._step = self._step, None
        self._turn += 1
        if step is not None:
            step.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await step

    async def _take(self, message: Message) -> None:
        """Apply one message: decide, write, then let the next step begin."""
        if message.turn is not None and message.turn != self._turn:
            return
        before = self.rollout
        try:
            after = advance(before, message.event)
        except Refused as refused:
            _answer(message, refused)
            return
        moved = _stands_elsewhere(before, after)
        if moved:
            await self._end_step()
        if await self._write(before, message, after):
            _answer(message, self.rollout)
        elif moved:
            self._step = None

    async def _write(self, before: Rollout, message: Message, after: Rollout) -> bool:
        """Record the change and stand where it leads; say whether it took effect."""
        written = entries(before, message.event, after, message.data)
        if not written and after.phase is before.phase:
            self.rollout = after
            return True
        try:
            await self._save(after, written)
        except StoreError as error:
            if not after.going_back:
                self._put_off(message, error)
                return False
            self._unwritten += written
        self.rollout = after
        return True

    async def _save(self, after: Rollout, written: tuple[Entry, ...]) -> None:
        await self._ports.store.save(
            after,
            self._epoch,
            self._unwritten + written,
            proof=_proof(after),
            quarantined=_quarantined(after),
        )
        self._unwritten = ()

    def _put_off(self, message: Message, error: StoreError) -> None:
        """Try again soon: going on without a record is not allowed, and the sentinel keeps watch meanwhile."""
        self.sentinel.trouble = str(error)
        if message.answer is not None:
            _answer(message, error)
            return
        again = Message(message.event, message.data, turn=None if message.turn is None else self._turn)
        loop = asyncio.get_running_loop()
        loop.call_later(TRY_AGAIN_AFTER.total_seconds(), self._inbox.put_nowait, again)
        if self._step is None:
            self._step = loop.create_task(asyncio.sleep(0))

    async def _write_until_kept(self) -> None:
        """A rollback that ended while the store was full is still to be written: until then its environment is busy."""
        while self._unwritten:
            try:
                await self._save(self.rollout, ())
            except StoreError:
                await self._ports.clock.sleep(TRY_AGAIN_AFTER)


def _stands_elsewhere(before: Rollout, after: Rollout) -> bool:
    place = (before.turned_at, before.index, before.over, before.phase is Phase.PAUSED)
    return place != (after.turned_at, after.index, after.over, after.phase is Phase.PAUSED)


def _answer(message: Message, answer: Rollout | Exception) -> None:
    if message.answer is None or message.answer.done():
        return
    if isinstance(answer, Exception):
        message.answer.set_exception(answer)
    else:
        message.answer.set_result(answer)


def _proof(rollout: Rollout) -> Proof | None:
    if rollout.phase is not Phase.SUCCEEDED:
        return None
    revision = rollout.stage.revision
    release = revision.release
    return Proof(
        release.service,
        rollout.stage.environment,
        release.proven_as,
        release.identity,
        revision,
        rollout.id,
        rollout.since,
    )


def _quarantined(rollout: Rollout) -> Quarantined | None:
    if not rollout.quarantine or not rollout.going_back:
        return None
    release = rollout.stage.revision.release
    return Quarantined(release.service, release.identity, release.version, rollout.id, rollout.reason, rollout.since)


def live(drive: Drive) -> dict[str, Any]:
    """Return what a surface shows of a rollout under way beyond its record."""
    step = drive.rollout.next_step
    waits = isinstance(step, Watch) and step.until is Until.APPROVED
    return {"rollout": plain(drive.rollout), "waits_for_person": waits}
