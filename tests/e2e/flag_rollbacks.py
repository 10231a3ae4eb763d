"""How does a rollout go back while the real Unleash fails it? The traffic is played in memory, the flags are not.

Used by the tests, twenty at a time, and by the measurement, which has more of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.adapters.flags.proxy import NONE, Fault, Proxy, proxied
from tests.adapters.flags.test_unleash import exposures
from tests.engine.stories import Story, revision, stage
from tests.unleash.server import UnleashServer, gradual

from interlock.adapters.flags.unleash import UnleashFlags
from interlock.adapters.memory import Behaviour, World
from interlock.core.events import OrderKind
from interlock.core.flag import Flag, FlagState, FlagUse
from interlock.core.phase import Phase
from interlock.core.plan import Stage, StrategyName
from interlock.core.rollout import Rollout
from interlock.core.steps import ConfirmFlags, Drain, PullFlags, RestoreFlags, Retire, SetWeight
from interlock.core.strategy import Pace
from interlock.core.weight import ALL
from interlock.ports.store import Entry

SECOND = timedelta(seconds=1)
SHORT = timedelta(milliseconds=100)
BEFORE, UP = 10, 5
PACE = Pace(
    (ALL,), first_bake=SHORT, bake=SHORT, keep=60 * SECOND, recovered_for=2 * SECOND, judged=False, staged=False
)
ORDER = (PullFlags, SetWeight, ConfirmFlags, Drain, Retire, RestoreFlags)


@dataclass(frozen=True)
class Trouble:
    """What is done with the first questions after the rollback has begun, and when the keeper dies, if it does."""

    faults: tuple[Fault, ...] = ()
    killed_after: float | None = None


@dataclass
class GoneBack:
    """How it went: `carried` is for how many seconds after the order users were still sent to the new revision."""

    rollout: Rollout
    entries: tuple[Entry, ...]
    before: FlagState
    after: FlagState
    carried: float
    flag: Flag
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def steps(self) -> list[type]:
        """Return the steps that were done on the way back, in order."""
        return [kind for kind, _ in self._done()]

    @property
    def off_after(self) -> float:
        """Return for how many seconds after it was decided the flag was not confirmed off, on record."""
        turned = next(one for one in self.entries if one.kind == "turned")
        off = next(at for kind, at in self._done() if kind in (PullFlags, ConfirmFlags))
        return (off - turned.at).total_seconds()

    def _done(self) -> list[tuple[type, datetime]]:
        turned = next(n for n, one in enumerate(self.entries) if one.kind == "turned")
        done = [one for one in self.entries[turned:] if one.kind == "done"]
        return [(type(self.rollout.way_back[one.data["index"]]), one.at) for one in done]


async def go_back(server: UnleashServer, trouble: Trouble) -> GoneBack:
    """Have a release under way whose flag is up, then take it back through this trouble."""
    flag = server.create(gradual(BEFORE), on=True)
    flags = UnleashFlags(server.secret)
    try:
        async with proxied(server.url) as proxy:
            through = replace(flag, source=server.source(url=proxy.url, refresh=SHORT))
            return await _go_back(flags, proxy, through, trouble)
    finally:
        await flags.close()


async def go_back_all(server: UnleashServer, troubles: Sequence[Trouble]) -> list[GoneBack]:
    """Go back through each of them, all at once."""
    return list(await asyncio.gather(*(go_back(server, one) for one in troubles)))


async def _go_back(flags: UnleashFlags, proxy: Proxy, flag: Flag, trouble: Trouble) -> GoneBack:
    story = Story(World())
    story.flags = flags  # type: ignore[assignment]
    engine = story.new_engine()
    before = await flags.look(flag)
    run = await story.deploy(await _planned(story, flag))
    await _until_up(story, run)
    proxy.asked.clear()
    left = list(trouble.faults)
    proxy.fault = lambda method, path: left.pop(0) if left else NONE
    loop = asyncio.get_running_loop()
    ordered = loop.time()
    watching = asyncio.create_task(_until_back(story))
    await story.order(run, OrderKind.ABORT)
    if trouble.killed_after is not None:
        await asyncio.sleep(trouble.killed_after)
        await engine.stop()
        engine = story.new_engine()
        await engine.resume()
    rollout = await story.ends(run, within=90)
    await engine.stop()
    back = await watching
    return GoneBack(
        rollout,
        await story.store.entries(rollout.id),
        before,
        await flags.look(flag),
        back - ordered,
        flag,
        proxy.asked,
    )


async def _planned(story: Story, flag: Flag) -> Stage:
    story.world.behaviours = {f"production-{v}": Behaviour(starts_in=timedelta(0)) for v in ("v1", "v2")}
    old = await story.stands("v1", 1)
    use = FlagUse(flag, ramp=(UP,), bake=60 * SECOND)
    return stage(revision("v2", instances=1), old, StrategyName.BLUE_GREEN, replace(PACE, flags=(use,)), None)


async def _until_up(story: Story, run: str) -> None:
    async with asyncio.timeout(60):
        while True:
            rollout = (await story.store.run(run))[-1]
            assert not rollout.going_back, rollout.reason
            if rollout.flags and rollout.flags[0].now.exposure == UP:
                return
            await asyncio.sleep(0.02)


async def _until_back(story: Story) -> float:
    """Return when nobody was sent to the new revision any more."""
    async with asyncio.timeout(60):
        while story.world.weight("production") != 0:
            await asyncio.sleep(0.002)
    return asyncio.get_running_loop().time()


def check(server: UnleashServer, trouble: Trouble, went: GoneBack) -> None:
    """Check the order of a rollback, and that all is as it was."""
    assert went.rollout.phase is Phase.ROLLED_BACK, f"{trouble}: {went.rollout.reason}"
    places = [went.steps.index(kind) for kind in ORDER]
    assert places == sorted(places), f"{trouble}: {went.steps}"
    assert went.after == went.before
    asked = [path.rsplit("/", 1)[-1] for method, path in went.asked if method != "GET"]
    assert asked[0] == "off", asked
    assert exposures(server, went.flag)[-1] == BEFORE
    ours = exposures(server, went.flag)[exposures(server, went.flag).index(UP) :]
    assert max(ours[: ours.index(0) + 1]) == UP
    assert ours.index(0) < ours.index(BEFORE)
