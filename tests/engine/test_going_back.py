"""Does a bad release go back, whatever is wrong with it, and whatever else is wrong at the same time?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.engine.stories import BAD, HASTY, Story, busy, play, revision, stage, staging

from interlock.adapters.memory import Behaviour, World
from interlock.core.account import Account
from interlock.core.criteria import Criteria
from interlock.core.events import OrderKind
from interlock.core.health import Answer, SmokeTest
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, Stage, StrategyName
from interlock.core.release import Revision
from interlock.core.rollout import Rollout
from interlock.core.steps import SetWeight, Step
from interlock.core.suspects import unready
from interlock.core.transitions import Refused
from interlock.core.weight import ALL, NONE, WHOLE, Weight

EVERY_WEIGHT = [
    (strategy, number)
    for strategy, weights in ((StrategyName.CANARY, 3), (StrategyName.BLUE_GREEN, 1), (StrategyName.ROLLING, 3))
    for number in range(weights)
]


async def planned(story: Story, strategy: StrategyName = StrategyName.CANARY, **more: object) -> Stage:
    pace = replace(HASTY, weights=(Weight(2000), Weight(5000), ALL))
    return await story.ready(strategy, pace, instances=3, **more)


def steps_watched_at(todo: Stage, weight: Weight) -> tuple[Step, ...]:
    """The steps from this weight on, before the next one."""
    begins = todo.steps.index(SetWeight(weight))
    later = [number for number, step in enumerate(todo.steps) if number > begins and isinstance(step, SetWeight)]
    return todo.steps[begins : later[0] if later else None]


def is_back(story: Story, ended: Rollout, *, quarantined: bool, instances: int = 3) -> None:
    assert ended.phase is Phase.ROLLED_BACK, ended.reason
    assert ended.quarantine is quarantined
    assert story.world.running("production") == {"production-v1": instances}
    assert story.world.routes["production"].revisions == ("production-v1",)
    assert all(proof.rollout != ended.id for proof in story.store._proofs)


def test_an_instance_that_only_the_proxy_finds_unhealthy_is_named_with_that_as_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Our probe and the proxy's need not fail at the same moment: where ours is well, what the proxy says counts."""

    async def tell(story: Story) -> None:
        todo = await planned(story)
        run = await story.deploy(todo)
        await story.reaches(run, next(step.weight for step in todo.steps if isinstance(step, SetWeight)))
        seen = World.healthy

        async def healthy(world: World, revision: str) -> frozenset[str]:
            return frozenset() if revision == "production-v2" else await seen(world, revision)

        monkeypatch.setattr(World, "healthy", healthy)
        ended = await story.ends(run, within=120)
        assert "(instance 0: not healthy at the data plane)" in ended.reason
        accounts = Account.of(ended, await story.store.entries(ended.id), None)
        assert [reason for _, reason in unready(accounts)] == ["instance 0: not healthy at the data plane"]

    play(tell, busy())


@pytest.mark.parametrize(("strategy", "number"), EVERY_WEIGHT)
def test_a_release_that_fails_at_some_weight_goes_back_and_is_quarantined(strategy: StrategyName, number: int) -> None:
    async def tell(story: Story) -> None:
        todo = await planned(story, strategy)
        weight = [step.weight for step in todo.steps if isinstance(step, SetWeight)][number]
        run = await story.deploy(todo)
        await story.reaches(run, weight)
        story.world.behaviour("production-v2").error_rate = 0.3
        ended = await story.ends(run, within=120)
        is_back(story, ended, quarantined=True)
        (kept,) = await story.store.quarantine("shop")
        assert (kept.identity, kept.rollout) == (ended.stage.revision.release.identity, ended.id)
        assert ended.stage.steps[ended.turned_at or 0] in steps_watched_at(todo, weight)

    play(tell, busy())


@pytest.mark.parametrize("strategy", OF_CODE)
@pytest.mark.parametrize(
    "sick",
    [Behaviour(error_rate=0.1), Behaviour(latency_ms=400), Behaviour(hangs=True)],
    ids=["errors", "slow", "hangs"],
)
def test_whatever_is_wrong_with_the_answers_it_goes_back(strategy: StrategyName, sick: Behaviour) -> None:
    async def tell(story: Story) -> None:
        todo = await planned(story, strategy, criteria=Criteria(latency_p99=timedelta(milliseconds=300)))
        run = await story.deploy(todo)
        is_back(story, await story.ends(run, within=300), quarantined=True)

    play(tell, World(requests_per_second=2000, behaviours={"production-v2": sick}))


