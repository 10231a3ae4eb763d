"""What happens between rollouts: who may start, what stays forbidden, what follows, and when nothing can be written?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.engine.stories import BAD, HASTY, Story, busy, play, revision, stage, staging

from interlock.adapters.memory import EPOCH, Behaviour, World
from interlock.core.events import OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, Plan, StrategyName
from interlock.core.rollout import Rollout
from interlock.core.transitions import Refused
from interlock.core.weight import ALL, Weight
from interlock.engine.engine import Stale
from interlock.ports.store import Busy, StoreError


def test_a_second_deployment_is_refused_and_told_which_is_the_first() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        run = await story.deploy(planned)
        with pytest.raises(Busy, match=f"{run}-production, progressing, by ada since 2026-03-01"):
            await story.deploy(stage(revision("v3"), revision("v1"), pace=HASTY))
        assert (await story.ends(run)).phase is Phase.SUCCEEDED
        assert "v3" not in " ".join(story.world.calls)

    play(tell, busy())


def test_a_newer_release_waits_until_the_older_one_is_back() -> None:
    async def tell(story: Story) -> None:
        first = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.proven(revision("v3", "staging", 1))
        await story.reaches(first, Weight(2000))
        second = await story.deploy(stage(revision("v3"), revision("v1"), pace=HASTY), supersede=True)
        old = (await story.store.run(first))[-1]
        assert (old.phase, old.quarantine) == (Phase.SUPERSEDED, False)
        assert story.world.running("production") == {"production-v1": 2}
        assert (await story.ends(second)).phase is Phase.SUCCEEDED
        assert story.world.running("production") == {"production-v3": 2}

    play(tell, busy())


def test_nothing_newer_begins_while_the_older_one_cannot_be_taken_back() -> None:
    async def tell(story: Story) -> None:
        first = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(first, Weight(2000))
        story.world.stuck = True
        with pytest.raises(Refused, match="could not be taken back, so nothing newer is begun"):
            await story.deploy(stage(revision("v3"), revision("v1"), pace=HASTY), supersede=True)
        assert await story.store.active() == ()
        story.world.stuck = False
        await story.order(first, OrderKind.ABORT)
        assert (await story.ends(first)).phase is Phase.SUPERSEDED

    play(tell, busy())


def test_a_rollout_after_one_that_failed_begins_with_the_old_revision_in_front() -> None:
    async def tell(story: Story) -> None:
        first = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(first, Weight(2000))
        story.world.stuck = True
        await story.order(first, OrderKind.ABORT)
        assert (await story.ends(first)).phase is Phase.FAILED
        story.world.stuck = False
        await story.proven(revision("v3", "staging", 1))
        second = await story.deploy(stage(revision("v3"), revision("v1"), pace=HASTY))
        await story.until(lambda: story.world.routes["production"].canary is None, within=1)
        with pytest.raises(Busy):
            await story.order(first, OrderKind.ABORT)
        ended = await story.ends(second)
        assert ended.phase is Phase.SUCCEEDED
        assert story.world.routes["production"].revisions == ("production-v3",)

    play(tell, busy())


def test_a_plan_for_a_world_that_has_moved_on_is_refused() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        assert (await story.ends(await story.deploy(planned))).phase is Phase.SUCCEEDED
        with pytest.raises(Stale, match="was made to replace production-v1 in production, where production-v2 is"):
            await story.deploy(replace(planned, revision=revision("v3")))

    play(tell, busy())


def test_a_quarantined_release_never_starts_until_a_person_lets_it_out() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        bad = story.world.behaviour("production-v2")
        bad.error_rate = 0.5
        assert (await story.ends(await story.deploy(planned))).phase is Phase.ROLLED_BACK
        bad.error_rate = 0.0
        before = len(story.world.calls)
        ended = await story.ends(await story.deploy(planned))
        assert ended.phase is Phase.ROLLED_BACK
        assert "is quarantined since shop-1-production" in ended.reason
        assert not [call for call in story.world.calls[before:] if call.startswith(("ensure", "steer", "admit"))]
        identity = planned.revision.release.identity
        assert await story.store.release("shop", identity, "ada", "a false alarm", story.world.now())
        assert (await story.ends(await story.deploy(planned))).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_a_release_let_out_while_it_still_goes_back_stays_out() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        run = await story.deploy(planned)
        await story.until_phase(run, Phase.ROLLING_BACK)
        identity = planned.revision.release.identity
        assert await story.store.release("shop", identity, "ada", "a false alarm", story.world.now())
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK
        assert await story.store.quarantine("shop") == ()

    play(tell, World(requests_per_second=2000, behaviours={"production-v2": BAD}))


def test_production_asks_for_the_proof_of_staging() -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        ended = await story.ends(await story.deploy(stage(revision("v2"), old, pace=HASTY)))
        assert ended.phase is Phase.ROLLED_BACK
        assert "has not passed staging" in ended.reason
        assert "ensure production-v2" not in " ".join(story.world.calls)

    play(tell, busy())


@pytest.mark.parametrize(("age", "phase"), [(6, Phase.SUCCEEDED), (8, Phase.ROLLED_BACK)])
def test_a_proof_is_valid_for_a_week(age: int, phase: Phase) -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        story.world.wall_offset = timedelta(days=age)
        ended = await story.ends(await story.deploy(planned))
        assert ended.phase is phase
        assert ended.reason == "" or "a proof is valid for 7 d: deploy it again" in ended.reason

    play(tell, busy())


def test_what_staging_could_not_hand_on_is_not_begun_by_surprise_later() -> None:
    """Production was busy when staging was through: that is noted, and the release does not turn up after a restart."""

    async def tell(story: Story) -> None:
        slow = replace(HASTY, first_bake=timedelta(hours=1))
        first = await story.deploy(await story.ready(StrategyName.CANARY, slow))
        second = await begin_in_staging_only(story)
        await story.until_over(f"{second}-staging")
        await story.world.sleep(timedelta(seconds=1))
        entries = await story.store.entries(f"{second}-staging")
        assert [(one.kind, first in one.text) for one in entries if one.kind == "not begun"] == [("not begun", True)]
        await story.order(first, OrderKind.ABORT)
        await story.ends(first)
        await story.engine.stop()
        await story.new_engine().resume()
        await story.world.sleep(timedelta(minutes=1))
        assert [one.stage.environment for one in await story.store.run(second)] == ["staging"]

    play(tell, busy())


async def begin_in_staging_only(story: Story) -> str:
    """Start a run whose production is busy by the time that staging is through."""
    new, before = revision("v3"), revision("v2", "staging", 1)
    busy_now, story.store._rows = story.store._rows, {k: v for k, v in story.store._rows.items() if v.rollout.over}
    try:
        return await story.deploy(staging("v3", before), stage(new, revision("v1"), pace=HASTY))
    finally:
        story.store._rows.update(busy_now)


def test_the_next_environment_begins_also_when_the_engine_is_killed_in_between() -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        run = await story.deploy(staging("v2"), stage(revision("v2"), old, pace=HASTY))
        story.store.failing_from = ("begin",)
        await story.until_over(f"{run}-staging")
        await story.world.sleep(timedelta(seconds=1))
        await story.engine.stop()
        story.store.failing_from = ()
        await story.new_engine().resume()
        ended = await story.ends(run)
        assert (ended.stage.environment, ended.phase) == ("production", Phase.SUCCEEDED)

    play(tell, busy())


def test_an_hour_that_another_version_remembered_keeps_nobody_from_driving() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        await story.store.remember("production", {"history": {"of": "another version"}})
        assert (await story.ends(await story.deploy(planned))).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_what_cannot_be_read_at_first_is_taken_up_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that ended by it would keep neither instances nor proxy alive."""

    async def unreadable(*_: object) -> tuple[()]:
        raise StoreError("cannot read the store in memory: it was told to fail")

    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        run = await story.deploy(staging("v2"), stage(revision("v2"), old, pace=HASTY))
        story.store.failing_from = ("begin",)
        await story.until_over(f"{run}-staging")
        await story.engine.stop()
        story.store.failing_from = ()
        with monkeypatch.context() as broken:
            broken.setattr(story.store, "rollouts", unreadable)
            await story.new_engine().resume()
        tending = asyncio.ensure_future(story.engine.tend())
        await story.world.sleep(timedelta(seconds=10))
        ended = await story.ends(run)
        assert (ended.stage.environment, ended.phase) == ("production", Phase.SUCCEEDED)
        tending.cancel()

    play(tell, busy())


