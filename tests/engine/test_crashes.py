"""Does a rollout end as it should when its engine is killed, at whatever moment, once or again and again?"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.stories import BAD, HASTY, FailingStore, Story

from interlock.adapters.memory import Behaviour, World, run
from interlock.core.events import OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, StrategyName
from interlock.core.rollout import Rollout
from interlock.core.transitions import Refused
from interlock.core.weight import ALL, Weight

THOROUGH = os.environ.get("INTERLOCK_TESTS") == "thorough"
MANY = 500 if THOROUGH else 6
GOOD = Behaviour()


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing that is asked for after it happens any more."""


class Fuse:
    """Counts every call of a port and every write; the one numbered `left` is not made, nor any after it."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.count = 0
        self.blown = False

    def burn(self, _: str = "") -> None:
        if self.blown or self.left == self.count:
            self.blown = True
            raise Killed
        self.count += 1

    def blow(self) -> None:
        self.blown = True

    def renew(self, left: int | None) -> None:
        self.left, self.count, self.blown = left, 0, False


class MortalStore(FailingStore):
    """A store whose writer can be killed before any write."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def _check(self) -> None:
        self.fuse.burn()
        super()._check()


class Tale:
    """A deployment whose engine is killed before each of the calls and writes that `kills` numbers, and then replaced.

    `kill_after` kills it so many seconds after it began instead.
    """

    def __init__(
        self,
        strategy: StrategyName,
        kills: tuple[int, ...],
        behaviour: Behaviour,
        instances: int = 2,
        kill_after: float | None = None,
    ) -> None:
        self.strategy, self.kills, self.behaviour, self.instances = strategy, kills, behaviour, instances
        self.kill_after = kill_after
        self.fuse = Fuse()
        behaviours = {"production-v2": replace(behaviour)}
        self.story = Story(World(requests_per_second=2000, behaviours=behaviours), MortalStore(self.fuse))
        self.counted = self.killed = 0
        self.ended: Rollout | None = None

    def told(self, order: OrderKind | None = None) -> Rollout | None:
        """Tell it to its end; return the rollout, None when it was never begun."""
        self.ended = run(self._tell(order))
        return self.ended

    async def _tell(self, order: OrderKind | None) -> Rollout | None:
        story, fuse, kills = self.story, self.fuse, list(self.kills)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # the dead have no last words
        stage = await story.ready(self.strategy, instances=self.instances)
        story.world.before_call = fuse.burn
        fuse.renew(kills.pop(0) if kills else None)
        ordered: asyncio.Future[None] | None = None
        try:
            id = await story.deploy(stage)
            ordered = asyncio.ensure_future(self._order(id, order)) if order else None
            if self.kill_after is not None:
                asyncio.get_running_loop().call_later(self.kill_after, fuse.blow)
        except Killed:
            pass
        while not await self._ended_or_killed():
            self.killed += 1
            await story.engine.stop()
            await story.world.sleep(timedelta(seconds=1))
            fuse.renew(kills.pop(0) if kills else None)
            with contextlib.suppress(Killed):
                await story.new_engine().resume()
        if ordered is not None:
            ordered.cancel()
        begun = [one for one in await story.store.rollouts(9) if one.stage.revision.name == "production-v2"]
        return begun[0] if begun else None

    async def _order(self, id: str, kind: OrderKind) -> None:
        """Give an order as a person would: again, under the same key, until somebody has taken it."""
        await self.story.world.sleep(timedelta(seconds=6))
        while True:
            try:
                await asyncio.wait_for(self.story.order(id, kind, key="the order"), 5)
                return
            except (Killed, Refused, TimeoutError):
                await self.story.world.sleep(timedelta(milliseconds=500))

    async def _ended_or_killed(self) -> bool:
        deadline = self.story.world.monotonic() + 3600
        while not self.fuse.blown:
            if not await self.story.store.active() and not self.story.engine.live():
                self.counted += self.fuse.count
                return True
            assert self.story.world.monotonic() < deadline, [one.reason for one in await self.story.store.active()]
            await self.story.world.sleep(timedelta(milliseconds=250))
        return False

    def right(self, ended: Rollout | None, good: bool) -> None:
        """Require that exactly one revision is left, whole, with all the traffic."""
        world = self.story.world
        assert world.violations == []
        left = "production-v2" if good else "production-v1"
        assert world.running("production") == {left: self.instances}
        route = world.routes["production"]
        assert route.share(left) == ALL
        assert route.revisions == (left,)
        if ended is not None:
            assert ended.phase is (Phase.SUCCEEDED if good else Phase.ROLLED_BACK), ended.reason