@pytest.mark.parametrize("strategy", OF_CODE)
def test_instances_that_die_under_traffic_go_back(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story, strategy))
        ended = await story.ends(run, within=120)
        is_back(story, ended, quarantined=True)
        assert ended.reason.startswith("health: ")

    play(tell, World(requests_per_second=10, behaviours={"production-v2": Behaviour(dies_after=timedelta(seconds=4))}))


def test_instances_that_die_while_a_person_is_waited_for_go_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, replace(HASTY, approve=True)))
        await story.until_phase(run, Phase.WAITING)
        story.world.behaviour("production-v2").dies_after = timedelta(seconds=4)
        ended = await story.ends(run, within=60)
        is_back(story, ended, quarantined=True, instances=2)
        assert "crashed 2 times" in ended.reason
        assert not ended.approvals

    play(tell)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_instances_that_never_get_ready_are_taken_away_and_nothing_else_is_touched(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        todo = await planned(story, strategy)
        before = len(story.world.calls)
        ended = await story.ends(await story.deploy(todo), within=120)
        is_back(story, ended, quarantined=False)
        assert "of 3 instances ready (instance 0: not ready yet" in ended.reason or "0 of 1" in ended.reason
        assert not [call for call in story.world.calls[before:] if call.startswith(("steer", "fall back"))]

    play(tell, World(behaviours={"production-v2": Behaviour(never_ready=True)}))


@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_program_that_does_not_start_is_said_at_once(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        began = story.world.monotonic()
        ended = await story.ends(await story.deploy(await planned(story, strategy)), within=120)
        is_back(story, ended, quarantined=False)
        assert ended.reason == "production-v2: no such program: serve"
        assert story.world.monotonic() - began < 5

    play(tell, World(behaviours={"production-v2": Behaviour(launches=False)}))


@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_smoke_test_that_fails_keeps_every_user_away(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        new = with_smoke_test("v2")
        await story.proven(replace(new, environment="staging"))
        before = len(story.world.calls)
        ended = await story.ends(await story.deploy(stage(new, old, strategy, HASTY)), within=120)
        is_back(story, ended, quarantined=True, instances=2)
        assert ended.reason == "smoke test 'front page' of production-v2: expected 200, found 500"
        assert not [call for call in story.world.calls[before:] if call.startswith(("steer", "fall back"))]

    sick = Behaviour(smoke=Answer(False, "expected 200, found 500"))
    play(tell, World(behaviours={"production-v2": sick}))


def with_smoke_test(version: str) -> Revision:
    new = revision(version)
    configuration = replace(new.release.configuration, smoke_tests=(SmokeTest("front page"),))
    return replace(new, release=replace(new.release, configuration=configuration))


def test_a_first_release_that_fails_is_stopped_and_users_get_503() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(staging("v2"), stage(revision("v2"), None, pace=HASTY))
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK
        assert story.world.running("production") == {}
        route = story.world.routes["production"]
        assert (route.stable, route.canary) == (None, None)

    play(tell, World(requests_per_second=2000, behaviours={"production-v2": BAD}))


def test_a_bad_release_fails_in_staging_and_never_comes_to_production() -> None:
    async def tell(story: Story) -> None:
        old = await story.stands("v1")
        run = await story.deploy(staging("v2"), stage(revision("v2"), old, pace=HASTY))
        ended = await story.ends(run)
        assert (ended.stage.environment, ended.phase) == ("staging", Phase.ROLLED_BACK)
        assert len(await story.store.run(run)) == 1
        assert "ensure production-v2" not in " ".join(story.world.calls)

    play(tell, World(behaviours={"staging-v2": Behaviour(never_ready=True)}))


# --- blindness


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_minute_blind_with_traffic_goes_back_without_quarantine(strategy: StrategyName, everything: bool) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story, strategy))
        await story.until(lambda: story.world.weight("production") > 0)
        await story.world.sleep(timedelta(seconds=2))
        story.world.blind = everything
        story.world.blind_to = set() if everything else {"production-v2"}
        began = story.world.monotonic()
        turned = await story.until_phase(run, Phase.ROLLING_BACK)
        assert 55 <= story.world.monotonic() - began <= 70
        assert "blind for 6" in turned.reason
        story.world.blind = False
        is_back(story, await story.ends(run), quarantined=False)

    play(tell, busy())


def test_blind_below_five_percent_nothing_goes_on_and_in_the_end_it_goes_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, replace(HASTY, weights=(Weight(400), ALL))))
        await story.reaches(run, Weight(400))
        await story.world.sleep(timedelta(seconds=3))
        story.world.blind = True
        await story.world.sleep(timedelta(seconds=62))
        assert story.world.weight("production") == 400
        await story.until_phase(run, Phase.ROLLING_BACK, within=60)
        story.world.blind = False
        is_back(story, await story.ends(run), quarantined=False, instances=2)

    play(tell, busy())