def test_a_rollout_that_cannot_be_read_is_told_since_when_and_keeps_no_other_from_being_driven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        production = await story.deploy(planned)
        await story.reaches(production, HASTY.weights[0])
        other = await story.deploy(staging("v3", revision("v2", "staging", 1)))
        await story.engine.stop()
        whole, since = story.store.rollout, story.world.now()

        async def unreadable(id: str) -> Rollout | None:
            if id.startswith(production):
                raise StoreError("the record cannot be read: it was told to fail")
            return await whole(id)

        with monkeypatch.context() as broken:
            broken.setattr(story.store, "rollout", unreadable)
            await story.new_engine().resume()
            tending = asyncio.ensure_future(story.engine.tend())
            await story.world.sleep(timedelta(seconds=20))
            (stuck,) = story.engine.stuck().items()
            assert stuck == (f"{production}-production", {"since": since.isoformat(), "why": stuck[1]["why"]})
            assert "cannot be read" in stuck[1]["why"]
            assert (await story.store.run(other))[-1].over
        assert (await story.ends(production)).phase is Phase.SUCCEEDED
        await story.world.sleep(timedelta(seconds=10))
        assert story.engine.stuck() == {}
        tending.cancel()

    play(tell, busy())


def test_a_rollout_whose_evidence_cannot_be_read_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        run = await story.deploy(planned)
        await story.reaches(run, HASTY.weights[0])
        await story.engine.stop()
        since = story.world.now()

        async def unreadable(id: str) -> None:
            raise StoreError("the checkpoint cannot be read: it was told to fail")

        with monkeypatch.context() as broken:
            broken.setattr(story.store, "last_checkpoint", unreadable)
            await story.new_engine().resume()
            tending = asyncio.ensure_future(story.engine.tend())
            await story.world.sleep(timedelta(seconds=20))
            assert story.engine.stuck()[f"{run}-production"]["since"] == since.isoformat()
        assert (await story.ends(run)).phase is Phase.SUCCEEDED
        assert story.engine.stuck() == {}
        tending.cancel()

    play(tell, busy())


