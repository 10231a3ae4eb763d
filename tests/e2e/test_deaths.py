"""Whatever dies while users are there: keeper, twin, Envoy, instances of either side."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import suppress
from datetime import timedelta

from tests.e2e.town import Town, eventually, has_users

from interlock.core.phase import Phase

HEALED_WITHIN = 10.0  # seconds; it takes one or two, on a machine that has nothing else to do
REPLACED_WITHIN = 25.0  # a frozen keeper is killed after five seconds


async def test_keeper_and_twin_killed_at_random_moments_of_a_canary_are_healed_and_no_user_notices(town: Town) -> None:
    dice, wish = random.Random(7), town.wish(bake=timedelta(seconds=4), keep=timedelta(seconds=3))
    async with town.traffic(120) as users:
        run = await town.start(wish)
        for victim in ("keeper", "twin", "keeper"):
            await asyncio.sleep(dice.uniform(0.5, 2.0))
            killed = town.kill(victim)
            assert await town.well() < HEALED_WITHIN, await town.story(run)
            assert town.pid(victim) != killed
        ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    await town.settled(wish.version)
    assert town.failed(users.counts) == []


async def test_a_frozen_keeper_is_replaced_and_a_verdict_still_comes(town: Town) -> None:
    before, wish = await town.stable(), town.wish(manners={"errors": 0.5})
    async with town.traffic(100) as users:
        run = await town.start(wish)
        await town.until(run, has_users, "users on the canary")
        frozen = town.kill("keeper", signal.SIGSTOP)
        since = time.monotonic()
        await eventually(lambda: town.pid("keeper") not in (None, frozen), "another keeper", REPLACED_WITHIN)
        assert time.monotonic() - since < REPLACED_WITHIN
        ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and ended.quarantine, await town.story(run)
    await town.settled(before)
    assert town.failed(users.counts, wish.version) == []


async def test_an_envoy_that_was_killed_serves_again_at_once_and_the_rollout_ends_well(town: Town) -> None:
    before, wish = await town.stable(), town.wish(bake=timedelta(seconds=4))
    async with town.traffic(100) as users:
        run = await town.start(wish)
        await town.until(run, has_users, "users on the canary")
        killed = await town.envoy()
        os.kill(killed, signal.SIGKILL)
        at = time.time()
        await users.flows(before)
        assert time.time() - at < HEALED_WITHIN
        assert await town.envoy() != killed
        ended = await town.over(run)
    assert ended.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK), await town.story(run)
    await town.settled(wish.version if ended.phase is Phase.SUCCEEDED else before)
    failures = users.counts.failures
    assert failures, "nobody can be served without Envoy"
    assert max(one.at for one in failures) - at < HEALED_WITHIN


async def test_a_stable_instance_that_dies_comes_back_and_the_canary_is_not_blamed_for_it(town: Town) -> None:
    stable = (await town.proofs())[0].revision.name
    wish = town.wish(bake=timedelta(seconds=4))
    async with town.traffic(100) as users:
        run = await town.start(wish)
        await town.until(run, has_users, "users on the canary")
        victim = (await town.processes(stable))[0]
        os.kill(victim, signal.SIGKILL)
        at = time.time()

        async def whole() -> bool:
            pids = await town.processes(stable)
            return len(pids) == 2 and victim not in pids

        await eventually(whole, "the stable side is whole again", HEALED_WITHIN)
        ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    await town.settled(wish.version)
    late = [one for one in users.counts.failures if one.at - at > HEALED_WITHIN]
    assert late == [] and len(users.counts.failures) < users.counts.requests / 10


async def test_canary_instances_that_keep_dying_are_taken_back_and_quarantined(town: Town) -> None:
    before, wish = await town.stable(), town.wish(bake=timedelta(seconds=30))
    async with town.traffic(100) as users:
        run = await town.start(wish)
        await town.until(run, has_users, "users on the canary")
        while not (await town.rollout(run)).going_back:
            for pid in await town.processes(town.revisions[wish.version][-1]):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.3)
        ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and ended.quarantine, await town.story(run)
    await town.settled(before)
    assert town.failed(users.counts, wish.version) == []
    identity = ended.stage.revision.release.identity
    assert identity in [one.identity for one in await town.app.quarantine("shop")]
