"""Is a release's migration done once, before any user is on it, whatever dies meanwhile, and never by going back?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.engine.stories import BAD, HASTY, FailingStore, Story, busy, play, revision, stage
from tests.engine.test_approvals import approve, story_with_notary
from tests.engine.test_crashes import GOOD, THOROUGH, Tale, one_tale_ends_well

from interlock.adapters.memory import Behaviour
from interlock.adapters.memory import run as run_in_virtual_time
from interlock.core.account import Account
from interlock.core.approval import Policy
from interlock.core.conditions import Conditions
from interlock.core.events import OrderKind
from interlock.core.hooks import Hook, Program, When, gates
from interlock.core.migration import Migration
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, Stage, StrategyName
from interlock.core.sections import migrations
from interlock.core.strategy import LAYOUTS, Pace
from interlock.core.transitions import Refused
from interlock.engine.engine import Engine
from interlock.ports.store import Entry, StoreError

MIGRATION = Migration(("migrate", "up"), timedelta(minutes=2))


async def migrating(
    story: Story,
    migration: Migration = MIGRATION,
    strategy: StrategyName = StrategyName.CANARY,
    pace: Pace = HASTY,
    conditions: Conditions = Conditions(),
) -> Stage:
    planned = await story.ready(strategy, pace)
    steps = LAYOUTS[strategy](planned.revision, planned.replaces, replace(pace, migration=migration))
    return replace(planned, steps=steps, conditions=conditions)


def starts(story: Story) -> bool:
    return any(call.startswith("ensure production-v2") for call in story.world.calls)


async def migrates(story: Story) -> None:
    await story.until(lambda: bool(story.migrations.begun), 600)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_it_is_done_once_before_anything_starts(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story, strategy=strategy))
        await migrates(story)
        assert not starts(story)
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED, ended.reason
        assert story.migrations.begun == [("production", "v2", 1)]
        (facts,) = story.migrations.told
        assert facts["version"] == "v2" and facts["old_version"] == "v1" and facts["rollout"] == ended.id
        assert facts["attempt"] == 1 and facts["key"].startswith(f"{ended.id}.migration.step-")

    play(tell, busy())


def test_it_is_in_the_journal_and_in_the_report_with_its_last_lines() -> None:
    async def tell(story: Story) -> None:
        story.migrations.lines = ("adding a column", "done")
        ended = await story.ends(await story.deploy(await migrating(story)))
        entries = await story.store.entries(ended.id)
        assert [one.text for one in entries if one.kind == "migration"] == ["migration migrate up begins"]
        text = "\n".join(migrations([Account.of(ended, entries, None)]))
        assert "migrate up: done; last lines: adding a column" in text and "    - done" in text
        assert "Not undone" not in text

    play(tell, busy())


def test_one_that_fails_goes_back_says_why_and_nothing_has_started() -> None:
    async def tell(story: Story) -> None:
        story.migrations.status, story.migrations.lines = 3, ("no such table: orders",)
        ended = await story.ends(await story.deploy(await migrating(story)))
        assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine
        assert "migration migrate up ended with status 3; last lines: no such table: orders" in ended.reason
        assert not starts(story) and story.migrations.begun == [("production", "v2", 1)]
        text = "\n".join(migrations([Account.of(ended, await story.store.entries(ended.id), None)]))
        assert "Not undone: going back runs no migration" in text

    play(tell, busy())


def test_one_that_takes_too_long_is_ended() -> None:
    async def tell(story: Story) -> None:
        story.migrations.takes = timedelta(hours=1)
        ended = await story.ends(await story.deploy(await migrating(story)))
        assert ended.phase is Phase.ROLLED_BACK and "did not end within 2 min, and was ended" in ended.reason
        assert story.migrations.ended_by_us == ["v2"] and not starts(story)

    play(tell, busy())


def test_the_same_release_is_not_migrated_twice_also_by_a_later_rollout() -> None:
    async def tell(story: Story) -> None:
        story.world.behaviours["production-v2"] = replace(BAD)
        planned = await migrating(story)
        first = await story.ends(await story.deploy(planned))
        assert first.phase is Phase.ROLLED_BACK and first.exposed
        await story.store.release("shop", planned.revision.release.identity, "ada", "again", story.world.now())
        story.world.behaviours.clear()
        again = replace(planned.revision, name="production-v2-again")
        story.world.vouch(again.name)
        steps = LAYOUTS[StrategyName.CANARY](again, planned.replaces, replace(HASTY, migration=MIGRATION))
        second = await story.ends(await story.deploy(replace(planned, revision=again, steps=steps)))
        assert story.migrations.begun == [("production", "v2", 1)]
        said = [one.text for one in await story.store.entries(second.id) if "done already" in one.text]
        assert said and f"done already by {first.id}" in said[0]

    play(tell, busy())


def test_one_that_failed_is_begun_again_by_the_next_rollout_only_where_that_is_harmless() -> None:
    for idempotent in (True, False):

        async def tell(story: Story, idempotent: bool = idempotent) -> None:
            story.migrations.status = 1
            planned = await migrating(story, replace(MIGRATION, idempotent=idempotent))
            assert (await story.ends(await story.deploy(planned))).phase is Phase.ROLLED_BACK
            story.migrations.status = 0
            ended = await story.ends(await story.deploy(planned))
            assert ended.phase is (Phase.SUCCEEDED if idempotent else Phase.ROLLED_BACK), ended.reason
            assert len(story.migrations.begun) == (2 if idempotent else 1)
            assert idempotent or "declared not to be idempotent, so it is not begun again" in ended.reason

        play(tell, busy())


@pytest.mark.parametrize("idempotent", [True, False])
def test_one_that_broke_off_with_its_engine_is_begun_again_only_where_that_is_harmless(idempotent: bool) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story, replace(MIGRATION, idempotent=idempotent)))
        await migrates(story)
        await story.engine.stop()
        story.migrations.break_off()
        await story.new_engine().resume()
        ended = await story.ends(run)
        assert ended.phase is (Phase.SUCCEEDED if idempotent else Phase.ROLLED_BACK), ended.reason
        assert len(story.migrations.begun) == (2 if idempotent else 1)
        assert idempotent or "is broken off" in ended.reason

    play(tell, busy())


@pytest.mark.parametrize("tenths", range(0, 80, 6))
def test_an_engine_that_is_replaced_meanwhile_waits_for_what_was_begun_and_begins_nothing_twice(tenths: int) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story, replace(MIGRATION, idempotent=False)))
        await story.world.sleep(timedelta(seconds=tenths / 10))
        await story.engine.stop()
        await story.world.sleep(timedelta(seconds=1))
        await story.new_engine().resume()
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED, ended.reason
        assert story.migrations.begun == [("production", "v2", 1)]

    play(tell, busy())


def test_an_abort_in_the_middle_ends_it_and_leaves_everything_as_it_was() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story))
        await migrates(story)
        await story.order(run, OrderKind.ABORT)
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and story.migrations.ended_by_us == ["v2"]
        assert story.world.running("production") == {"production-v1": 2} and not starts(story)

    play(tell, busy())


def test_going_back_after_it_runs_no_migration() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story))
        await story.until(lambda: story.world.weight("production") > 0, 600)
        before = len(story.migrations.begun)
        await story.order(run, OrderKind.ABORT)
        began = story.world.monotonic()
        await story.until(lambda: story.world.weight("production") == 0, 10)
        assert story.world.monotonic() - began <= 0.3
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK
        assert len(story.migrations.begun) == before and story.migrations.ended_by_us == []

    play(tell, busy())


def test_a_pause_in_the_middle_lets_it_end_and_goes_on_from_there() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story))
        await migrates(story)
        await story.order(run, OrderKind.PAUSE)
        await story.world.sleep(timedelta(minutes=30))
        await story.order(run, OrderKind.RESUME)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED
        assert story.migrations.begun == [("production", "v2", 1)]

    play(tell, busy())


class Full(FailingStore):
    """A store that takes no line about a migration, for so long."""

    until = 0.0
    now: Callable[[], float] = staticmethod(lambda: 0.0)

    async def note(self, id: str, entries: tuple[Entry, ...]) -> None:
        if self.now() < self.until and any(one.kind == "migration" for one in entries):
            raise StoreError("the disk is full")
        await super().note(id, entries)


@pytest.mark.parametrize(("seconds", "phase"), [(15, Phase.SUCCEEDED), (60, Phase.ROLLED_BACK)])
def test_it_is_not_begun_while_that_cannot_be_recorded(seconds: float, phase: Phase) -> None:
    async def tell() -> None:
        world, store = busy(), Full()
        story = Story(world, store)
        planned = await migrating(story, replace(MIGRATION, timeout=timedelta(seconds=30)))
        store.now, store.until = world.monotonic, world.monotonic() + seconds
        run = await story.deploy(planned)
        await story.world.sleep(timedelta(seconds=seconds - 5))
        assert story.migrations.begun == []
        ended = await story.ends(run)
        assert ended.phase is phase, ended.reason
        assert len(story.migrations.begun) == (phase is Phase.SUCCEEDED)
        assert phase is Phase.SUCCEEDED or "as that cannot be recorded: the disk is full" in ended.reason

    run_in_virtual_time(tell())


IRREVERSIBLE = replace(MIGRATION, irreversible=True)


def test_one_that_cannot_be_undone_waits_for_a_person() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story, IRREVERSIBLE))
        waiting = await story.until_phase(run, Phase.WAITING)
        assert "approval of an irreversible migration" in str(waiting.next_step)
        await story.world.sleep(timedelta(minutes=1))
        assert story.migrations.begun == []
        await story.order(run, OrderKind.APPROVE)
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED and len(story.migrations.begun) == 1

    play(tell, busy())


def test_nobodys_agreement_is_no_agreement() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await migrating(story, IRREVERSIBLE))
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and story.migrations.begun == []

    play(tell, busy())


def test_where_approvals_must_be_proven_this_one_must_be_too_and_is_not_that_of_the_release() -> None:
    async def tell(story: Story) -> None:
        story_with_notary(story)
        pace = replace(HASTY, approve=True)
        planned = await migrating(story, IRREVERSIBLE, pace=pace, conditions=Conditions(approvals=Policy("signers")))
        run = await story.deploy(planned)
        await story.until_phase(run, Phase.WAITING)
        with pytest.raises(Refused, match="only with a signature"):
            await story.order(run, OrderKind.APPROVE)
        await approve(story, run, "ada")
        await migrates(story)
        await story.until_phase(run, Phase.WAITING)
        assert starts(story) and story.world.weight("production") == 0, "the release waits for its own approval"
        await approve(story, run, "grace")
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_what_can_run_no_migration_goes_back() -> None:
    async def tell(story: Story) -> None:
        ports: Any = replace(story.engine._ports, migrations=None)
        story.engine = Engine(ports, "keeper")
        ended = await story.ends(await story.deploy(await migrating(story)))
        assert ended.phase is Phase.ROLLED_BACK and "nothing here can run it" in ended.reason

    play(tell, busy())


def test_a_first_release_migrates_before_it_starts() -> None:
    async def tell(story: Story) -> None:
        await story.proven(revision("v1", "staging", 1))
        new = revision("v1")
        first = stage(new, None, StrategyName.CANARY, replace(HASTY, migration=MIGRATION))
        ended = await story.ends(await story.deploy(first))
        assert ended.phase is Phase.SUCCEEDED and story.migrations.begun == [("production", "v1", 1)]

    play(tell, busy())


class Migrating(Tale):
    """A deployment with hooks and a migration that may be begun only once, killed before each call and write."""

    def __init__(self, kills: tuple[int, ...], behaviour: Behaviour = GOOD) -> None:
        super().__init__(StrategyName.CANARY, kills, behaviour)
        ready, migration = self.story.ready, replace(MIGRATION, idempotent=False)
        hooks = (Hook(When.START, Program(("ask",))), Hook(When.TRAFFIC, Program(("ask",))))

        async def planned(strategy: StrategyName, pace: Pace = HASTY, instances: int = 2) -> Stage:
            stage = await ready(strategy, pace, instances)
            asks = replace(pace, migration=migration, hooks=gates(hooks))
            self.story.migrations.before_call = self.fuse.burn
            steps = LAYOUTS[strategy](stage.revision, stage.replaces, asks)
            return replace(stage, steps=steps, hooks=hooks)

        self.story.ready = planned  # type: ignore[assignment]


@pytest.mark.parametrize("behaviour", [GOOD, BAD], ids=["good", "bad"])
def test_it_is_begun_once_whenever_the_engine_is_killed(behaviour: Behaviour) -> None:
    told = Migrating((), behaviour)
    told.right(told.told(), behaviour is GOOD)
    for moment in range(0, told.counted, 1 if THOROUGH or told.counted < 60 else told.counted // 60):
        tale = Migrating((moment,), behaviour)
        one_tale_ends_well(tale)
        assert len(tale.story.migrations.begun) == (tale.ended is not None), f"killed before call {moment}"
        asked = [facts["key"] for facts in tale.story.around.told]
        assert len(set(asked)) <= 3
