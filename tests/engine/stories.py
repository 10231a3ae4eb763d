"""Sentences to build an engine, a world and plans from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from interlock.adapters.memory import EPOCH, Behaviour, World, run
from interlock.adapters.memory_flags import MemoryFlags
from interlock.adapters.memory_migrations import MemoryMigrations
from interlock.adapters.memory_store import MemoryStore
from interlock.adapters.memory_surroundings import Surroundings
from interlock.core.criteria import Criteria
from interlock.core.events import Order, OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision
from interlock.core.rollout import Rollout, begin
from interlock.core.strategy import LAYOUTS, Pace, retract, rollback
from interlock.core.weight import ALL, Weight
from interlock.engine.engine import Engine
from interlock.engine.ports import Outside, Ports
from interlock.ports.signatures import Signatures
from interlock.ports.store import Entry, Proof, StoreError

QUICK = Pace(
    weights=(Weight(1000), Weight(5000), ALL),
    first_bake=timedelta(seconds=60),
    bake=timedelta(seconds=30),
    keep=timedelta(seconds=60),
    hold_at_most=timedelta(minutes=10),
    recovered_for=timedelta(seconds=20),
)

HASTY = Pace(
    weights=(Weight(2000), ALL),
    first_bake=timedelta(seconds=10),
    bake=timedelta(seconds=10),
    keep=timedelta(seconds=10),
    hold_at_most=timedelta(seconds=60),
    approve_within=timedelta(minutes=30),
    recovered_for=timedelta(seconds=10),
)
"""For stories told hundreds of times: at 2,000 requests a second ten seconds prove a release."""

BAD = Behaviour(error_rate=0.5)


def release(version: str, instances: int = 2) -> Release:
    configuration = Configuration(("serve",), instances=instances)
    return Release("shop", version, Artefact(f"sha256:{version}", "memory"), configuration, "common")


def revision(version: str, environment: str = "production", instances: int = 2) -> Revision:
    return Revision(f"{environment}-{version}", environment, release(version, instances))


def stage(
    new: Revision,
    old: Revision | None,
    strategy: StrategyName = StrategyName.CANARY,
    pace: Pace = QUICK,
    criteria: Criteria | None = Criteria(),
) -> Stage:
    pace = replace(pace, judged=criteria is not None)
    return Stage(
        new.environment,
        Entrance(8000),
        strategy,
        new,
        old,
        LAYOUTS[strategy](new, old, pace),
        rollback(new, old, pace),
        criteria,
        proven_in="staging",
        flags=pace.flags,
        retract=retract(new, old, pace),
    )


def staging(version: str, old: Revision | None = None) -> Stage:
    pace = replace(QUICK, keep=timedelta(seconds=5), staged=False)
    return stage(revision(version, "staging", 1), old, StrategyName.BLUE_GREEN, pace, None)


class FailingStore(MemoryStore):
    """A store in which only some of the writes fail, by name."""

    failing_from: tuple[str, ...] = ()

    async def begin(self, rollout: Rollout, entry: Entry) -> None:
        self._refuse("begin")
        await super().begin(rollout, entry)

    async def claim(self, id: str, owner: str) -> int:
        self._refuse("claim")
        return await super().claim(id, owner)

    def _refuse(self, write: str) -> None:
        if write in self.failing_from:
            raise StoreError(f"cannot {write} in the store in memory: it was told to fail")


@dataclass
class Story:
    """A world with an engine in it."""

    world: World = field(default_factory=World)
    store: FailingStore = field(default_factory=FailingStore)
    around: Surroundings = field(default_factory=Surroundings)
    notary: Signatures | None = None
    flags: MemoryFlags = field(default_factory=MemoryFlags)
    migrations: MemoryMigrations = field(init=False)
    engine: Engine = field(init=False)
    orders: int = 0

    def __post_init__(self) -> None:
        self.migrations = MemoryMigrations(self.world)
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        world = self.world
        ports = Ports(world, world, world, world, self.store, world, world)
        outside = Outside(self.around, self.around, self.around, self.around, self.around, self.around)
        ports = replace(ports, outside=outside, signatures=self.notary, migrations=self.migrations, flags=self.flags)
        self.engine = Engine(ports, "keeper")
        return self.engine

    async def deploy(self, *stages: Stage, supersede: bool = False) -> str:
        version = stages[-1].revision.release.version
        return await self.engine.start(Plan("shop", version, stages, EPOCH), "ada", supersede=supersede)

    async def ends(self, run: str, within: float = 24 * 3600) -> Rollout:
        deadline = self.world.monotonic() + within
        while True:
            rollouts = await self.store.run(run)
            if rollouts and rollouts[-1].over and not self.engine.live():
                return rollouts[-1]
            assert self.world.monotonic() < deadline, f"{run} did not end: {rollouts[-1].phase} {rollouts[-1].reason}"
            await self.world.sleep(timedelta(milliseconds=200))

    async def reaches(self, run: str, weight: Weight, within: float = 3600) -> Rollout:
        """Wait until users have this weight; return the rollout."""
        rollout = (await self.store.run(run))[-1]
        environment = rollout.stage.environment
        await self.until(lambda: self.world.weight(environment) == weight.points, within)
        return (await self.store.run(run))[-1]

    async def until_over(self, id: str, within: float = 3600) -> Rollout:
        """Wait until one rollout has ended, on record."""
        deadline = self.world.monotonic() + within
        while (rollout := await self.store.rollout(id)) is None or not rollout.over:
            assert self.world.monotonic() < deadline
            await self.world.sleep(timedelta(milliseconds=20))
        return rollout

    async def until_phase(self, run: str, phase: Phase, within: float = 3600) -> Rollout:
        """Wait until the run's rollout is in this phase, on record."""
        deadline = self.world.monotonic() + within
        while True:
            rollout = (await self.store.run(run))[-1]
            if rollout.phase is phase:
                return rollout
            assert not rollout.over and self.world.monotonic() < deadline, f"{rollout.phase}: {rollout.reason}"
            await self.world.sleep(timedelta(milliseconds=20))

    async def until(self, true: Callable[[], bool], within: float = 3600) -> None:
        deadline = self.world.monotonic() + within
        while not true():
            assert self.world.monotonic() < deadline
            await self.world.sleep(timedelta(milliseconds=20))

    async def order(self, run: str, kind: OrderKind, key: str = "", **more: object) -> Rollout:
        self.orders += 1
        key = key or f"order-{self.orders}"
        order = Order(self.world.now(), kind, "ada", key, **more)  # type: ignore[arg-type]
        return await self.engine.order(run, order)

    async def stands(self, version: str = "v1", instances: int = 2, environment: str = "production") -> Revision:
        """Have a revision stand as proven, as if an earlier rollout had brought it there."""
        world, old = self.world, revision(version, environment, instances)
        await world.open(environment, Entrance(8000))
        await world.ensure(old, instances)
        await world.sleep(timedelta(seconds=2))
        await world.admit(old, tuple(one.address for one in await world.instances(old.name)))
        await world.identify(old, "")
        await world.steer(stage(old, None).settled(old.name))
        await self.proven(old)
        return old

    async def proven(self, what: Revision) -> None:
        """Have a proof on record that this revision was healthy in its environment."""
        self.world.vouch(what.name)
        now = self.world.now()
        id = f"earlier-{what.name}-{self.world.monotonic()}"
        done = replace(begin(id, id, "earlier", stage(what, None), now), phase=Phase.SUCCEEDED)
        proof = Proof("shop", what.environment, what.release.proven_as, what.release.identity, what, id, now)
        await self.store.begin(done, Entry(now, "began", "", {}))
        await self.store.save(done, await self.store.claim(id, "earlier"), proof=proof)

    async def ready(self, strategy: StrategyName, pace: Pace = HASTY, instances: int = 2, **more: object) -> Stage:
        """Have v1 stand and v2 proven in staging; return the stage that replaces one by the other."""
        old = await self.stands("v1", instances)
        await self.proven(revision("v2", "staging", 1))
        new = revision("v2", instances=instances)
        return stage(new, old, strategy, pace, **more)  # type: ignore[arg-type]

    async def released(
        self, version: str, strategy: StrategyName = StrategyName.CANARY, instances: int = 2
    ) -> Revision:
        """Have a first release running in staging and production."""
        old = revision(version, instances=instances)
        ended = await self.ends(await self.deploy(staging(version), stage(old, None, strategy)))
        assert ended.phase == "succeeded", ended.reason
        return old


def busy() -> World:
    """A world with so many requests that everything is soon proven or condemned."""
    return World(requests_per_second=2000)


def play(tell: Callable[[Story], Awaitable[None]], world: World | None = None) -> Story:
    """Play a story in virtual time and check the world's books."""

    async def main() -> Story:
        story = Story(world or World())
        await tell(story)
        assert story.world.violations == []
        return story

    return run(main())