# --- a store that cannot be written


@pytest.mark.parametrize("strategy", OF_CODE)
@pytest.mark.parametrize("after", [0.5, 3, 8, 14, 20])
def test_while_nothing_can_be_written_nothing_goes_on(strategy: StrategyName, after: float) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(strategy))
        await story.world.sleep(timedelta(seconds=after))
        story.store.failing = True
        recorded = (await story.store.run(run))[-1]
        await story.world.sleep(timedelta(seconds=1))
        weight = story.world.weight("production")
        await story.world.sleep(timedelta(minutes=3))
        assert (await story.store.run(run))[-1] == recorded
        assert story.world.weight("production") == weight
        story.store.failing = False
        ended = await story.ends(run)
        assert ended.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK)

    play(tell, busy())


@pytest.mark.parametrize("strategy", OF_CODE)
def test_going_back_needs_no_space_and_is_written_when_there_is_some(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(strategy))
        await story.until(lambda: story.world.weight("production") > 0)
        story.store.failing = True
        story.world.behaviour("production-v2").error_rate = 0.5
        await story.until(lambda: story.world.weight("production") == 0, within=30)
        await story.world.sleep(timedelta(minutes=2))
        assert story.world.running("production") == {"production-v1": 2}
        assert not (await story.store.run(run))[-1].over
        story.store.failing = False
        ended = await story.ends(run, within=5)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True)
        (kept,) = await story.store.quarantine("shop")
        assert kept.rollout == ended.id
        kinds = [entry.kind for entry in await story.store.entries(ended.id)]
        assert kinds.index("unsafe") < kinds.index("turned") < kinds.index("ended")

    play(tell, busy())


