"""Whatever happens, in whatever order: do the interlocks hold, and does every rollout end as it should?

Hypothesis makes up what people, the release, the proxy, the disk, the clock and kill -9 do. `INTERLOCK_TESTS=thorough`
tries many more of such days than a normal run of the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.stories import HASTY, Story, revision, stage
from tests.engine.test_crashes import THOROUGH, Fuse, Killed, MortalStore

from interlock.adapters.memory import Behaviour, World, run
from interlock.core.events import OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, Stage, StrategyName
from interlock.core.rollout import Rollout
from interlock.core.transitions import Refused
from interlock.core.weight import ALL, NONE, Weight
from interlock.ports.store import Busy, StoreError

SAFE_WITHIN = 8.0
"""Seconds in which traffic must have left a revision of which nothing is ready, if the old one is whole."""

HUNG_FOR = 40.0
"""So many seconds after the proxy has begun to answer again, a call from before may still be waiting for its answer."""

BEHAVIOURS = [
    Behaviour(),
    Behaviour(error_rate=0.5),
    Behaviour(error_rate=0.02),
    Behaviour(latency_ms=900),
    Behaviour(hangs=True),
    Behaviour(dies_after=timedelta(seconds=5)),
    Behaviour(never_ready=True),
    Behaviour(answers_within=timedelta(seconds=40)),
    Behaviour(launches=False),
]
SWITCHES = ["blind", "stuck", "hanging", "unverified", "failing"]
EVENT = st.one_of(
    st.tuples(st.just("order"), st.sampled_from(list(OrderKind))),
    st.tuples(st.just("switch"), st.sampled_from(SWITCHES)),
    st.tuples(st.just("release"), st.sampled_from(BEHAVIOURS)),
    st.tuples(st.just("strike"), st.sampled_from(["production-v1", "production-v2"])),
    st.tuples(st.just("clock"), st.sampled_from([-3600, 3600])),
    st.tuples(st.just("kill"), st.integers(0, 6)),
    st.tuples(st.just("deploy"), st.booleans()),
    st.tuples(st.just("requests"), st.sampled_from([0, 1, 2000])),
)
DELAY = st.sampled_from([0.0, 0.05, 0.3, 1.0, 3.0, 6.0, 11.0, 40.0, 100.0])
DAY = st.lists(st.tuples(DELAY, EVENT), max_size=14)


@dataclass
class Day:
    """One day in the life of an environment: what happens, and what was seen of it."""

    strategy: StrategyName
    events: list[tuple[float, tuple[str, object]]]
    fuse: Fuse = field(default_factory=Fuse)
    story: Story = field(init=False)
    switched: set[str] = field(default_factory=set)
    turned: dict[str, int] = field(default_factory=dict)
    dead_since: float | None = None
    helpless_until: float = 0.0
    tending: asyncio.Future[None] | None = None

    async def pass_by(self) -> None:
        self.story = Story(World(requests_per_second=2000), MortalStore(self.fuse))
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        planned = await self.story.ready(self.strategy, instances=3)
        await self.story.proven(revision("v3", "staging", 1))
        self.story.world.before_call = self.fuse.burn
        self.tend()
        await self.deploy(planned)
        watching = asyncio.ensure_future(self.watch())
        for delay, (kind, what) in self.events:
            await self.wait(delay)
            await self.happens(kind, what, planned)
        await self.heal()
        await self.ends(planned)
        watching.cancel()
        if watching.done() and not watching.cancelled():
            watching.result()

    async def wait(self, seconds: float) -> None:
        """Let time pass; whenever the engine has been killed, let the next one take over a second later."""
        world = self.story.world
        until = world.monotonic() + seconds
        while True:
            if self.fuse.blown:
                await self.replace_engine()
            if world.monotonic() >= until:
                return
            await world.sleep(timedelta(seconds=max(0.01, min(0.25, until - world.monotonic()))))

    async def replace_engine(self) -> None:
        if self.tending is not None:
            self.tending.cancel()
        await self.story.engine.stop()
        await self.story.world.sleep(timedelta(seconds=1))
        self.fuse.renew(None)
        self.story.new_engine()
        self.tend()
        await self.story.engine.resume()

    def tend(self) -> None:
        self.tending = asyncio.ensure_future(self.story.engine.tend())

    async def deploy(self, planned: Stage, *, supersede: bool = False) -> None:
        with contextlib.suppress(Busy, Refused, StoreError, Killed, TimeoutError):
            await asyncio.wait_for(self.story.deploy(planned, supersede=supersede), 2000)

    async def happens(self, kind: str, what: object, planned: Stage) -> None:
        world = self.story.world
        match kind, what:
            case "order", OrderKind():
                await self.order(what)
            case "switch", str():
                self.switched ^= {what}
                self.switch(what, what in self.switched)
                self.helpless_until = world.monotonic() + HUNG_FOR
            case "release", Behaviour():
                world.behaviours["production-v2"] = replace(what)
            case "strike", str():
                world.strike(what, 0, lasts=timedelta(seconds=20))
            case "clock", int():
                world.wall_offset += timedelta(seconds=what)
            case "kill", int():
                self.fuse.renew(what)
            case "deploy", bool():
                newer = stage(revision("v3", instances=3), planned.replaces, self.strategy, HASTY)
                deploying = asyncio.ensure_future(self.deploy(newer, supersede=what))
                await self.wait(1)
                deploying.add_done_callback(lambda task: task.cancelled() or task.exception())
            case "requests", int():
                world.requests_per_second = what

    def switch(self, name: str, on: bool) -> None:
        setattr(self.story.store if name == "failing" else self.story.world, name, on)

    async def order(self, kind: OrderKind) -> None:
        for rollout in await self.story.store.active():
            with contextlib.suppress(Refused, StoreError, Busy, Killed, TimeoutError):
                await asyncio.wait_for(self.story.order(rollout.run, kind), 5)

    async def watch(self) -> None:
        """Look at everything ten times a second, as an auditor would."""
        while True:
            await self.check()
            await self.story.world.sleep(timedelta(milliseconds=100))

    async def check(self) -> None:
        story, world = self.story, self.story.world
        assert world.violations == []
        active = await story.store.active()
        assert len(active) <= 1
        for rollout in await story.store.rollouts(9):
            if rollout.turned_at is not None:
                assert self.turned.setdefault(rollout.id, rollout.turned_at) == rollout.turned_at
            assert (rollout.turned_at is None) or rollout.phase not in (Phase.SUCCEEDED, Phase.PROGRESSING)
            assert rollout.id not in self.turned or rollout.turned_at is not None
        self.check_traffic(active)

    def check_traffic(self, active: tuple[Rollout, ...]) -> None:
        """No user may stay on a revision of which nothing is ready, while the old one could answer."""
        world = self.story.world
        route, helpless = world.routes["production"], bool(self.switched & {"stuck", "hanging", "unverified"})
        canary = route.canary
        dead = canary is not None and route.share(canary) > NONE and world._ready(canary) == 0
        whole = world._ready("production-v1") == 3
        helpless = helpless or world.monotonic() < self.helpless_until
        if not (dead and whole and active) or helpless or self.fuse.blown:
            self.dead_since = None
            return
        self.dead_since = self.dead_since or world.monotonic()
        assert world.monotonic() - self.dead_since < SAFE_WITHIN

    async def heal(self) -> None:
        """Everything but the release is well again, and whoever paused remembers it."""
        for name in sorted(self.switched):
            self.switch(name, False)
        self.helpless_until = self.story.world.monotonic() + HUNG_FOR
        self.switched = set()
        self.story.world.requests_per_second = 2000
        self.story.world.behaviour("production-v1").launches = True
        if not self.fuse.blown:
            self.fuse.renew(None)
        await self.wait(1)

    async def ends(self, planned: Stage) -> None:
        """Every rollout ends within its deadlines, and its environment is as its phase says."""
        story, world = self.story, self.story.world
        longest = planned.longest + timedelta(minutes=30)
        until = world.monotonic() + 2 * longest.total_seconds()
        while await story.store.active() or story.engine.live():
            assert world.monotonic() < until, [(one.phase, one.reason) for one in await story.store.active()]
            for rollout in await story.store.active():
                if rollout.phase is Phase.PAUSED:
                    await self.order(OrderKind.RESUME)
            await self.wait(1)
        newest = next(one for one in await story.store.rollouts(9) if one.stage.environment == "production")
        if newest.phase is Phase.FAILED:
            await story.order(newest.run, OrderKind.ABORT)
            newest = await story.ends(newest.run)
        await self.check()
        if (await story.store.rollouts(9))[0].id.startswith("earlier"):
            return
        await self.check_end(newest)

    async def check_end(self, newest: Rollout) -> None:
        world, failed = self.story.world, await self.failed_before(newest)
        proven = newest.stage.revision if newest.phase is Phase.SUCCEEDED else newest.stage.replaces
        assert proven is not None
        route = world.routes["production"]
        assert route.share(proven.name) == ALL
        assert route.weight == NONE
        if not failed:
            assert world.running("production") == {proven.name: 3}
        proofs = await self.story.store.proofs("shop", "production")
        assert proofs[0].revision.name == proven.name
        quarantined = {one.identity for one in await self.story.store.quarantine("shop")}
        assert (newest.stage.revision.release.identity in quarantined) is newest.quarantine

    async def failed_before(self, newest: Rollout) -> bool:
        """Whether an earlier rollout could not be taken back: its instances wait for a person."""
        return any(one.phase is Phase.FAILED for one in await self.story.store.rollouts(9) if one.id != newest.id)


@pytest.mark.parametrize("strategy", OF_CODE)
@settings(
    max_examples=1500 if THOROUGH else 15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(day=DAY)
def test_whatever_happens_users_are_safe_and_every_rollout_ends(
    strategy: StrategyName, day: list[tuple[float, tuple[str, object]]]
) -> None:
    run(Day(strategy, day).pass_by())


def test_a_quarantined_release_is_never_started_again() -> None:
    async def tell() -> None:
        story = Story(World(requests_per_second=2000))
        planned = await story.ready(StrategyName.CANARY)
        story.world.behaviour("production-v2").error_rate = 0.5
        await story.ends(await story.deploy(planned))
        before = len(story.world.calls)
        for _ in range(3):
            await story.ends(await story.deploy(planned))
            again = replace(planned.revision, name=f"again-{len(story.world.calls)}")
            await story.ends(await story.deploy(stage(again, planned.replaces, StrategyName.ROLLING, HASTY)))
        assert not [call for call in story.world.calls[before:] if call.startswith(("ensure", "admit", "steer"))]
        assert story.world.weight("production") == Weight(0).points

    run(tell())
