"""Does a locked service start nothing new, and can it always go back?"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from tests.engine.stories import HASTY, Story, play, revision, stage, staging

from interlock.core.audit import examine
from interlock.core.events import OrderKind
from interlock.core.lock import Lock, Locked
from interlock.core.phase import Phase
from interlock.core.plan import Stage, StrategyName
from interlock.core.strategy import Pace
from interlock.core.weight import Weight


async def locked(story: Story, until: timedelta | None = None) -> None:
    now = story.world.now()
    await story.store.lock(Lock("shop", "grace", now, "the database moves", None if until is None else now + until))


def next_one(old: str = "v1", new: str = "v2") -> tuple[Stage, Stage]:
    return staging(new), stage(revision(new), revision(old), StrategyName.CANARY, HASTY)


def test_a_locked_service_starts_no_deploy_and_says_who_since_when_and_why() -> None:
    async def tell(story: Story) -> None:
        await story.stands("v1")
        await locked(story)
        for supersede in (False, True):
            said = r"shop is locked by grace since .* UTC: the database moves.*interlock unlock"
            with pytest.raises(Locked, match=said):
                await story.deploy(*next_one(), supersede=supersede)
        assert await story.store.run("shop-1") == ()
        assert await story.store.unlock("shop", "grace", story.world.now()) is not None
        assert (await story.ends(await story.deploy(*next_one()))).phase is Phase.SUCCEEDED

    play(tell)


def test_a_lock_ends_by_itself_where_it_was_to() -> None:
    async def tell(story: Story) -> None:
        await story.stands("v1")
        await locked(story, timedelta(hours=1))
        with pytest.raises(Locked, match=re.compile("until .* UTC: the database moves")):
            await story.deploy(*next_one())
        await story.world.sleep(timedelta(hours=1))
        assert (await story.ends(await story.deploy(*next_one()))).phase is Phase.SUCCEEDED

    play(tell)


def test_what_is_under_way_goes_on_and_can_be_taken_back_while_locked() -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        run = await story.deploy(stage(revision("v2"), old, StrategyName.CANARY, Pace(staged=False)))
        await story.reaches(run, Weight(500))
        await locked(story)
        await story.world.sleep(timedelta(seconds=30))
        assert not (await story.store.run(run))[-1].over
        await story.order(run, OrderKind.ABORT)
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK

    play(tell)


def test_going_back_to_an_earlier_proven_release_begins_although_locked() -> None:
    async def tell(story: Story) -> None:
        await story.stands("v1")
        assert (await story.ends(await story.deploy(*next_one()))).phase is Phase.SUCCEEDED
        await locked(story)
        back = stage(revision("v1"), revision("v2"), StrategyName.BLUE_GREEN, Pace(staged=False), None)
        again = stage(revision("v2"), revision("v2"), StrategyName.BLUE_GREEN, HASTY, None)
        with pytest.raises(Locked):
            await story.deploy(again)
        assert (await story.ends(await story.deploy(back))).phase is Phase.SUCCEEDED

    play(tell)


def test_a_lock_set_while_staging_runs_keeps_production_from_beginning() -> None:
    async def tell(story: Story) -> None:
        await story.stands("v1")
        run = await story.deploy(*next_one())
        await locked(story)
        staged = await story.until_over(f"{run}-staging")
        assert staged.phase is Phase.SUCCEEDED
        await story.world.sleep(timedelta(seconds=10))
        assert [r.stage.environment for r in await story.store.run(run)] == ["staging"]
        (line,) = [e for e in await story.store.entries(staged.id) if e.kind == "not begun"]
        assert "shop is locked by grace" in line.text

    play(tell)


def test_the_audit_says_who_began_and_who_ordered_by_which_way_and_is_whole() -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        run = await story.deploy(stage(revision("v2"), old, StrategyName.CANARY, Pace(staged=False)))
        await story.reaches(run, Weight(500))
        await story.order(run, OrderKind.PAUSE, reason="lunch")
        await story.order(run, OrderKind.ABORT, reason="it rains", channel="api")
        await story.ends(run)
        rows, journal = await story.store.audited()
        acts = [row.act for row in rows if row.act.subject == f"{run}-production"]
        assert ("began", "ada", "") in [(act.kind, act.by, act.channel) for act in acts]
        orders = [(act.text, act.by, act.channel) for act in acts if act.kind == "order"]
        assert orders == [("paused by ada: lunch", "ada", "command line"), ("aborted by ada: it rains", "ada", "api")]
        assert examine(rows, [rows[3].head], journal).troubles == ()

    play(tell)
