"""How does one rollout get to its end, whatever comes: orders, findings of safety, crashes, a full disk?

One loop with one inbox. The present step runs as a child task; the sentinel lives beside it as long as the rollout.
What arrives first wins: an order or a finding that changes where the rollout stands cancels the step. Each change is
written before its effect begins; when it cannot be written, only what lowers risk goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from interlock.core.events import Event, Failed, Held, Observed, Order, OrderKind, TurnedOff, Unsafe
from interlock.core.hooks import GATES as HOOK_GATES
from interlock.core.judge.baseline import History
from interlock.core.phase import Phase
from interlock.core.record import plain
from interlock.core.rollout import Rollout, timed
from interlock.core.stay import Stay
from interlock.core.steps import Gate, SetWeight, Until, Watch
from interlock.core.transitions import Refused, advance
from interlock.core.weight import NONE, Weight
from interlock.engine.claim import Claim
from interlock.engine.guard import Guard
from interlock.engine.guard import live as live_guard
from interlock.engine.instances import kept_in_front
from interlock.engine.journal import entries
from interlock.engine.perform import Performer
from interlock.engine.ports import Ports
from interlock.engine.puller import Puller
from interlock.engine.scene import Outcome, Scene
from interlock.engine.sentinel import Sentinel
from interlock.ports.store import Busy, Entry, Proof, Quarantined, StoreError

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
    """Drives one rollout that we own by `claim`; it `stands` once what was recorded of it could be taken up."""

    def __init__(self, ports: Ports, rollout: Rollout, claim: Claim, history: History) -> None:
        self.rollout, self.stands = rollout, False
        self._ports, self._claim = ports, claim
        self.sentinel = Sentinel(ports, lambda: self.rollout, claim, history)
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.guard = Guard(ports, ports.outside, lambda: self.rollout, self.turned_off)
        self._puller = Puller(ports)
        self._scene = Scene(ports, self.sentinel, self.guard, self._puller, lambda: self.rollout, self._tell)
        self._performer = Performer(self._scene)
        self._step: asyncio.Task[None] | None = None
        self._turn = 0
        self._unwritten: tuple[Entry, ...] = ()
        self._behind = False
        self._quarantine_kept = rollout.quarantine
        self._lost: BaseException | None = None

    async def run(self) -> Rollout:
        """Drive to the end; return the rollout when it is over. Raises Fenced when another owner has taken it."""
        beside: list[asyncio.Task[None]] = []
        try:
            await self._look_first()
            self.stands = True
            beside = [asyncio.create_task(one.run(self._find)) for one in (self.sentinel, self.guard)]
            for task in beside:
                task.add_done_callback(self._safety_ended)
            while not self.rollout.over or not self._inbox.empty():
                self._begin_step()
                await self._take_or_refuse(await self._inbox.get())
            await self._write_until_kept()
        finally:
            for task in beside:
                task.cancel()
            self._puller.end()
            await self._end_step()
            self._refuse_the_rest()
        return self.rollout

    async def order(self, order: Order) -> Rollout:
        """Give an order; return the rollout after it. Raises Refused, or StoreError when it cannot be recorded."""
        answer: asyncio.Future[Rollout] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(Message(order, self._proof(order), answer))
        return await answer

    def turned_off(self, event: TurnedOff) -> None:
        """Hear that a person has turned off a flag, or on again; it is written down when it can be."""
        self._inbox.put_nowait(Message(event))

    async def _look_first(self) -> None:
        """See how things stand before anything is done, and take up what the last owner had seen."""
        recalled = await self.sentinel.recover()
        self._stand_here(recalled.stay or self.rollout.stay)
        await self.sentinel.keep()
        more = recalled.observed - self.rollout.observed
        if more > timedelta(0) and self.rollout.phase is not Phase.PAUSED:
            self.rollout = advance(self.rollout, Observed(self._ports.clock.now(), self.rollout.index, more))
        if self.rollout.going_back:
            return
        await self.sentinel.look_once(self._find)
        if (reason := self._elsewhere()) is not None:
            self._find(Unsafe(self._ports.clock.now(), reason, quarantine=False))

    def _stand_here(self, last: Stay | None) -> None:
        """Count on how long the present step has lasted, from what was last written of it."""
        boot, now = self._ports.clock.boot, self._ports.clock.monotonic()
        stay = Stay(boot, now) if last is None else last.taken_over(boot, now)
        self.rollout = replace(self.rollout, stay=stay)

    def _elsewhere(self) -> str | None:
        """Say how the traffic differs from what the record wants: its last owner may have gone back unrecorded."""
        world, rollout = self.sentinel.world, self.rollout
        if world is None or world.route is None:
            return None
        has = world.route.share(rollout.stage.revision.name)
        if has == rollout.weight or (isinstance(rollout.next_step, SetWeight) and has == _weight_before(rollout)):
            return None
        return f"the record says {rollout.weight} of the traffic, the data plane has {has}: going back is safe"

    def _find(self, finding: Unsafe) -> None:
        self._inbox.put_nowait(Message(finding, self._evidence()))

    def _evidence(self) -> Mapping[str, Any]:
        """Return what the judge says now, for the journal: the report quotes what a decision was made on."""
        return {"judgement": plain(self.sentinel.judgement)} if self.sentinel.judged else {}

    def _proof(self, order: Order) -> Mapping[str, Any]:
        """Return what an order is founded on, for the journal: the judge's word, or what was signed."""
        match order.kind:
            case OrderKind.PROMOTE:
                return self._evidence()
            case OrderKind.APPROVE if order.signature:
                return {"signed": order.text, "signature": order.signature}
        return {}

    def _tell(self, event: Held | Observed) -> None:
        self._inbox.put_nowait(Message(event, turn=self._turn))

    def _safety_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._lost = task.exception()
            self._find(Unsafe(self._ports.clock.now(), f"safety ended: {self._lost!r}", quarantine=False))

    def _begin_step(self) -> None:
        if self._step is None and not self.rollout.over:
            turn = self._turn
            self._step = asyncio.create_task(self._run_step(turn))
            self._step.add_done_callback(lambda task: self._step_ended(task, turn))

    def _step_ended(self, task: asyncio.Task[None], turn: int) -> None:
        """A step that ends without an outcome, as an adapter cancelled it from within, has one all the same."""
        error = None if task.cancelled() else task.exception()
        if turn == self._turn and (task.cancelled() or error is not None):
            reason = f"step {self.rollout.index + 1} ended without an outcome: {error!r}"
            self._inbox.put_nowait(Message(Failed(self._ports.clock.now(), self.rollout.index, reason), turn=turn))

    async def _run_step(self, turn: int) -> None:
        if self.rollout.phase is Phase.PAUSED:
            async with self._tended():
                await self._ports.clock.sleep(self._scene.left(PAUSED_AT_MOST))
            late = Failed(self._ports.clock.now(), self.rollout.index, "paused for longer than a day")
            self._inbox.put_nowait(Message(late, turn=turn))
            return
        if not self.rollout.going_back:
            await self._until_claimed()
        step = self.rollout.next_step
        assert step is not None
        try:
            async with self._tended():
                outcome = await self._performer.perform(step)
        except Exception as error:  # a step that breaks must be an outcome: without one the rollout would stand still
            outcome = Outcome(Failed(self._ports.clock.now(), self.rollout.index, f"{step}: {error!r}"))
        self._inbox.put_nowait(Message(outcome.event, outcome.data, turn=turn))

    def _tended(self) -> AbstractAsyncContextManager[None]:
        """Tend the endpoints beside what only waits: other steps see to them, or must not have them changed."""
        step = self.rollout.next_step
        if not (isinstance(step, Watch) or (isinstance(step, Gate) and step.name in HOOK_GATES)):
            return nullcontext()
        return kept_in_front(self._ports, self.rollout.stage, lambda: self._claim.held)

    async def _until_claimed(self) -> None:
        """Wait until the rollout is ours on record: before that only what lowers risk may be done."""
        while not self._claim.held:
            try:
                await self._claim.epoch()
            except StoreError as error:
                self.sentinel.unwritten = str(error)
                await self._ports.clock.sleep(TRY_AGAIN_AFTER)

    async def _end_step(self) -> None:
        step, self._step = self._step, None
        self._turn += 1
        if step is not None:
            step.cancel()
            await asyncio.wait({step})  # not `await step`: that would swallow a cancellation of our own

    async def _take_or_refuse(self, message: Message) -> None:
        """Apply one message; whoever waits for its answer gets one, also when this drive ends by it."""
        try:
            if self._lost is not None:
                raise self._lost
            await self._take(message)
        except BaseException:
            _answer(message, Refused(f"{self.rollout.id} is in other hands, or was stopped: ask again"))
            raise

    async def _take(self, message: Message) -> None:
        """Apply one message: decide, write, then let the next step begin."""
        if message.turn is not None and message.turn != self._turn:
            return
        before = self.rollout
        try:
            after = timed(before, advance(before, message.event), self._ports.clock.boot, self._ports.clock.monotonic())
        except Refused as refused:
            _answer(message, refused)
            return
        moved = _stands_elsewhere(before, after)
        if moved:
            await self._end_step()
        if await self._write(before, message, after):
            self.sentinel.recorder.moved(before, message.event, self.rollout)
            _answer(message, self.rollout)

    async def _write(self, before: Rollout, message: Message, after: Rollout) -> bool:
        """Record the change and stand where it leads; say whether it took effect."""
        written = entries(before, message.event, after, message.data)
        if not written and (after.phase, after.quarantine) == (before.phase, before.quarantine):
            self.rollout = after
            return True
        if after.over:
            await self.sentinel.keep()
        try:
            await self._save(after, written)
        except Busy as busy:  # a failed rollout's second way back, while another rollout is under way
            _answer(message, busy)
            return False
        except StoreError as error:
            if not after.going_back:
                self._put_off(message, error)
                return False
            self._unwritten += written
            self._behind, self.sentinel.unwritten = True, str(error)
        self.rollout = after
        return True

    async def _save(self, after: Rollout, written: tuple[Entry, ...]) -> None:
        await self._ports.store.save(
            after,
            await self._claim.epoch(),
            self._unwritten + written,
            proof=_proof(after),
            quarantined=None if self._quarantine_kept else _quarantined(after),
        )
        self._unwritten, self._behind, self.sentinel.unwritten = (), False, ""
        self._quarantine_kept = after.quarantine and after.going_back

    def _put_off(self, message: Message, error: StoreError) -> None:
        """Try again soon: going on without a record is not allowed, and the sentinel keeps watch meanwhile.

        The outcome of a step stays what it is, and the step is not done again; an order is refused, and the step that
        it would have ended begins anew.
        """
        self.sentinel.unwritten = str(error)
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
        while self._behind:
            try:
                await self.sentinel.keep()
                await self._save(self.rollout, ())
            except StoreError:
                await self._ports.clock.sleep(TRY_AGAIN_AFTER)

    def _refuse_the_rest(self) -> None:
        """Nobody takes messages any more: whoever still waits for an answer gets one."""
        while not self._inbox.empty():
            message = self._inbox.get_nowait()
            try:
                if advance(self.rollout, message.event) is self.rollout:  # heard before: twice is once
                    _answer(message, self.rollout)
                _answer(message, Refused(f"{self.rollout.id} has ended, or is in other hands: ask again"))
            except Refused as refused:
                _answer(message, refused)


def _weight_before(rollout: Rollout) -> Weight:
    weights = [step.weight for step in rollout.stage.steps[: rollout.index] if isinstance(step, SetWeight)]
    return weights[-1] if weights else NONE


def _stands_elsewhere(before: Rollout, after: Rollout) -> bool:
    return _place(before) != _place(after)


def _place(one: Rollout) -> tuple[int | None, int | None, int, bool, bool]:
    return one.turned_at, one.retracted_at, one.index, one.over, one.phase is Phase.PAUSED


def _answer(message: Message, answer: Rollout | Exception) -> None:
    if message.answer is None or message.answer.done():
        return
    if isinstance(answer, Exception):
        message.answer.set_exception(answer)
    else:
        message.answer.set_result(answer)


def _proof(rollout: Rollout) -> Proof | None:
    if rollout.phase is not Phase.SUCCEEDED or rollout.stage.flag_alone:  # the code had been proven before
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
    lasted = drive.sentinel.lasted.total_seconds()
    seen = {"rollout": plain(drive.rollout), "waits_for_person": waits, "lasted": lasted}
    return {**seen, **live_guard(drive.guard)}
