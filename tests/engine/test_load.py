"""Does synthetic load prove what users' traffic cannot, find what is bad before users do, and stop when it should?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from tests.engine.stories import BAD, HASTY, Story, busy, play
from tests.engine.test_crashes import GOOD, Tale, one_tale_ends_well

from interlock.adapters.memory import Behaviour, World
from interlock.core.account import Account
from interlock.core.events import OrderKind
from interlock.core.load import Recipe
from interlock.core.phase import Phase
from interlock.core.plan import StrategyName
from interlock.core.record import restore
from interlock.core.steps import Load, SetWeight
from interlock.core.strategy import Pace
from interlock.core.weight import ALL, Weight

RECIPE = Recipe(rate=20, requests=2000)
WEIGHTS = (Weight(2000), Weight(5000), ALL)
LOADED = replace(HASTY, weights=WEIGHTS, load=RECIPE, load_before=WEIGHTS[:2])
FIRST = replace(LOADED, load_before=(Weight(2000),))


def quiet() -> World:
    """A world with so few requests that users prove nothing."""
    return World(requests_per_second=0.5)


async def texts(story: Story, run: str) -> list[str]:
    rollout = (await story.store.run(run))[-1]
    return [entry.text for entry in await story.store.entries(rollout.id)]


@pytest.mark.parametrize("strategy", [StrategyName.CANARY, StrategyName.ROLLING])
def test_a_healthy_release_that_no_users_can_prove_is_proven_by_load_and_that_is_said(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        pace = LOADED if strategy is StrategyName.CANARY else replace(LOADED, load_before=(Weight(5000),))
        run = await story.deploy(await story.ready(strategy, pace))
        ended = await story.ends(run)
        assert (ended.phase, ended.unproven) == (Phase.SUCCEEDED, ()), ended.reason
        assert all(
            "proven by synthetic load, not by users: 0 of 2,000 synthetic requests" in s for s in ended.synthetic
        )
        assert len(ended.synthetic) == len(pace.load_before)

    play(tell, quiet())


def test_without_load_it_holds_and_goes_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, replace(LOADED, load_before=())))
        await story.until_phase(run, Phase.WAITING)
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, False)
        assert "no proof in time" in ended.reason

    play(tell, quiet())


def test_users_are_counted_apart_from_our_own_requests() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, LOADED))
        ended = await story.ends(run)
        kept = await story.store.last_checkpoint(ended.id)
        assert kept is not None
        account = Account.of(ended, [], kept)
        assert account.tally is not None and account.tried is not None
        assert account.tried.canary.completed == account.tried.stable.completed == pytest.approx(4000)
        assert account.tally.canary.completed < 50

    play(tell, quiet())


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (Behaviour(error_rate=0.05), "of synthetic requests: "),
        (Behaviour(latency_ms=60), "canary answers"),
        (Behaviour(hangs=True), "had no answer"),
    ],
    ids=["errors", "latency", "hangs"],
)
def test_a_bad_release_is_found_by_load_before_any_user_gets_to_it(behaviour: Behaviour, why: str) -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY, LOADED)
        story.world.behaviours["production-v2"] = behaviour
        run = await story.deploy(planned)
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True)
        assert why in ended.reason, ended.reason
        assert not ended.exposed
        assert not [call for call in story.world.calls if call.startswith("steer production") and "20 %" in call]
        assert story.world.running("production") == {"production-v1": 2}

    play(tell, quiet())


def test_what_only_users_see_is_not_outweighed_by_our_own_requests() -> None:
    """A release that is good at what the load asks, and bad at what users ask, goes back as soon as without load."""

    async def lasts(story: Story, pace: Pace) -> float:
        run = await story.deploy(await story.ready(StrategyName.CANARY, pace))
        await story.reaches(run, Weight(2000))
        since = story.world.monotonic()
        story.world.behaviours["production-v2"] = Behaviour(error_rate=0.05)
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True)
        assert "of synthetic requests" not in ended.reason
        return story.world.monotonic() - since

    seconds: list[float] = []
    for pace in (FIRST, replace(FIRST, load_before=())):

        async def tell(story: Story, pace: Pace = replace(pace, first_bake=timedelta(minutes=10))) -> None:
            seconds.append(await lasts(story, pace))

        play(tell, World(requests_per_second=50))
    assert seconds[0] <= seconds[1] + 10


def test_proof_by_load_does_not_help_a_watch_whose_users_are_not_seen() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, FIRST))
        await story.reaches(run, Weight(2000))
        story.world.blind = True
        ended = await story.ends(run)
        assert ended.phase in (Phase.ROLLED_BACK, Phase.FAILED)
        assert ended.synthetic == ()

    play(tell, quiet())


def test_a_load_before_one_weight_proves_nothing_at_the_next() -> None:
    async def tell(story: Story) -> None:
        ended = await story.ends(await story.deploy(await story.ready(StrategyName.CANARY, FIRST)))
        assert ended.phase is Phase.ROLLED_BACK
        assert len(ended.synthetic) == 1
        assert ended.weight == Weight(0) and "no proof in time" in ended.reason
        assert isinstance(ended.stage.steps[ended.turned_at - 1], SetWeight)  # type: ignore[operator]
        assert ended.stage.steps[ended.turned_at - 1].weight == Weight(5000)  # type: ignore[operator, union-attr]

    play(tell, quiet())


async def in_mid_load(story: Story, run: str) -> int:
    """Wait until a load is half sent; return the place of its step."""
    await story.until(lambda: bool(story.world._loads))
    await story.world.sleep(timedelta(seconds=50))
    rollout = (await story.store.run(run))[-1]
    assert isinstance(rollout.next_step, Load)
    return rollout.index


@pytest.mark.parametrize("weight", [None, Weight(2000)], ids=["before-users", "with-users"])
def test_an_abort_in_mid_load_stops_it_at_once_and_goes_back_as_fast_as_ever(weight: Weight | None) -> None:
    async def tell(story: Story) -> None:
        pace = replace(LOADED, load_before=(Weight(2000) if weight is None else Weight(5000),))
        if weight is not None:
            story.world.requests_per_second = busy().requests_per_second
        run = await story.deploy(await story.ready(StrategyName.CANARY, pace))
        await in_mid_load(story, run)
        assert story.world.weight("production") == (weight.points if weight else 0)
        since = story.world.monotonic()
        await story.order(run, OrderKind.ABORT)
        assert story.world._loads == {}
        await story.until(lambda: story.world.weight("production") == 0, within=1)
        assert story.world.monotonic() - since < 1
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, False)
        assert len([call for call in story.world.calls if call.startswith("load")]) == 2

    play(tell, quiet())


def test_a_pause_stops_it_and_what_was_sent_before_is_not_sent_again() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, FIRST))
        await in_mid_load(story, run)
        await story.order(run, OrderKind.PAUSE)
        assert story.world._loads == {}
        await story.world.sleep(timedelta(minutes=5))
        await story.order(run, OrderKind.RESUME)
        await story.reaches(run, Weight(2000))
        sent = [call.split() for call in story.world.calls if call.startswith("load")]
        assert [int(call[2]) for call in sent[:2]] == [2000, 2000]
        assert all(900 < int(call[2]) < 1100 for call in sent[2:])
        assert any("0 of 2,000 synthetic requests failed of production-v2" in text for text in await texts(story, run))
        await story.order(run, OrderKind.ABORT)

    play(tell, quiet())


@pytest.mark.parametrize("seconds", [0.1, 3, 20, 31, 50, 99])
def test_a_new_owner_goes_on_from_the_requests_already_counted(seconds: float) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, FIRST))
        await story.until(lambda: bool(story.world._loads))
        await story.world.sleep(timedelta(seconds=seconds))
        await story.engine.stop()
        assert story.world._loads == {}
        before = len(story.world.calls)
        await story.new_engine().resume()
        await story.reaches(run, Weight(2000))
        again = [call.split() for call in story.world.calls[before:] if call.startswith("load")]
        assert {int(call[2]) for call in again} <= {round(2000 - 20 * seconds) + n for n in (-1, 0, 1)}
        await story.until(lambda: story.world.weight("production") == 5000)
        (said,) = (await story.store.run(run))[-1].synthetic
        assert "0 of 2,000 synthetic requests failed" in said
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)

    play(tell, quiet())


@pytest.mark.parametrize("behaviour", [GOOD, BAD], ids=["good", "bad"])
def test_a_rollout_with_load_ends_well_whenever_its_engine_is_killed(behaviour: Behaviour) -> None:
    def tale(*kills: int, kill_after: float | None = None) -> Tale:
        one = Tale(StrategyName.CANARY, kills, behaviour, kill_after=kill_after)
        pace = replace(LOADED, load=replace(RECIPE, rate=50))
        one.story.ready = partial(one.story.ready, pace=pace)  # type: ignore[method-assign]
        return one

    whole = tale()
    whole.right(whole.told(), behaviour is GOOD)
    for moment in range(whole.counted):
        one_tale_ends_well(tale(moment))
    for second in (5, 15, 35, 45, 55, 70):
        one_tale_ends_well(tale(kill_after=second))


def test_a_load_that_stable_cannot_bear_is_stopped_and_proves_nothing() -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY, FIRST)
        story.world.behaviours["production-v1"] = story.world.behaviours["production-v2"] = Behaviour(error_rate=0.3)
        story.world.requests_per_second = 0
        run = await story.deploy(planned)
        await story.reaches(run, Weight(2000))
        (said,) = (await story.store.run(run))[-1].unproven
        assert "stopped, as production-v1 itself fails 30 % of it" in said
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, False)

    play(tell, quiet())


def test_a_load_whose_requests_nobody_counts_is_stopped() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, FIRST))
        await in_mid_load(story, run)
        story.world.blind_to.add("production-v1")
        await story.until(lambda: not story.world._loads, within=20)
        await story.reaches(run, Weight(2000))
        assert any("stopped, as its requests were not counted" in text for text in await texts(story, run))
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)

    play(tell, quiet())


def test_what_an_older_version_wrote_of_a_rollout_has_no_load_in_it() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY, FIRST))
        rollout = (await story.store.run(run))[-1]
        kept: dict[str, object] = {"tally": {}, "evidence": {}}
        assert Account.of(rollout, [], kept).tried is None
        assert restore(Load, {"kind": "Load", "revision": "a", "beside": "b", "rate": 1, "requests": 1, "within": 1})
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)

    play(tell, quiet())
