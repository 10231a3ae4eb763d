"""A person says stop: how soon does the new release get no more requests?"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from tests.e2e.town import Town, has_users

from interlock.core.phase import Phase
from interlock.core.rollout import Rollout
from interlock.core.steps import Start
from interlock.core.weight import NONE

SOON = 3.0  # seconds: 0.3 are meant, see the bench; a test's machine may be busy


async def test_an_abort_in_the_middle_of_a_slow_first_start_takes_effect_at_once(town: Town) -> None:
    before = await town.stable()
    wish = town.wish(manners={"start": 60}, start_within=timedelta(seconds=90))
    async with town.traffic(100) as users:
        run = await town.start(wish)
        await town.until(run, lambda rollout: isinstance(rollout.next_step, Start), "its start")
        await asyncio.sleep(0.5)
        since = time.monotonic()
        ordered = await town.abort(run)
        assert time.monotonic() - since < SOON
        assert ordered.going_back and ordered.weight == NONE
        ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine, await town.story(run)
    await town.settled(before)
    assert users.counts.failures == []


async def test_an_abort_while_a_second_instance_starts_slowly_takes_the_users_back_at_once(town: Town) -> None:
    before = await town.stable()
    wish = town.wish(manners={"start": 60, "from_slot": 1}, start_within=timedelta(seconds=90))
    async with town.traffic(200, 40) as users:
        run = await town.start(wish)

        def scaling(rollout: Rollout) -> bool:
            return has_users(rollout) and isinstance(rollout.next_step, Start)

        await town.until(run, scaling, "its second start, with users on it")
        await users.flows(wish.version)
        at = time.time()
        await town.abort(run)
        ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK, await town.story(run)
    await town.settled(before)
    assert users.counts.failures == []
    assert users.counts.last[wish.version] - at < SOON


async def test_an_abort_at_half_of_the_traffic_fails_no_request(town: Town) -> None:
    before, wish = await town.stable(), town.wish(bake=timedelta(seconds=30))
    async with town.traffic(200, 40) as users:
        run = await town.start(wish)
        await town.until(run, has_users, "users on the canary")
        await users.flows(wish.version)
        at = time.time()
        await town.abort(run)
        ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine, await town.story(run)
    await town.settled(before)
    assert users.counts.failures == []
    assert users.counts.last[wish.version] - at < SOON