def moments(strategy: StrategyName, behaviour: Behaviour, instances: int = 2, order: OrderKind | None = None) -> int:
    """Count the moments at which an engine that is never killed can be."""
    tale = Tale(strategy, (), behaviour, instances)
    ended = tale.told(order)
    tale.right(ended, behaviour is GOOD and order is None)
    return tale.counted


def one_tale_ends_well(tale: Tale, order: OrderKind | None = None) -> None:
    ended = tale.told(order)
    if ended is None:
        tale.right(None, good=False)  # killed before it was begun: nothing has changed
        return
    tale.right(ended, good=ended.phase is Phase.SUCCEEDED)
    good = tale.behaviour is GOOD
    assert ended.phase is Phase.ROLLED_BACK or (good and order is None) or (good and order is OrderKind.ABORT)
    quarantined = run(tale.story.store.quarantine("shop"))
    assert [one.identity for one in quarantined] == ([] if good else [ended.stage.revision.release.identity])
    proofs = run(tale.story.store.proofs("shop", "production"))
    assert (proofs[0].rollout == ended.id) == (ended.phase is Phase.SUCCEEDED)


@pytest.mark.parametrize("instances", [1, 2, 3])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_good_release_succeeds_whenever_the_engine_is_killed(strategy: StrategyName, instances: int) -> None:
    for moment in range(moments(strategy, GOOD, instances)):
        tale = Tale(strategy, (moment,), GOOD, instances)
        one_tale_ends_well(tale)
        assert tale.killed == 1
        assert tale.ended is None or tale.ended.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("instances", [1, 2, 3])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_bad_release_is_taken_back_whenever_the_engine_is_killed(strategy: StrategyName, instances: int) -> None:
    for moment in range(moments(strategy, BAD, instances)):
        tale = Tale(strategy, (moment,), BAD, instances)
        one_tale_ends_well(tale)
        assert tale.killed == 1


@pytest.mark.parametrize("strategy", OF_CODE)
def test_an_abort_is_carried_out_whenever_the_engine_is_killed(strategy: StrategyName) -> None:
    for moment in range(moments(strategy, GOOD, 2, OrderKind.ABORT)):
        one_tale_ends_well(Tale(strategy, (moment,), GOOD), OrderKind.ABORT)


@pytest.mark.parametrize("behaviour", [GOOD, BAD], ids=["good", "bad"])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_rollout_ends_well_when_the_engine_is_killed_in_the_middle_of_waiting(
    strategy: StrategyName, behaviour: Behaviour
) -> None:
    for second in range(1, 45, 1 if THOROUGH else 3):
        one_tale_ends_well(Tale(strategy, (), behaviour, kill_after=second - 0.4))


@pytest.mark.parametrize("behaviour", [GOOD, BAD], ids=["good", "bad"])
@pytest.mark.parametrize("strategy", OF_CODE)
@settings(max_examples=MANY, deadline=None)
@given(kills=st.lists(st.integers(0, 30), min_size=2, max_size=5))
def test_a_rollout_ends_well_when_its_engines_are_killed_again_and_again(
    strategy: StrategyName, behaviour: Behaviour, kills: list[int]
) -> None:
    one_tale_ends_well(Tale(strategy, tuple(kills), behaviour))


def test_a_killed_engine_leaves_a_verdict_that_the_next_one_acts_upon() -> None:
    """The verdict is written before its effect: killed between the two, the release is condemned all the same."""
    tale = Tale(StrategyName.CANARY, (), BAD)
    tale.told()
    calls = tale.story.world.calls
    assert calls.index("fall back production") < calls.index("drain production-v2 1")


def test_evidence_gathered_at_one_weight_proves_nothing_at_the_next_after_a_kill() -> None:
    """The last checkpoint is older than the step to the new weight: what it holds must not pass for proof there."""

    async def tell() -> None:
        story = Story(World(requests_per_second=2000))
        pace = replace(HASTY, weights=(Weight(2000), Weight(5000), ALL), first_bake=timedelta(seconds=40))
        id = await story.deploy(await story.ready(StrategyName.CANARY, pace))
        rollout = await story.reaches(id, Weight(5000))
        await story.world.sleep(timedelta(milliseconds=100))
        await story.engine.stop()
        story.world.requests_per_second = 0
        await story.new_engine().resume()
        ended = await story.ends(id)
        assert ended.phase is Phase.ROLLED_BACK
        assert "no proof in time" in ended.reason
        assert ended.turned_at == rollout.index

    run(tell())


