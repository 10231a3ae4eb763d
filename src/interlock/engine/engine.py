"""Which rollouts are ours to drive, and what starts, follows and replaces them?"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from interlock.core.agents import AGENTS, order_refused, plan_refused
from interlock.core.events import LOCAL, Order, OrderKind, TurnedOff
from interlock.core.hooks import missing
from interlock.core.judge.baseline import History
from interlock.core.lock import Lock, Locked
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage
from interlock.core.record import plain, restore
from interlock.core.rollout import Rollout, begin
from interlock.core.sample import Reading, difference
from interlock.core.toggle import Toggle
from interlock.core.transitions import Refused
from interlock.engine.acknowledgements import on_duty
from interlock.engine.approvals import checked
from interlock.engine.claim import Claim
from interlock.engine.drive import Drive
from interlock.engine.drive import live as live_rollout
from interlock.engine.gate import rollback_ready
from interlock.engine.hooks import consented
from interlock.engine.instances import TEND_EVERY, TEND_WITHIN, put_in_front
from interlock.engine.ports import Deadline, Ports
from interlock.engine.scene import SOON
from interlock.engine.sentinel import live as live_sentinel
from interlock.engine.stuck import ALL, Stuck
from interlock.ports.metrics import MetricsError
from interlock.ports.store import Busy, Entry, Fenced, StoreError
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

ADOPT_EVERY = timedelta(seconds=5)
SAMPLE_EVERY = timedelta(seconds=10)
REMEMBER_EVERY = timedelta(seconds=60)
NOT_BEGUN = "not begun"
STAND_WITHIN = timedelta(minutes=2)
GO_BACK_WITHIN = timedelta(minutes=15)


log = logging.getLogger(__name__)


class Stale(Exception):
    """The plan was made for a world that is no more; the message says what has changed."""


class Engine:
    """Drives every active rollout of one state directory, and tends what runs between rollouts."""

    def __init__(self, ports: Ports, owner: str) -> None:
        self._ports, self._owner = ports, owner
        self._drives: dict[str, Drive] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._histories: dict[str, History] = {}
        self._readings: dict[str, Reading] = {}
        self._owning, self._following = asyncio.Lock(), asyncio.Lock()
        self._fenced: set[str] = set()
        self._to_follow: dict[str, Rollout] = {}
        self._stuck = Stuck()
        self._stopped = self._looks_back = False

    async def resume(self) -> None:
        """Take over every rollout that is not over, and begin what a finished one left to begin.

        What cannot be taken over now, as the store is full or cannot be read, is tried again by `tend`: instances and
        proxy must be kept alive meanwhile.
        """
        self._looks_back, self._stopped = True, False
        try:
            await self._adopt()
        except StoreError as error:
            log.warning("not everything could be taken over, which is tried again: %s", error)

    async def start(self, plan: Plan, by: str, *, supersede: bool = False, key: str = "", channel: str = LOCAL) -> str:
        """Start a plan; return its run's id. Raises Locked, Stale, or Busy when one is under way and not superseded.

        With a `key` twice is once: whoever says it again gets the same run. Raises Refused for what no agent may start,
        and for a key with which another plan was started.
        """
        if (begun := await self._begun(plan, key)) is not None:
            return begun
        if channel == AGENTS and (why := await self._not_by_agents(plan, supersede=supersede)):
            raise Refused(why)
        try:
            return await self._start(plan, by, key, channel, supersede=supersede)
        except Busy:
            if (begun := await self._begun(plan, key)) is not None:  # somebody said the same at the same moment
                return begun
            raise

    async def _start(self, plan: Plan, by: str, key: str, channel: str, *, supersede: bool) -> str:
        if (lock := await self._locked(plan)) is not None:
            raise Locked(lock)
        if lacking := missing(plan):
            raise Refused(f"{lacking}. Ask them anew: interlock deploy {plan.version}")
        await self._make_way(plan, by, supersede=supersede)
        await self._check_world(plan)
        number = await self._ports.store.number(plan.service)
        await self._ports.store.add_plan(plan)
        run = f"{plan.service}-{number}"
        await self._begin(run, plan, plan.stages[0], by, key, channel)
        return run

    async def _begun(self, plan: Plan, key: str) -> str | None:
        """Return the run that was started by this key, if one was."""
        first = await self._ports.store.heard(key) if key else None
        if first is not None and first.plan != plan.hash:
            raise Refused(f"{key} has started {first.run}, by another plan ({first.plan}): give this one another key")
        return None if first is None else first.run

    async def _not_by_agents(self, plan: Plan, *, supersede: bool) -> str:
        if supersede and not all([await self._returns(plan.service, stage) for stage in plan.stages]):
            return (
                "an agent replaces nothing that is under way, but to go back: a person has to, or it is aborted first"
            )
        return plan_refused(plan)

    async def bring_back(self, plan: Plan) -> list[str]:
        """Have what is stable run and serve again, after everything was stopped; return where it did not run before.

        Raises Busy while a rollout is under way, TrafficError or WorkloadError when it does not get whole in time.
        """
        if running := await self._under_way(plan):
            raise Busy(running[0])
        brought = []
        for stage in plan.stages:
            if stage.replaces is None:
                continue
            if not await self._ports.workload.instances(stage.replaces.name):
                brought.append(stage.environment)
            await self._stand(stage)
        return brought

    async def _stand(self, stage: Stage) -> None:
        deadline = Deadline.after(self._ports.clock, STAND_WITHIN)
        while not (answer := await rollback_ready(self._ports, stage)).open:
            if deadline.over:
                raise WorkloadError(answer.reason)
            await self._ports.clock.sleep(SOON)

    async def order(self, run: str, order: Order) -> Rollout:
        """Give an order to the run's rollout that is under way; raise Refused when there is none that it fits."""
        rollouts = await self._ports.store.run(run)
        if not rollouts:
            raise Refused(f"there is no rollout {run}. Which there are: interlock history")
        newest = rollouts[-1]
        if order.key in newest.heard:
            return newest
        drive = self._drives.get(newest.id)
        again = newest.phase is Phase.FAILED and order.kind is OrderKind.ABORT
        if drive is None and (again or not newest.over):
            drive = await self._own(newest)
        if drive is None:
            from_table = newest.id, order.kind.value, newest.phase.value, newest.since
            raise Refused(_finished(*from_table, newest.stage.revision.release.service))
        if why := order_refused(order, drive.rollout):
            raise Refused(why)
        order = await on_duty(self._ports, await checked(self._ports, order, drive.rollout), drive.rollout)
        return await drive.order(order)

    async def turned_off(self, id: str, wanted: Toggle) -> None:
        """Have a rollout under way know that a person turned off its flag, and pause: only a person lets it go on."""
        drive, now = self._drives.get(id), self._ports.clock.now()
        if drive is None:
            return
        drive.turned_off(TurnedOff(now, wanted.flag, wanted.by))
        key, reason = f"off-{wanted.flag}-{now.isoformat()}", f"flag {wanted.flag} was turned off"
        with contextlib.suppress(Refused, StoreError):  # on its way back, or paused already
            await drive.order(Order(now, OrderKind.PAUSE, wanted.by, key, reason, channel=wanted.channel))

    def live(self) -> Mapping[str, Any]:
        """Return what is known of each rollout under way beyond its record: evidence, points, strength."""
        return {id: {**live_rollout(drive), **live_sentinel(drive.sentinel)} for id, drive in self._drives.items()}

    def stuck(self) -> Mapping[str, Mapping[str, str]]:
        """Return the rollouts under way that cannot be driven, by id: since when, and why ("" is all of them)."""
        return self._stuck.told()

    async def tend(self) -> None:
        """Between rollouts: keep the endpoints where the instances are, and remember stable's last hour of traffic.

        Rollouts that nobody drives are taken up, too. No duty waits for another one's trouble.
        """
        duties = {
            self._adopt: ADOPT_EVERY,
            self._tend_endpoints: TEND_EVERY,
            self._sample_quiet_environments: SAMPLE_EVERY,
            self._remember: REMEMBER_EVERY,
        }
        last = dict.fromkeys(duties, 0.0)
        while True:
            for duty, every in duties.items():
                now = self._ports.clock.monotonic()
                if now - last[duty] >= every.total_seconds():
                    last[duty] = now
                    await _try(duty)
            await self._ports.clock.sleep(TEND_EVERY)

    async def stop(self) -> None:
        """Stop driving; every rollout stays where it is, for the next owner or until `resume`."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _locked(self, plan: Plan) -> Lock | None:
        """Return the lock that forbids this plan: none when each stage goes back to what was proven there before."""
        lock = await self._ports.store.locked(plan.service)
        if lock is None or not lock.holds(self._ports.clock.now()):
            return None
        returns = [await self._returns(plan.service, stage) for stage in plan.stages]
        return None if all(returns) else lock

    async def _returns(self, service: str, stage: Stage) -> bool:
        proven = [proof.identity for proof in await self._ports.store.proofs(service, stage.environment)]
        identity = stage.revision.release.identity
        return identity in proven and identity != proven[0]

    async def _make_way(self, plan: Plan, by: str, *, supersede: bool) -> None:
        running = await self._under_way(plan)
        if running and not supersede:
            raise Busy(running[0])
        for rollout in running:
            now = self._ports.clock.now()
            order = Order(now, OrderKind.SUPERSEDE, by, f"supersede-{plan.hash}-{rollout.id}", f"plan {plan.hash}")
            await self.order(rollout.run, order)
            await self._until_over(rollout)
            ended = await self._ports.store.rollout(rollout.id)
            if ended is not None and ended.phase is Phase.FAILED:
                raise Refused(
                    f"{ended.id} could not be taken back, so nothing newer is begun: {ended.reason}. Try again to go "
                    f"back with: interlock abort {ended.run}"
                )

    async def _under_way(self, plan: Plan) -> list[Rollout]:
        """Return the service's rollouts under way in the plan's environments."""
        mine = {stage.environment for stage in plan.stages}
        return [
            rollout
            for rollout in await self._ports.store.active()
            if rollout.stage.revision.release.service == plan.service and rollout.stage.environment in mine
        ]

    async def _until_over(self, rollout: Rollout) -> None:
        deadline = Deadline.after(self._ports.clock, GO_BACK_WITHIN)
        while rollout.id in self._drives:
            if deadline.over:
                raise Busy(rollout)
            await self._ports.clock.sleep(timedelta(milliseconds=50))

    async def _check_world(self, plan: Plan) -> None:
        for newest in await self._ports.store.rollouts(1):
            owner = newest.stage.revision.release.service
            if owner != plan.service:  # routes are named by environment: this plan would take the other's entrance
                raise Stale(
                    f"this state directory is {owner}'s: {plan.service} would take over {owner}'s environments. Give "
                    f"{plan.service} one of its own with --state or INTERLOCK_STATE"
                )
        for stage in plan.stages:
            if (reason := await self._moved_on(plan, stage)) is not None:
                raise Stale(reason)

    async def _moved_on(self, plan: Plan, stage: Stage) -> str | None:
        proofs = await self._ports.store.proofs(plan.service, stage.environment)
        now = proofs[0].revision.name if proofs else None
        planned = stage.replaces.name if stage.replaces else None
        if now == planned:
            return None
        return (
            f"the plan {plan.hash} was made to replace {planned or 'nothing'} in {stage.environment}, where "
            f"{now or 'nothing'} is stable now. Plan again"
        )

    async def _begin(self, run: str, plan: Plan, stage: Stage, by: str, key: str = "", channel: str = LOCAL) -> None:
        now = self._ports.clock.now()
        rollout = begin(f"{run}-{stage.environment}", run, plan.hash, stage, now, by)
        rollout = replace(rollout, heard=(key,)) if key else rollout
        said = {"plan": plan.hash, "by": by} | ({} if channel == LOCAL else {"channel": channel})
        what = f"flag {', '.join(str(use.flag) for use in stage.flags)}" if stage.flag_alone else stage.strategy.value
        text = f"{what} of {plan.version} ({stage.revision.name}) in {stage.environment} begins"
        await self._ports.store.begin(rollout, Entry(now, "began", text, said))
        await consented(self._ports, plan, rollout)
        await self._own(rollout)

    async def _begin_next(self, rollout: Rollout) -> None:
        """Begin the next environment of a run whose last one succeeded; once, and only what was planned for this world.

        A refusal is noted and final: to begin by surprise, days later, would be worse than not to begin.
        """
        plan = await self._ports.store.plan(rollout.plan)
        if plan is None:
            return
        begun = {other.stage.environment for other in await self._ports.store.run(rollout.run)}
        left = [stage for stage in plan.stages if stage.environment not in begun]
        if not left or rollout.stage.environment != plan.stages[len(plan.stages) - len(left) - 1].environment:
            return
        if any(entry.kind == NOT_BEGUN for entry in await self._ports.store.entries(rollout.id)):
            return
        reason = await self._moved_on(plan, left[0])
        if reason is None and (lock := await self._locked(plan)) is not None:
            reason = str(Locked(lock))
        if reason is None:
            try:
                await self._begin(rollout.run, plan, left[0], rollout.by)
            except Busy as busy:
                reason = str(busy)
        if reason is not None:
            now = self._ports.clock.now()
            await self._ports.store.note(rollout.id, (Entry(now, NOT_BEGUN, reason, {}),))

    async def _adopt(self) -> None:
        """Drive what is not over and has no drive, as the store was full or the drive broke; begin what follows."""
        try:
            under_way = await self._ports.store.under_way()
        except StoreError as error:
            self._stuck.note(ALL, self._ports.clock.now(), str(error))
            raise
        self._stuck.clear(ALL)
        self._stuck.only(under_way)
        for id in under_way:
            if id not in self._fenced and not self._stopped:
                await self._take_up(id)
        await self._look_back()
        await self._follow()

    async def _take_up(self, id: str) -> None:
        """Drive one rollout; what keeps it from being driven keeps no other one."""
        try:
            if id not in self._drives and (rollout := await self._ports.store.rollout(id)) is not None:
                await self._own(rollout)
        except StoreError as error:
            self._stuck.note(id, self._ports.clock.now(), str(error))
        else:
            if id in self._drives and self._drives[id].stands:
                self._stuck.clear(id)

    async def _look_back(self) -> None:
        """Find, once, what the last owner may not have followed."""
        if self._looks_back:
            for rollout in await self._ports.store.rollouts(20):
                if rollout.phase is Phase.SUCCEEDED:
                    self._to_follow[rollout.id] = rollout
            self._looks_back = False

    async def _follow(self) -> None:
        """Begin what is to follow a success; when the store is full that is tried again later."""
        async with self._following:
            for id, rollout in list(self._to_follow.items()):
                await self._begin_next(rollout)
                self._to_follow.pop(id, None)

    async def _own(self, rollout: Rollout) -> Drive:
        """Drive a rollout, as its record has it now; it is driven once at a time."""
        async with self._owning:
            if rollout.id in self._drives:
                return self._drives[rollout.id]
            claim = Claim(self._ports.store, rollout.id, self._owner)
            with contextlib.suppress(StoreError):  # tried again before the first write; to go back cannot wait for it
                await claim.epoch()
            recorded = await self._ports.store.rollout(rollout.id) or rollout
            drive = Drive(self._ports, recorded, claim, await self._history(rollout.stage.environment))
            self._drives[rollout.id] = drive
        task = asyncio.create_task(self._drive(drive))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return drive

    async def _drive(self, drive: Drive) -> None:
        id, environment = drive.rollout.id, drive.rollout.stage.environment
        try:
            rollout = await drive.run()
        except Fenced:
            self._fenced.add(id)
            return
        except Exception as error:
            if drive.stands:
                self._stuck.clear(id)
            if not isinstance(error, StoreError):
                log.exception("%s: its drive broke; it is taken up again in a few seconds", id)
            self._stuck.note(id, self._ports.clock.now(), str(error) or repr(error))
            return
        finally:
            self._drives.pop(id, None)
            self._histories[environment] = drive.sentinel.history
            self._readings.pop(environment, None)  # the drive has counted since: from there on, nothing twice
        if rollout.phase is Phase.SUCCEEDED:
            self._histories[environment] = History()
            self._to_follow[id] = rollout
            with contextlib.suppress(StoreError):
                await self._follow()

    async def _history(self, environment: str) -> History:
        if environment not in self._histories:
            kept = await self._ports.store.recall(environment)
            self._histories[environment] = _remembered(kept) if kept else History()
        return self._histories[environment]

    async def _tend_endpoints(self) -> None:
        for environment, revision in await self._quiet():
            for known in await self._ports.workload.revisions(environment):
                if known.name == revision:
                    await put_in_front(self._ports, known)

    async def _quiet(self) -> list[tuple[str, str]]:
        """Return (environment, stable revision) wherever no rollout is under way."""
        busy = {drive.rollout.stage.environment for drive in self._drives.values()}
        quiet = []
        for environment in await self._ports.workload.environments():
            route = await self._ports.traffic.route(environment)
            if environment not in busy and route is not None and route.stable is not None:
                quiet.append((environment, route.stable))
        return quiet

    async def _sample_quiet_environments(self) -> None:
        for environment, revision in await self._quiet():
            reading = await self._ports.metrics.read((revision,))
            sample = difference(self._readings.get(environment), reading, revision, None)
            self._readings[environment] = reading
            if sample is not None and sample.canary is not None:
                history = await self._history(environment)
                self._histories[environment] = history.add(sample.canary, sample.covers)

    async def _remember(self) -> None:
        for environment, history in self._histories.items():
            with contextlib.suppress(StoreError):
                await self._ports.store.remember(environment, {"history": plain(history)})


def _remembered(kept: Mapping[str, Any]) -> History:
    try:
        return restore(History, kept["history"])
    except (KeyError, ValueError):  # written by another version: an hour's traffic is no reason to drive nothing
        return History()


async def _try(duty: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(TEND_WITHIN.total_seconds()):
            await duty()
    except (TimeoutError, TrafficError, WorkloadError, MetricsError, StoreError):
        pass  # seen again when it is due the next time; what serves is not touched
    except Exception:  # our own fault in one duty must not end the others
        log.exception("a duty between rollouts broke; it is tried again when it is due")


def _finished(id: str, verb: str, phase: str, since: Any, service: str) -> str:
    return (
        f"{id} is {phase} since {since:%Y-%m-%d %H:%M:%S} UTC: there is nothing left to {verb}. To go back to an "
        f"earlier release of {service}: interlock rollback VERSION"
    )