def test_blindness_that_ends_in_time_only_costs_its_time() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(run, Weight(2000))
        story.world.blind = True
        await story.world.sleep(timedelta(seconds=45))
        assert story.world.weight("production") == 2000
        story.world.blind = False
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_a_rollback_that_nobody_can_see_the_effect_of_is_not_called_verified() -> None:
    """The traffic is back all the same; but nobody has seen the error rate come down, and a person must know."""

    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(run, Weight(2000))
        story.world.blind = True
        ended = await story.ends(run)
        assert ended.phase is Phase.FAILED
        assert "could not be verified" in ended.reason
        assert story.world.running("production") == {"production-v1": 2}
        story.world.blind = False
        await story.order(run, OrderKind.ABORT)
        is_back(story, await story.ends(run), quarantined=False, instances=2)

    play(tell, busy())


# --- a proxy, instances and programs that do not do what they are told


@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_weight_that_cannot_be_verified_goes_back_at_its_deadline(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story, strategy))
        await story.until(lambda: story.world.weight("production") > 0)
        began = story.world.monotonic()
        turned = await story.until_phase(run, Phase.ROLLING_BACK)
        assert 30 <= story.world.monotonic() - began <= 35
        assert "the probes say otherwise" in turned.reason
        assert isinstance(turned.stage.steps[turned.turned_at or 0], SetWeight)
        await story.world.sleep(timedelta(seconds=20))
        assert (await story.store.run(run))[-1].phase is Phase.ROLLING_BACK  # nor is going back done unobserved
        story.world.unverified = False
        is_back(story, await story.ends(run), quarantined=False)

    play(tell, World(requests_per_second=2000, unverified=True))


@pytest.mark.parametrize("fault", ["stuck", "hanging"])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_proxy_that_does_not_answer_during_the_rollback_delays_it_and_no_more(
    strategy: StrategyName, fault: str
) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story, strategy))
        await story.until(lambda: story.world.weight("production") > 0)
        setattr(story.world, fault, True)
        await story.order(run, OrderKind.ABORT)
        await story.world.sleep(timedelta(minutes=5))
        assert (await story.store.run(run))[-1].phase is Phase.ROLLING_BACK
        setattr(story.world, fault, False)
        is_back(story, await story.ends(run, within=180), quarantined=False)

    play(tell, busy())


@pytest.mark.parametrize("fault", ["stuck", "hanging"])
@pytest.mark.parametrize("after", [0, 1, 2, 5, 12, 25, 33])
def test_a_proxy_that_does_not_answer_at_some_moment_never_leaves_a_rollout_standing(after: int, fault: str) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.world.sleep(timedelta(seconds=after))
        setattr(story.world, fault, True)
        await story.world.sleep(timedelta(minutes=4))
        setattr(story.world, fault, False)
        ended = await story.ends(run, within=600)
        assert ended.phase in (Phase.ROLLED_BACK, Phase.SUCCEEDED)
        good = ended.phase is Phase.SUCCEEDED
        assert story.world.running("production") == {"production-v2" if good else "production-v1": 2}

    play(tell, busy())


def test_a_proxy_that_stays_stuck_fails_the_rollout_and_an_abort_tries_again() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(run, Weight(2000))
        story.world.stuck = True
        await story.order(run, OrderKind.ABORT, reason="something is wrong")
        ended = await story.ends(run, within=3600)
        assert ended.phase is Phase.FAILED
        assert ended.reason.startswith("aborted by ada: something is wrong; the rollback could not be verified: ")
        with pytest.raises(Refused):
            await story.order(run, OrderKind.PROMOTE)
        story.world.stuck = False
        again = await story.order(run, OrderKind.ABORT)
        assert again.phase is Phase.ROLLING_BACK
        is_back(story, await story.ends(run), quarantined=False, instances=2)

    play(tell, busy())