def test_time_that_a_watch_has_seen_is_not_lost_with_the_engine() -> None:
    async def tell() -> None:
        story = Story(World(requests_per_second=2000))
        pace = replace(HASTY, first_bake=timedelta(minutes=10), hold_at_most=timedelta(minutes=5))
        id = await story.deploy(await story.ready(StrategyName.CANARY, pace))
        await story.reaches(id, Weight(2000))
        began = story.world.monotonic()
        for _ in range(4):
            await story.world.sleep(timedelta(minutes=2))
            await story.engine.stop()
            await story.world.sleep(timedelta(minutes=2))
            await story.new_engine().resume()
        await story.reaches(id, ALL)
        assert timedelta(minutes=10) < timedelta(seconds=story.world.monotonic() - began) < timedelta(minutes=22)

    run(tell())


@pytest.mark.parametrize("every", [4, 25, 100])
@pytest.mark.parametrize("jump", [timedelta(0), timedelta(hours=1), timedelta(hours=-1)])
def test_a_hold_ends_in_time_however_often_the_engine_is_killed_and_the_clock_jumps(
    every: int, jump: timedelta
) -> None:
    async def tell() -> None:
        story = Story(World(requests_per_second=0))
        pace = replace(HASTY, hold_at_most=timedelta(minutes=30))
        id = await story.deploy(await story.ready(StrategyName.CANARY, pace))
        await story.reaches(id, Weight(2000))
        began = story.world.monotonic()
        while not (await story.store.run(id))[-1].going_back:
            await story.world.sleep(timedelta(seconds=every))
            await story.engine.stop()
            story.world.wall_offset += jump
            await story.new_engine().resume()
            assert story.world.monotonic() - began < 3600
        held = timedelta(seconds=story.world.monotonic() - began)
        assert timedelta(minutes=29) < held < timedelta(minutes=33)

    run(tell())


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "waiting for approval"])
def test_a_person_is_waited_for_only_so_long_however_often_the_engine_is_killed(paused: bool) -> None:
    async def tell() -> None:
        story = Story(World(requests_per_second=2000))
        pace = replace(HASTY, approve=not paused, approve_within=timedelta(hours=24))
        id = await story.deploy(await story.ready(StrategyName.CANARY, pace))
        if paused:
            await story.reaches(id, Weight(2000))
            await story.order(id, OrderKind.PAUSE)
        else:
            await story.until_phase(id, Phase.WAITING)
        began = story.world.monotonic()
        while not (await story.store.run(id))[-1].going_back:
            await story.world.sleep(timedelta(minutes=50))
            await story.engine.stop()
            await story.new_engine().resume()
            assert story.world.monotonic() - began < 30 * 3600
        assert timedelta(hours=23) < timedelta(seconds=story.world.monotonic() - began) < timedelta(hours=26)

    run(tell())


def test_a_hold_that_was_paused_goes_on_where_it_was() -> None:
    async def tell() -> None:
        story = Story(World(requests_per_second=0))
        pace = replace(HASTY, hold_at_most=timedelta(minutes=30))
        id = await story.deploy(await story.ready(StrategyName.CANARY, pace))
        await story.reaches(id, Weight(2000))
        began = story.world.monotonic()
        for _ in range(3):
            await story.world.sleep(timedelta(minutes=9))
            await story.order(id, OrderKind.PAUSE)
            await story.world.sleep(timedelta(hours=2))
            await story.order(id, OrderKind.RESUME)
        await story.until_phase(id, Phase.ROLLING_BACK)
        held = timedelta(seconds=story.world.monotonic() - began) - timedelta(hours=6)
        assert timedelta(minutes=29) < held < timedelta(minutes=32)

    run(tell())


def test_only_the_last_owner_writes() -> None:
    """A frozen engine that comes back finds itself fenced, and stops."""

    async def tell() -> None:
        story = Story(World(requests_per_second=2000))
        id = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(id, Weight(2000))
        frozen = story.engine
        await story.new_engine().resume()
        ended = await story.ends(id)
        assert ended.phase is Phase.SUCCEEDED
        assert frozen.live() == {}
        assert story.world.violations == []

    run(tell())
