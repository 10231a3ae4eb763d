"""How does a good release get to its end, by each strategy, and what holds it up?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.engine.stories import HASTY, Story, busy, play, revision, stage, staging

from interlock.adapters.memory import Behaviour, World
from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.events import OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, StrategyName
from interlock.core.release import Entrance, Sticky, StickyBy
from interlock.core.weight import ALL, Weight


@pytest.mark.parametrize("instances", [1, 2, 5])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_good_release_ends_with_all_traffic_and_alone(strategy: StrategyName, instances: int) -> None:
    async def tell(story: Story) -> None:
        ended = await story.ends(await story.deploy(await story.ready(strategy, instances=instances)))
        assert (ended.phase, ended.reason, ended.unproven) == (Phase.SUCCEEDED, "", ())
        assert story.world.running("production") == {"production-v2": instances}
        assert story.world.routes["production"].revisions == ("production-v2",)
        proof = (await story.store.proofs("shop", "production"))[0]
        assert (proof.rollout, proof.revision) == (ended.id, ended.stage.revision)

    play(tell, busy())


@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_first_release_starts_from_nothing(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(staging("v1"), stage(revision("v1"), None, strategy, HASTY))
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED
        assert [one.stage.environment for one in await story.store.run(run)] == ["staging", "production"]
        assert story.world.running("production") == {"production-v1": 2}

    play(tell, busy())


def test_one_release_after_another() -> None:
    async def tell(story: Story) -> None:
        old = await story.released("v1")
        before = revision("v1", "staging", 1)
        for version, strategy in (("v2", "rolling"), ("v3", "canary"), ("v4", "blue-green")):
            new = revision(version)
            run = await story.deploy(staging(version, before), stage(new, old, StrategyName(strategy), HASTY))
            assert (await story.ends(run)).phase is Phase.SUCCEEDED
            old, before = new, revision(version, "staging", 1)
        assert story.world.running("production") == {"production-v4": 2}
        assert story.world.running("staging") == {"staging-v4": 1}

    play(tell, busy())


def test_a_rolling_rollout_never_has_fewer_instances_than_before() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.ROLLING, instances=5)
        fewest: list[int] = []
        story.world.before_call = lambda call: fewest.append(sum(story.world.running("production").values()))
        await story.ends(await story.deploy(planned))
        assert min(fewest) == 5
        assert max(fewest) == 6

    play(tell, busy())


def test_weights_are_those_of_the_plan_and_none_is_skipped() -> None:
    async def tell(story: Story) -> None:
        weights = (Weight(500), Weight(2500), Weight(5000), ALL)
        planned = await story.ready(StrategyName.CANARY, replace(HASTY, weights=weights))
        await story.ends(await story.deploy(planned))
        steered = [call.split(maxsplit=2)[2] for call in story.world.calls if call.startswith("steer production")]
        assert steered == ["0 %", "5 %", "25 %", "50 %", "100 %", "0 %"]  # the last only names the new one as stable

    play(tell, busy())


def test_without_traffic_a_step_holds_and_says_what_is_missing_and_then_goes_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        await story.until_phase(run, Phase.WAITING)
        held = (await story.store.run(run))[-1]
        assert held.reason.startswith("holds, at most 1 min: ")
        ended = await story.ends(run, within=180)
        assert ended.phase is Phase.ROLLED_BACK
        assert "no proof in time" in ended.reason
        assert not ended.quarantine
        assert await story.store.quarantine("shop") == ()

    play(tell, World(requests_per_second=0.1))


@pytest.mark.parametrize(
    ("policy", "phase"), [(WithoutProof.ADVANCE, Phase.SUCCEEDED), (WithoutProof.ROLL_BACK, Phase.ROLLED_BACK)]
)
def test_the_policy_says_what_happens_without_proof(policy: WithoutProof, phase: Phase) -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY, criteria=Criteria(without_proof=policy))
        ended = await story.ends(await story.deploy(planned), within=300)
        assert ended.phase is phase
        said = [text for text in ended.unproven if "advanced unproven by policy" in text]
        assert bool(said) is (phase is Phase.SUCCEEDED)

    play(tell, World(requests_per_second=0.1))


def test_to_advance_unproven_by_policy_takes_eyes_all_the_same() -> None:
    """No proof as there were no requests is one thing; not to have seen them is another."""

    async def tell(story: Story) -> None:
        criteria = Criteria(without_proof=WithoutProof.ADVANCE)
        pace = replace(HASTY, weights=(Weight(100), ALL))
        run = await story.deploy(await story.ready(StrategyName.CANARY, pace, criteria=criteria))
        await story.reaches(run, Weight(100))
        story.world.blind = True
        ended = await story.ends(run, within=300)
        assert (ended.phase, ended.unproven) == (Phase.ROLLED_BACK, ()) or ended.phase is Phase.FAILED
        assert max(weights_of(story)) == 100

    play(tell, World(requests_per_second=1))


def weights_of(story: Story) -> list[float]:
    calls = [call.rsplit(maxsplit=2)[-2] for call in story.world.calls if call.startswith("steer production")]
    return [float(percent) * 100 for percent in calls]


@pytest.mark.parametrize("strategy", OF_CODE)
def test_an_unjudged_environment_asks_for_health_alone(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        story.world.blind = True
        planned = await story.ready(strategy, criteria=None)
        ended = await story.ends(await story.deploy(planned), within=300)
        assert ended.phase is Phase.SUCCEEDED

    play(tell, World(requests_per_second=0))


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=3)])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_clock_that_jumps_in_the_middle_of_a_bake_changes_nothing(strategy: StrategyName, jump: timedelta) -> None:
    def lasts(jump: timedelta) -> float:
        async def tell(story: Story) -> None:
            run = await story.deploy(await story.ready(strategy))
            await story.world.sleep(timedelta(seconds=6))
            story.world.wall_offset = jump
            assert (await story.ends(run)).phase is Phase.SUCCEEDED
            took.append(story.world.monotonic())

        took: list[float] = []
        play(tell, busy())
        return took[0]

    assert lasts(jump) == lasts(timedelta(0))


@pytest.mark.parametrize(("users", "stops"), [(1, False), (99, False), (2000, True)])
def test_a_canary_that_none_of_many_users_reach_does_not_advance(users: int, stops: bool) -> None:
    async def tell(story: Story) -> None:
        sticky = Sticky(StickyBy.HEADER, "x-user")
        planned = replace(await story.ready(StrategyName.CANARY), entrance=Entrance(8000, sticky=sticky))
        story.world.passed_by, story.world.users = {planned.revision.name}, users
        ended = await story.ends(await story.deploy(planned))
        assert ended.phase is Phase.ROLLED_BACK
        assert (f"of {users} users reached" in ended.reason) is stops, ended.reason

    play(tell, busy())


def test_nothing_begins_while_the_release_to_go_back_to_could_not_be_started_again() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        story.world.behaviours["production-v1"] = Behaviour(launches=False)  # it runs, but its artefact is gone
        ended = await story.ends(await story.deploy(planned))
        assert ended.phase is Phase.ROLLED_BACK
        assert "could not be started again" in ended.reason and "interlock plan v1" in ended.reason
        assert not any(call.startswith("ensure production-v2") for call in story.world.calls)

    play(tell, busy())


def test_an_approval_is_bound_to_the_plan_and_the_release_that_it_saw() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, replace(HASTY, approve=True)))
        await story.until_phase(run, Phase.WAITING)
        assert story.world.weight("production") == 0
        await story.world.sleep(timedelta(minutes=10))
        await story.order(run, OrderKind.APPROVE, reason="looks well")
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED
        (approval,) = ended.approvals
        assert (approval.by, approval.plan, approval.reason) == ("ada", ended.plan, "looks well")
        assert approval.identity == ended.stage.revision.release.identity

    play(tell, busy())


def test_nobody_approves_in_time() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, replace(HASTY, approve=True)))
        ended = await story.ends(run, within=3600)
        assert (ended.phase, ended.reason) == (Phase.ROLLED_BACK, "nobody approved within 30 min")
        assert story.world.running("production") == {"production-v1": 2}

    play(tell, busy())


def test_a_promotion_ends_a_watch_on_record() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, replace(HASTY, first_bake=timedelta(hours=2))))
        await story.reaches(run, Weight(2000))
        await story.world.sleep(timedelta(seconds=3))
        await story.order(run, OrderKind.PROMOTE, reason="we are in a hurry")
        ended = await story.ends(run, within=120)
        assert ended.phase is Phase.SUCCEEDED
        assert ended.unproven == ("step 7 (watch 2 h, until proven) advanced unproven by ada: we are in a hurry",)

    play(tell, busy())


def test_requests_under_way_are_waited_for_and_those_cut_are_named() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        story.world.behaviour("production-v1").answers_within = timedelta(seconds=12)
        run = await story.deploy(planned)
        await story.ends(run)
        journal = {entry.text: entry.data for entry in await story.store.entries(f"{run}-production")}
        drained = next(text for text in journal if text.startswith("drain production-v1"))
        assert drained == "drain production-v1: quiet after 12.2 s"
        assert next(data for text, data in journal.items() if text.startswith("retire"))["cut"] == []

    play(tell, busy())


def test_a_request_that_outlasts_the_drain_is_cut_and_named() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY)
        story.world.behaviour("production-v1").answers_within = timedelta(minutes=5)
        run = await story.deploy(planned)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED
        journal = {entry.text: entry.data for entry in await story.store.entries(f"{run}-production")}
        assert "drain production-v1: 2 requests still under way at its deadline" in journal
        retired = next(data for text, data in journal.items() if text.startswith("retire production-v1"))
        assert retired["cut"] == ["GET /production-v1/slow"] * 2

    play(tell, busy())
