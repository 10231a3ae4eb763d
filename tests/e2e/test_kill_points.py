"""kill -9 of the keeper at chosen effects of a real rollout: it ends as it would have, and no user notices.

By default six calls each way are tried, spread over the rollout; with INTERLOCK_EVERY_KILL=1 all of them, before, amid
and after the call.
"""

from __future__ import annotations

import os
import random

import pytest
from tests.e2e.town import Town

from interlock.core.phase import Phase

CHANGES_GOING_ON = 29
CHANGES_GOING_BACK = range(13, 24)
MOMENTS = ("before", "amid", "after")
TRIED = 6


def chosen(changes: range) -> list[tuple[int, str]]:
    """Return after how many changes the keeper dies, and when: one out of each sixth, or all."""
    if os.environ.get("INTERLOCK_EVERY_KILL"):
        return [(number, moment) for number in changes for moment in MOMENTS]
    dice = random.Random(os.environ.get("INTERLOCK_KILL_SEED", "1"))
    size = -(-len(changes) // TRIED)
    parts = [changes[n : n + size] for n in range(0, len(changes), size)]
    return [(dice.choice(part), dice.choice(MOMENTS)) for part in parts]


@pytest.mark.parametrize(("number", "moment"), chosen(range(1, CHANGES_GOING_ON + 1)))
async def test_a_keeper_killed_while_going_on_is_replaced_and_the_release_arrives(
    town: Town, number: int, moment: str
) -> None:
    wish = town.wish()
    async with town.traffic(80, 16) as users:
        town.fate.write_text(f"{number} {moment}")
        run = await town.insist(wish)
        ended = await town.over(run)
        await town.well()
    assert not town.fate.exists(), "the keeper was never killed"
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    await town.settled(wish.version)
    assert town.failed(users.counts) == [], await town.story(run)


@pytest.mark.parametrize(("number", "moment"), chosen(CHANGES_GOING_BACK))
async def test_a_keeper_killed_while_going_back_is_replaced_and_the_old_version_is_back(
    town: Town, number: int, moment: str
) -> None:
    before = (await town.proofs())[0].revision.release.version
    wish = town.wish(manners={"errors": 0.7})
    async with town.traffic(80, 16) as users:
        town.fate.write_text(f"{number} {moment}")
        run = await town.insist(wish)
        ended = await town.over(run)
        await town.well()
    assert not town.fate.exists(), "the keeper was never killed"
    assert ended.phase is Phase.ROLLED_BACK, await town.story(run)
    assert ended.quarantine
    await town.settled(before)
    assert town.failed(users.counts, wish.version) == [], await town.story(run)
