"""The whole path with containers: each strategy, a bad release, and whatever dies in the middle of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.dock import Dock
from tests.e2e.town import HALF, eventually, has_users
from tests.engines import Harbour, harbour

from interlock.core.phase import Phase
from interlock.core.plan import StrategyName
from interlock.core.release import Artefact
from interlock.core.weight import ALL

__all__ = ["harbour"]

HEALED_WITHIN = 15.0


class Docks:
    """A dock at each engine, made when first asked for."""

    def __init__(self, harbour: Harbour) -> None:
        self._harbour = harbour
        self._docks: dict[str, Dock] = {}

    async def at(self, kind: str) -> Dock:
        """Return the dock at an engine, with a version stable."""
        if kind not in self._docks:
            engine = self._harbour.engine(kind)
            dock = Dock(Path(tempfile.mkdtemp(prefix="interlock-")), engine, self._harbour.registry)
            self._docks[kind] = dock
            await dock.begin()
        await self._docks[kind].ready()
        return self._docks[kind]

    async def end(self) -> None:
        for dock in self._docks.values():
            await dock.end()
            shutil.rmtree(dock.place, ignore_errors=True)


@pytest.fixture(scope="session")
def docks(harbour: Harbour) -> Iterator[Docks]:
    docks = Docks(harbour)
    yield docks
    asyncio.run(docks.end())


# A canary goes out in the test of what dies meanwhile.
@pytest.mark.parametrize("strategy", (StrategyName.ROLLING, StrategyName.BLUE_GREEN))
async def test_no_request_fails_when_a_release_of_containers_goes_out(docks: Docks, strategy: StrategyName) -> None:
    dock = await docks.at("docker")
    wish = dock.wish(strategy=strategy, weights=(HALF, ALL))
    async with dock.traffic(150, 40) as users:
        run = await dock.start(wish)
        ended = await dock.over(run)
        await users.flows(wish.version)
    assert ended.phase is Phase.SUCCEEDED, await dock.story(run)
    await dock.settled(wish.version)
    assert dock.failed(users.counts) == []


async def test_podman_takes_a_release_too(docks: Docks) -> None:
    dock = await docks.at("podman")
    wish = dock.wish(strategy=StrategyName.BLUE_GREEN)
    async with dock.traffic(100, 40) as users:
        run = await dock.start(wish)
        ended = await dock.over(run)
        await users.flows(wish.version)
    assert ended.phase is Phase.SUCCEEDED, await dock.story(run)
    await dock.settled(wish.version)
    assert dock.failed(users.counts) == []


async def test_a_bad_image_is_taken_back_and_one_that_cannot_be_pulled_never_begins(docks: Docks) -> None:
    dock = await docks.at("docker")
    before, wish = await dock.stable(), dock.wish(manners={"errors": 0.5}, bake=timedelta(seconds=20))
    async with dock.traffic(150, 200) as users:
        run = await dock.start(wish)
        ended = await dock.over(run)
        await users.flows(before)
    assert ended.phase is Phase.ROLLED_BACK and ended.quarantine, await dock.story(run)
    await dock.settled(before)
    assert dock.failed(users.counts, wish.version) == [], await dock.story(run)
    assert any(" starts" in line for line in await asyncio.to_thread(_log, dock, wish.version))
    nowhere = Artefact(f"sha256:{'0' * 64}", f"{dock.registry.host}/town/shop:gone@sha256:{'0' * 64}")
    plan = await dock.plan(dock.wish())
    (stage,) = plan.stages
    lost = replace(stage.revision, release=replace(stage.revision.release, artefact=nowhere))
    ended = await dock.over(await dock.app.start(replace(plan, stages=(replace(stage, revision=lost),))))
    assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine and "cannot be pulled" in ended.reason, ended
    await dock.settled(before)


def _log(dock: Dock, version: str) -> list[str]:
    (path,) = (dock.state.instances / "logs").glob(f"{dock.revisions[version][-1]}-0.log")
    return path.read_text().splitlines()


async def test_keeper_container_and_engine_killed_in_a_canary_cost_no_request_but_the_killed_ones(docks: Docks) -> None:
    dock = await docks.at("docker")
    stable, wish = (await dock.proofs())[0].revision.name, dock.wish(bake=timedelta(seconds=5))
    async with dock.traffic(100, 40) as users:
        run = await dock.start(wish)
        await dock.until(run, has_users, "users on the canary")
        await asyncio.to_thread(dock.engine.kill)
        dock.kill("keeper")
        assert await dock.well() < HEALED_WITHIN, await dock.story(run)
        await asyncio.sleep(1)
        assert users.counts.failures == [] and not (await dock.rollout(run)).going_back, await dock.story(run)
        await asyncio.to_thread(dock.engine.start)
        victim = (await dock.processes(stable))[0]
        at = time.time()
        os.kill(victim, signal.SIGKILL)

        async def whole() -> bool:
            pids = await dock.processes(stable)
            return len(pids) == 2 and victim not in pids

        await eventually(whole, "the stable side is whole again", HEALED_WITHIN)
        ended = await dock.over(run)
    assert ended.phase is Phase.SUCCEEDED, await dock.story(run)
    await dock.settled(wish.version)
    assert [one for one in users.counts.failures if not at - 1 < one.at < at + HEALED_WITHIN] == []
    assert len(users.counts.failures) < users.counts.requests / 10