def test_an_abort_is_heard_while_nothing_can_be_written() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(run, Weight(2000))
        story.store.failing = True
        turned = await story.order(run, OrderKind.ABORT)
        assert turned.phase is Phase.ROLLING_BACK
        await story.until(lambda: story.world.weight("production") == 0, within=0.3)
        story.store.failing = False
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK

    play(tell, busy())


def test_an_engine_killed_while_it_went_back_unrecorded_is_followed_by_one_that_goes_back_too() -> None:
    """The record still says 20 %; the data plane has 0 %: the next owner believes what it sees."""

    async def tell(story: Story) -> None:
        slow = replace(HASTY, first_bake=timedelta(minutes=9))
        run = await story.deploy(await story.ready(StrategyName.CANARY, slow))
        await story.reaches(run, Weight(2000))
        story.store.failing = True
        await story.order(run, OrderKind.ABORT)
        await story.until(lambda: story.world.weight("production") == 0, within=0.3)
        await story.engine.stop()
        assert (await story.store.run(run))[-1].phase is Phase.PROGRESSING
        await story.new_engine().resume()
        await story.world.sleep(timedelta(seconds=30))
        assert story.world.running("production") == {"production-v1": 2}
        story.store.failing = False
        ended = await story.ends(run, within=10)
        assert ended.phase is Phase.ROLLED_BACK
        assert "the record says 20 % of the traffic, the data plane has 0 %" in ended.reason

    play(tell, busy())


def test_a_bad_release_goes_back_also_when_its_engine_was_killed_on_a_full_disk() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(run, Weight(2000))
        story.store.failing = True
        await story.engine.stop()
        story.world.behaviour("production-v2").error_rate = 0.5
        await story.new_engine().resume()
        await story.until(lambda: story.world.weight("production") == 0, within=60)
        await story.world.sleep(timedelta(minutes=1))
        story.store.failing = False
        ended = await story.ends(run, within=10)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True)

    play(tell, busy())


def test_nothing_begins_before_its_owner_is_on_record() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        run = await story.deploy(planned)
        await story.until(lambda: story.world.calls[-1] == "ensure production-v2 1")
        story.store.failing_from = ("claim",)
        await story.engine.stop()
        await story.new_engine().resume()
        await story.world.sleep(timedelta(minutes=1))
        assert story.world.calls[-1] == "ensure production-v2 1"
        story.store.failing_from = ()
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


# --- what serves between rollouts


def test_an_instance_that_comes_back_elsewhere_is_put_in_front_again() -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        tending = asyncio.ensure_future(story.engine.tend())
        await story.world.sleep(timedelta(seconds=5))
        for copy in story.world._copies[old.name]:
            copy.address, copy.admitted = "127.0.0.1:1" + copy.address[-4:], False
        await story.world.sleep(timedelta(seconds=3))
        assert len(await story.world.healthy(old.name)) == 2
        tending.cancel()

    play(tell, busy())


@pytest.mark.parametrize("paused", [False, True])
def test_an_instance_that_comes_back_elsewhere_during_a_watch_is_put_in_front_again(paused: bool) -> None:
    async def tell(story: Story) -> None:
        slow = replace(HASTY, weights=(Weight(5000), ALL), first_bake=timedelta(minutes=5))
        run = await story.deploy(await story.ready(StrategyName.CANARY, slow))
        await story.reaches(run, slow.weights[0])
        await story.world.sleep(timedelta(seconds=10))
        if paused:
            await story.order(run, OrderKind.PAUSE)
        copy = story.world._copies["production-v1"][0]
        copy.address, copy.admitted = "127.0.0.1:1" + copy.address[-4:], False
        await story.world.sleep(timedelta(seconds=1.5))
        assert copy.address in await story.world.healthy("production-v1")
        if paused:
            await story.order(run, OrderKind.RESUME)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_tending_goes_on_whatever_fails() -> None:
    async def tell(story: Story) -> None:
        await story.stands("v1")
        tending = asyncio.ensure_future(story.engine.tend())
        for fault in ("stuck", "blind", "hanging"):
            setattr(story.world, fault, True)
            story.store.failing = True
            await story.world.sleep(timedelta(minutes=2))
            setattr(story.world, fault, False)
            story.store.failing = False
            await story.world.sleep(timedelta(minutes=2))
        assert not tending.done()
        assert await story.store.recall("production") is not None
        tending.cancel()

    play(tell, busy())


