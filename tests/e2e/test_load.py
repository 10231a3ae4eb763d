"""Synthetic load through a real proxy: it proves what users cannot, finds what is bad first, and harms nobody."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from tests.e2e.town import SECOND, Town

from interlock.core.account import Account
from interlock.core.load import Recipe
from interlock.core.phase import Phase
from interlock.core.rollout import Rollout
from interlock.core.steps import Load
from interlock.core.weight import ALL, Weight

REQUESTS = 1000
RECIPE = Recipe(rate=100, requests=REQUESTS, paths=("/", "/cart"))
WEIGHTS = (Weight(500), ALL)


async def account(town: Town, rollout: Rollout) -> Account:
    view = await town.view(rollout.run)
    return Account.of(rollout, view.entries[rollout.id], view.checkpoints[rollout.id])


async def in_mid_load(town: Town, run: str) -> None:
    await town.until(run, lambda one: isinstance(one.next_step, Load), "its load")
    await asyncio.sleep(3)


async def test_a_healthy_release_at_a_request_every_two_seconds_is_proven_by_load_and_only_by_load(town: Town) -> None:
    before = await town.stable()
    async with town.traffic(0.5, 2) as users:
        wish = town.wish(proven=True, weights=WEIGHTS, hold_at_most=2 * SECOND)
        run = await town.start(wish)
        held = await town.until(run, lambda one: one.phase is Phase.WAITING or one.over, "a hold")
        assert held.phase is Phase.WAITING and held.reason.startswith("holds"), await town.story(run)
        ended = await town.over(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, False), await town.story(run)
        assert await town.stable() == before

        wish = town.wish(proven=True, weights=WEIGHTS, hold_at_most=2 * SECOND, load=RECIPE)
        ended = await town.release(wish)
    assert ended.phase is Phase.SUCCEEDED, await town.story(ended.run)
    (said,) = ended.synthetic
    assert "proven by synthetic load, not by users: 0 of 1,000 synthetic requests failed" in said
    told = await account(town, ended)
    assert told.tried is not None and told.tally is not None
    assert told.tried.canary.completed == told.tried.stable.completed == REQUESTS
    assert told.tally.canary.completed < 50, "our own requests are among the users'"
    assert town.failed(users.counts) == []


async def test_a_release_that_fails_5_percent_goes_back_before_any_user_gets_to_it(town: Town) -> None:
    before = await town.stable()
    wish = town.wish(proven=True, weights=WEIGHTS, load=Recipe(rate=100, requests=3000), manners={"errors": 0.05})
    async with town.traffic(50, 20) as users:
        ended = await town.release(wish)
        await users.flows(before)
    assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True), await town.story(ended.run)
    assert "of synthetic requests" in ended.reason and not ended.exposed
    assert users.counts.answered[wish.version] == 0
    assert town.failed(users.counts) == []
    await town.settled(before)


async def test_an_abort_in_mid_load_ends_it_at_once(town: Town) -> None:
    before = await town.stable()
    run = await town.start(town.wish(proven=True, weights=WEIGHTS, load=Recipe(rate=50, requests=5000)))
    await in_mid_load(town, run)
    since = time.monotonic()
    await town.abort(run)
    ended = await town.over(run)
    assert time.monotonic() - since < 15
    assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, False), await town.story(run)
    told = await account(town, ended)
    assert told.tried is not None and told.tried.canary.started < 2000
    await town.settled(before)


async def test_a_keeper_killed_in_mid_load_goes_on_from_what_was_counted(town: Town) -> None:
    wish = town.wish(proven=True, weights=WEIGHTS, load=RECIPE, bake=timedelta(seconds=1))
    run = await town.start(wish)
    await in_mid_load(town, run)
    town.kill("keeper")
    ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    told = await account(town, ended)
    assert told.tried is not None
    sent = told.tried.canary.started
    assert REQUESTS <= sent < REQUESTS + 100, "what was under way when it was killed is sent again, and no more"
