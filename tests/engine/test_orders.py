"""What may a person tell a rollout, when, and what comes of it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.engine.stories import BAD, HASTY, Story, busy, play

from interlock.adapters.memory import World
from interlock.core.events import Order, OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import StrategyName
from interlock.core.transitions import Refused
from interlock.core.weight import Weight
from interlock.engine import drive
from interlock.ports.store import StoreError


async def waiting(story: Story) -> str:
    run = await story.deploy(await story.ready(StrategyName.CANARY, replace(HASTY, approve=True)))
    await story.until_phase(run, Phase.WAITING)
    return run


async def starting(story: Story) -> str:
    planned = await story.ready(StrategyName.CANARY)
    story.world.behaviour("production-v2").starts_in = timedelta(seconds=30)
    run = await story.deploy(planned)
    await story.world.sleep(timedelta(seconds=10))
    return run


async def watched(story: Story) -> str:
    run = await story.deploy(await story.ready(StrategyName.CANARY))
    await story.reaches(run, Weight(2000))
    await story.world.sleep(timedelta(seconds=1))
    return run


async def held(story: Story) -> str:
    story.world.requests_per_second = 0
    run = await story.deploy(await story.ready(StrategyName.CANARY))
    await story.until_phase(run, Phase.WAITING)
    return run


async def paused(story: Story) -> str:
    run = await watched(story)
    await story.order(run, OrderKind.PAUSE, reason="lunch")
    return run


async def at_the_end(story: Story) -> str:
    run = await story.deploy(await story.ready(StrategyName.CANARY))
    await story.until_phase(run, Phase.WATCHING)
    return run


async def going_back(story: Story) -> str:
    run = await watched(story)
    await story.order(run, OrderKind.ABORT)
    return run


async def succeeded(story: Story) -> str:
    run = await story.deploy(await story.ready(StrategyName.CANARY))
    await story.ends(run)
    return run


async def rolled_back(story: Story) -> str:
    run = await going_back(story)
    await story.ends(run)
    return run


PLACES: dict[str, Callable[[Story], Awaitable[str]]] = {
    "waiting": waiting,
    "starting": starting,
    "watched": watched,
    "held": held,
    "paused": paused,
    "at the end": at_the_end,
    "going back": going_back,
    "succeeded": succeeded,
    "rolled back": rolled_back,
}
HEARD = {
    OrderKind.PAUSE: {"waiting", "starting", "watched", "held", "at the end"},
    OrderKind.RESUME: {"paused"},
    OrderKind.APPROVE: {"waiting"},
    OrderKind.PROMOTE: {"watched", "held", "at the end"},
    OrderKind.ABORT: {"waiting", "starting", "watched", "held", "paused", "at the end", "going back"},
    OrderKind.SUPERSEDE: {"waiting", "starting", "watched", "held", "paused", "at the end", "going back"},
    OrderKind.ACKNOWLEDGE: set(),  # nobody is asked to be on call here
}


@pytest.mark.parametrize("kind", OrderKind)
@pytest.mark.parametrize("place", PLACES)
def test_an_order_is_heard_where_it_fits_and_refused_where_it_does_not(place: str, kind: OrderKind) -> None:
    async def tell(story: Story) -> None:
        run = await PLACES[place](story)
        before = (await story.store.run(run))[-1]
        if place in HEARD[kind]:
            after = await story.order(run, kind, key="once")
            assert after == (await story.store.run(run))[-1]
            assert await story.order(run, kind, key="once") == after
        else:
            with pytest.raises(Refused, match=before.id):
                await story.order(run, kind)
            assert (await story.store.run(run))[-1].phase is before.phase
        if (await story.store.run(run))[-1].phase is Phase.PAUSED:
            await story.order(run, OrderKind.ABORT)
        story.world.requests_per_second = 2000
        ended = await story.ends(run)
        if kind in (OrderKind.ABORT, OrderKind.SUPERSEDE) and place in HEARD[kind]:
            assert ended.phase is (Phase.ROLLED_BACK if kind is OrderKind.ABORT else Phase.SUPERSEDED)
            assert story.world.running("production") == {"production-v1": 2}

    play(tell, busy())


def test_a_pause_stops_the_way_and_nothing_else() -> None:
    async def tell(story: Story) -> None:
        run = await watched(story)
        after = await story.order(run, OrderKind.PAUSE, reason="lunch")
        assert (after.phase, after.reason) == (Phase.PAUSED, "paused by ada: lunch")
        await story.world.sleep(timedelta(minutes=20))
        assert story.world.weight("production") == 2000
        assert (await story.order(run, OrderKind.RESUME)).phase is Phase.PROGRESSING
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_a_pause_is_not_forgotten_by_the_next_engine() -> None:
    async def tell(story: Story) -> None:
        run = await paused(story)
        await story.engine.stop()
        await story.new_engine().resume()
        await story.world.sleep(timedelta(minutes=2))
        assert (await story.store.run(run))[-1].phase is Phase.PAUSED
        await story.order(run, OrderKind.RESUME)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_safety_does_not_pause() -> None:
    async def tell(story: Story) -> None:
        run = await paused(story)
        story.world.behaviours["production-v2"] = BAD
        ended = await story.ends(run, within=120)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True)

    play(tell, busy())


def test_a_pause_that_everyone_forgot_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timedelta(hours=24) == drive.PAUSED_AT_MOST
    monkeypatch.setattr(drive, "PAUSED_AT_MOST", timedelta(minutes=10))

    async def tell(story: Story) -> None:
        run = await paused(story)
        ended = await story.ends(run, within=800)
        assert (ended.phase, ended.reason) == (Phase.ROLLED_BACK, "paused for longer than a day")

    play(tell, busy())


def test_nothing_promotes_a_release_past_a_fail_verdict() -> None:
    async def tell(story: Story) -> None:
        run = await watched(story)
        story.world.behaviour("production-v2").error_rate = 0.5
        while True:
            try:
                await story.order(run, OrderKind.PROMOTE)
            except Refused:
                break
            await story.world.sleep(timedelta(milliseconds=100))
            condemned = (
                story.engine.live() and next(iter(story.engine.live().values()))["judgement"]["verdict"] == "fail"
            )
            assert not condemned or (await story.store.run(run))[-1].turned_at is not None
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True)

    play(tell, busy())


@pytest.mark.parametrize("kind", [OrderKind.PROMOTE, OrderKind.PAUSE])
def test_an_order_for_a_step_already_passed_is_refused(kind: OrderKind) -> None:
    async def tell(story: Story) -> None:
        run = await watched(story)
        seen = (await story.store.run(run))[-1]
        await story.order(run, OrderKind.PROMOTE, index=seen.index, phase=seen.phase)
        with pytest.raises(Refused, match=f"has passed step {seen.index + 1}"):
            await story.order(run, kind, index=seen.index, phase=seen.phase)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_an_abort_is_heard_whatever_its_sender_saw() -> None:
    async def tell(story: Story) -> None:
        run = await at_the_end(story)
        await story.order(run, OrderKind.ABORT, index=0, phase=Phase.WAITING)
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK

    play(tell, busy())


def test_whoever_gives_an_order_at_the_very_end_gets_an_answer() -> None:
    """Orders that arrive together with the end are refused, and nobody waits for ever."""

    async def tell(story: Story) -> None:
        run = await at_the_end(story)
        answers: list[object] = []

        async def abort(number: int) -> None:
            order = Order(story.world.now(), OrderKind.PROMOTE, "ada", f"key-{number}")
            try:
                answers.append(await story.engine.order(run, order))
            except Refused as refused:
                answers.append(refused)

        orders = []
        for number in range(400):
            orders.append(asyncio.ensure_future(abort(number)))
            await story.world.sleep(timedelta(milliseconds=50))
        await asyncio.wait_for(asyncio.gather(*orders), 60)
        assert len(answers) == 400
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_whoever_gives_an_order_to_an_engine_that_stops_gets_an_answer() -> None:
    async def tell(story: Story) -> None:
        run = await watched(story)
        order = asyncio.ensure_future(story.order(run, OrderKind.PAUSE))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await story.engine.stop()
        with pytest.raises(Refused):
            await asyncio.wait_for(order, 10)
        await story.new_engine().resume()
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_an_order_that_cannot_be_recorded_is_not_carried_out() -> None:
    async def tell(story: Story) -> None:
        run = await watched(story)
        story.store.failing = True
        with pytest.raises(StoreError):
            await story.order(run, OrderKind.PAUSE)
        story.store.failing = False
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_an_unknown_rollout_is_refused_with_where_to_look() -> None:
    async def tell(story: Story) -> None:
        with pytest.raises(Refused, match=r"no rollout shop-9. Which there are: interlock history"):
            await story.order("shop-9", OrderKind.ABORT)

    play(tell, World())