def test_a_duty_that_breaks_hinders_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> tuple[str, ...]:
        raise OSError("an adapter's own fault")

    async def tell(story: Story) -> None:
        await story.stands("v1")
        tending = asyncio.ensure_future(story.engine.tend())
        monkeypatch.setattr(story.store, "active", broken)  # taking up what nobody drives comes first
        await story.world.sleep(timedelta(minutes=2))
        assert not tending.done()
        assert await story.store.recall("production") is not None
        tending.cancel()

    play(tell, busy())


def test_what_was_counted_during_a_rollout_is_not_counted_again_after_it() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        tending = asyncio.ensure_future(story.engine.tend())
        await story.world.sleep(timedelta(minutes=2))
        run = await story.deploy(planned)
        await story.reaches(run, Weight(2000))
        await story.order(run, OrderKind.PAUSE)
        await story.world.sleep(timedelta(minutes=5))
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)
        await story.world.sleep(timedelta(minutes=2))
        tending.cancel()
        kept = await story.store.recall("production")
        assert kept is not None
        seconds = sum(covered for covered, _ in kept["history"]["blocks"])
        assert 60 < seconds <= (story.world.now() - EPOCH).total_seconds()

    play(tell, busy())


def test_a_state_directory_serves_one_service_only() -> None:
    """Routes are named by environment: another service's plan would take the first one's entrance away."""

    async def tell(story: Story) -> None:
        await story.ends(await story.deploy(await story.ready(StrategyName.CANARY)))
        stages = (stage(revision("v1"), None),)
        with pytest.raises(Stale, match="this state directory is shop's"):
            await story.engine.start(Plan("mail", "v1", stages, EPOCH), "ada")

    play(tell, busy())


def test_what_stable_did_before_is_there_when_the_next_rollout_begins() -> None:
    """Blue-green has no concurrent control: its baseline is what stable did in the last hour, also after a restart."""

    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.BLUE_GREEN)
        tending = asyncio.ensure_future(story.engine.tend())
        await story.world.sleep(timedelta(minutes=10))
        tending.cancel()
        story.new_engine()
        run = await story.deploy(planned)
        await story.world.sleep(timedelta(seconds=2))
        tally = next(iter(story.engine.live().values()))["tally"]
        assert tally["before"]["requests"] > 500_000
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_two_environments_of_one_service_can_be_under_way_at_once() -> None:
    async def tell(story: Story) -> None:
        production = await story.deploy(await story.ready(StrategyName.CANARY))
        later = stage(revision("v3", "staging", 1), revision("v2", "staging", 1), StrategyName.BLUE_GREEN, HASTY, None)
        in_staging = await story.deploy(replace(later, steps=later.steps[:1] + later.steps[2:]))
        assert len(await story.store.active()) == 2
        assert (await story.ends(production)).phase is Phase.SUCCEEDED
        assert (await story.ends(in_staging)).phase is Phase.SUCCEEDED
        assert story.world.routes["production"].share("production-v2") == ALL

    play(tell, World(requests_per_second=2000, behaviours={"staging-v2": Behaviour()}))


def test_what_was_stopped_is_brought_back_as_it_was() -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        await story.world.stop(old.name, (0, 1))
        story.world.violations.clear()  # it was stopped with all its traffic: that is what `down` does
        plan = Plan("shop", "v1", (stage(revision("v2"), old),), EPOCH)
        assert await story.engine.bring_back(plan) == ["production"]
        assert len(await story.world.healthy(old.name)) == 2
        assert await story.engine.bring_back(plan) == []

    assert play(tell, busy()).world.routes["production"].stable == "production-v1"


def test_nothing_is_brought_back_where_a_rollout_is_under_way() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        run = await story.deploy(planned)
        with pytest.raises(Busy, match=run):
            await story.engine.bring_back(Plan("shop", "v1", (planned,), EPOCH))
        await story.ends(run)

    play(tell, busy())