@pytest.mark.parametrize("gone", [1, 2])
def test_the_old_revision_takes_back_what_it_can_carry_and_the_rest_when_it_is_whole(gone: int) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story))
        await story.reaches(run, ALL)
        for slot in range(gone):
            story.world.strike("production-v1", slot, lasts=timedelta(seconds=90))
        await story.order(run, OrderKind.ABORT)
        await story.world.sleep(timedelta(seconds=2))
        assert story.world.weight("production") == WHOLE - WHOLE * (3 - gone) // 3
        await story.world.sleep(timedelta(seconds=80))
        assert story.world.weight("production") > 0
        await story.until(lambda: story.world.weight("production") == 0, within=15)
        is_back(story, await story.ends(run), quarantined=False)

    play(tell, busy())


def test_when_nothing_of_the_new_revision_is_left_everything_goes_to_whatever_is_ready_of_the_old() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story))
        await story.reaches(run, ALL)
        story.world.strike("production-v1", 0, lasts=timedelta(seconds=40))
        story.world.behaviour("production-v2").never_ready = True
        await story.until(lambda: story.world.routes["production"].share("production-v1") == ALL, within=5)
        is_back(story, await story.ends(run), quarantined=True)

    play(tell, busy())


def test_an_old_revision_that_cannot_be_started_again_does_not_keep_the_traffic_away() -> None:
    """In a rolling rollout the old side is smaller: what is left of it takes its part, the rest waits for help."""

    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story, StrategyName.ROLLING))
        await story.until(lambda: story.world.running("production") == {"production-v1": 2, "production-v2": 2})
        await story.until(lambda: story.world.weight("production") > 5000)
        story.world.behaviour("production-v1").launches = False
        await story.order(run, OrderKind.ABORT)
        await story.until(lambda: story.world.weight("production") <= 3334, within=1)
        await story.world.sleep(timedelta(minutes=2))
        assert (await story.store.run(run))[-1].phase is Phase.ROLLING_BACK
        story.world.behaviour("production-v1").launches = True
        is_back(story, await story.ends(run), quarantined=False)

    play(tell, busy())


def test_a_step_that_an_adapter_cancels_from_within_is_an_outcome() -> None:
    async def tell(story: Story) -> None:
        planned_stage = await story.ready(StrategyName.CANARY)

        def cancel(call: str) -> None:
            if call.startswith("ensure production-v2"):
                raise asyncio.CancelledError

        story.world.before_call = cancel
        ended = await story.ends(await story.deploy(planned_stage), within=60)
        is_back(story, ended, quarantined=False, instances=2)
        assert ended.reason == "step 4 ended without an outcome: None"

    play(tell, busy())


# --- how fast


@pytest.mark.parametrize("strategy", OF_CODE)
def test_an_abort_takes_the_traffic_back_within_300_ms(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story, strategy))
        await story.until(lambda: story.world.weight("production") > 0)
        await story.world.sleep(timedelta(seconds=7))
        began = story.world.monotonic()
        turned = await story.order(run, OrderKind.ABORT)
        assert turned.phase is Phase.ROLLING_BACK
        await story.until(lambda: story.world.weight("production") == 0)
        assert story.world.monotonic() - began <= 0.3
        is_back(story, await story.ends(run), quarantined=False)

    play(tell, busy())


def test_an_abort_in_the_middle_of_a_long_start_takes_the_traffic_back_within_300_ms() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story))
        await story.reaches(run, Weight(2000))
        story.world.behaviour("production-v2").starts_in = timedelta(seconds=55)
        await story.until(lambda: "ensure production-v2 2" in story.world.calls)
        await story.world.sleep(timedelta(seconds=30))
        began = story.world.monotonic()
        turned = await story.order(run, OrderKind.ABORT)
        assert turned.phase is Phase.ROLLING_BACK
        assert str(turned.stage.steps[turned.turned_at or 0]).startswith("start 2 instances")
        await story.until(lambda: story.world.weight("production") == 0)
        assert story.world.monotonic() - began <= 0.3
        is_back(story, await story.ends(run), quarantined=False)

    play(tell, busy())


def test_going_back_never_turns_again() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story))
        await story.reaches(run, Weight(5000))
        await story.order(run, OrderKind.ABORT)
        for kind in (OrderKind.PROMOTE, OrderKind.RESUME, OrderKind.PAUSE, OrderKind.APPROVE):
            with pytest.raises(Refused, match="is rolling back"):
                await story.order(run, kind)
        assert (await story.order(run, OrderKind.ABORT)).phase is Phase.ROLLING_BACK
        ended = await story.ends(run)
        is_back(story, ended, quarantined=False)
        assert ended.weight == NONE

    play(tell, busy())
