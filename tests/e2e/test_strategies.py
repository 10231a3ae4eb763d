"""Each strategy forward, and each kind of bad release back, under load and without a single retry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.e2e.town import Town

from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, StrategyName
from interlock.core.weight import ALL, Weight


@pytest.mark.parametrize("strategy", OF_CODE)
async def test_no_request_fails_when_a_release_goes_out(town: Town, strategy: StrategyName) -> None:
    weights = (Weight(1000), Weight(5000), ALL)
    wish = town.wish(strategy=strategy, weights=weights)
    async with town.traffic(200, 40) as users:
        run = await town.start(wish)
        ended = await town.over(run)
        await users.flows(wish.version)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    await town.settled(wish.version)
    assert town.failed(users.counts) == []
    assert users.counts.answered[wish.version] > 100


async def test_a_canary_advances_when_it_is_proven_by_the_numbers_of_the_specification(town: Town) -> None:
    wish = town.wish(proven=True, weights=(Weight(5000), ALL))
    async with town.traffic(200, 40) as users:
        run = await town.start(wish)
        ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    said = [entry.text for entry in await town.entries(run)]
    assert any("until proven: proven on" in text for text in said), said
    assert not ended.unproven
    assert town.failed(users.counts) == []


@pytest.mark.parametrize(
    ("manners", "why"),
    [
        ({"errors": 0.5}, "requests failed"),
        ({"latency": 0.8}, "took longer than 250 ms"),
        ({"hangs": True}, "had no answer"),
        ({"dies_after": 15}, ""),  # by its health or by the requests that its deaths fail, whichever is seen first
    ],
    ids=("errors", "latency", "hang", "dying"),
)
async def test_a_bad_release_is_taken_back_and_the_stable_side_never_fails(
    town: Town, manners: dict[str, Any], why: str
) -> None:
    before, wish = await town.stable(), town.wish(manners=manners, bake=timedelta(seconds=20))
    async with town.traffic(150, 400) as users:  # so many that those who wait for an answer leave others to ask
        run = await town.start(wish)
        ended = await town.over(run)
        await users.flows(before)
    assert ended.phase is Phase.ROLLED_BACK and ended.quarantine, await town.story(run)
    assert why in ended.reason
    await town.settled(before)
    assert town.failed(users.counts, wish.version) == [], await town.story(run)


async def test_a_release_that_answers_nobody_is_not_good_when_its_users_do_not_wait_for_long(town: Town) -> None:
    wish = town.wish(manners={"hangs": True}, bake=timedelta(seconds=3))
    async with town.traffic(100, 100, patience=1) as users:
        run = await town.start(wish)
        ended = await town.over(run)
    assert users.counts.answered[wish.version] == 0
    assert ended.phase is Phase.ROLLED_BACK, await town.story(run)
