"""Does a rollout wait until one of those on call knows of it, and is nobody else taken for one of them?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.engine.stories import HASTY, Story, busy, play

from interlock.core.conditions import Conditions
from interlock.core.events import OrderKind
from interlock.core.incidents import Flagged, Incident, Incidents
from interlock.core.link import CHANNEL
from interlock.core.on_call import OnCall, Person, Roster
from interlock.core.phase import Phase
from interlock.core.plan import Stage, StrategyName
from interlock.core.steps import Gate, GateName
from interlock.core.strategy import LAYOUTS
from interlock.core.transitions import Refused
from interlock.core.weight import Weight
from interlock.engine.guard import SLOWER
from interlock.ports.on_call import OnCallError

WITHIN = timedelta(minutes=15)
ASKED = OnCall(Roster(("ada",)), acknowledge=True, within=WITHIN)
GRACE = Person("Grace Hopper", "grace@example.org")


async def planned(story: Story, declared: OnCall = ASKED) -> Stage:
    found = await story.ready(StrategyName.CANARY)
    conditions = Conditions(on_call=declared)
    within = declared.within if declared.acknowledge else None
    pace = replace(HASTY, conditions=conditions.gates, acknowledge_within=within)
    return replace(
        found, steps=LAYOUTS[StrategyName.CANARY](found.revision, found.replaces, pace), conditions=conditions
    )


async def waiting(story: Story) -> str:
    run = await story.deploy(await planned(story))
    held = await story.until_phase(run, Phase.WAITING)
    assert isinstance(held.next_step, Gate) and held.next_step.name is GateName.ON_CALL
    assert "one of those on call must acknowledge it within 15 min" in held.reason
    return run


def begun(story: Story) -> bool:
    return any(call.startswith("ensure production-v2") for call in story.world.calls)


def test_nothing_is_begun_before_somebody_on_call_knows_of_it_and_then_it_goes_its_way() -> None:
    async def tell(story: Story) -> None:
        run = await waiting(story)
        await story.world.sleep(timedelta(minutes=10))
        assert not begun(story)
        told = await story.order(run, OrderKind.ACKNOWLEDGE, channel="command line", reason="I am at my desk")
        assert told.acknowledged is not None and told.acknowledged.by == "ada (unproven)"
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED, ended.reason
        (line,) = [one for one in await story.store.entries(ended.id) if one.data.get("order") == "acknowledge"]
        assert line.kind == "order" and line.text == "acknowledged by ada (unproven), on call: I am at my desk"
        assert (line.data["by"], line.data["channel"]) == ("ada (unproven)", "command line")
        (gate,) = [one for one in await story.store.entries(ended.id) if one.data.get("gate") == "on-call"]
        assert gate.data["answer"]["reason"] == "ada; acknowledged by ada (unproven)"

    play(tell, busy())


def test_while_it_waits_the_rota_is_asked_at_a_pace_and_whoever_acknowledges_waits_for_none() -> None:
    """For a quarter of an hour somebody else's server may be asked; by the rollout and by its guard together."""

    async def tell(story: Story) -> None:
        run = await waiting(story)
        before = story.around.asked["on-call"]
        await story.world.sleep(timedelta(minutes=10))
        per_second = (story.around.asked["on-call"] - before) / 600
        assert 1 / SLOWER.total_seconds() / 2 <= per_second <= 1 / SLOWER.total_seconds() + 2 / 60
        await story.order(run, OrderKind.ACKNOWLEDGE)
        at = story.world.monotonic()
        await story.until(lambda: begun(story), 60)
        assert story.world.monotonic() - at < 3
        await story.ends(run)

    play(tell, busy())


def test_an_incident_that_holds_the_start_is_asked_about_once_a_second_in_all() -> None:
    async def tell(story: Story) -> None:
        fire = Incident("I-1", "it burns", story.world.now(), mine=False)
        conditions = Conditions(incidents=Incidents((Flagged("/on-fire"),)))
        found = await story.ready(StrategyName.CANARY)
        pace = replace(HASTY, conditions=conditions.gates)
        steps = LAYOUTS[StrategyName.CANARY](found.revision, found.replaces, pace)
        story.around.fires = [fire]
        run = await story.deploy(replace(found, steps=steps, conditions=conditions))
        await story.until_phase(run, Phase.WAITING)
        before = story.around.asked["incidents"]
        await story.world.sleep(timedelta(seconds=20))
        assert 15 <= story.around.asked["incidents"] - before <= 22
        story.around.fires = []
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_without_an_acknowledgement_it_goes_back_at_the_deadline_and_nothing_was_begun() -> None:
    async def tell(story: Story) -> None:
        began = story.world.monotonic()
        run = await waiting(story)
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine and not ended.exposed
        assert WITHIN.total_seconds() - 5 <= story.world.monotonic() - began <= WITHIN.total_seconds() + 60
        assert not begun(story) and "must acknowledge" in ended.reason

    play(tell, busy())


def test_the_deadline_counts_on_when_the_keeper_is_another_one() -> None:
    async def tell(story: Story) -> None:
        began = story.world.monotonic()
        run = await waiting(story)
        for _ in range(3):
            await story.world.sleep(timedelta(minutes=4))
            await story.engine.stop()
            await story.new_engine().resume()
        await story.ends(run)
        assert story.world.monotonic() - began <= WITHIN.total_seconds() + 60

    play(tell, busy())


@pytest.mark.parametrize(
    ("claims", "by"),
    [
        ("Grace Hopper", "Grace Hopper (said by ada, unproven)"),
        ("grace", "Grace Hopper (said by ada, unproven)"),
        ("grace@example.org", "Grace Hopper (said by ada, unproven)"),
        ("", ""),
        ("mallory", ""),
    ],
)
def test_only_who_is_on_call_now_may_acknowledge(claims: str, by: str) -> None:
    async def tell(story: Story) -> None:
        run = await waiting(story)
        story.around.staff = (GRACE, Person("hedy"))
        if by:
            told = await story.order(run, OrderKind.ACKNOWLEDGE, claims=claims)
            assert told.acknowledged is not None and told.acknowledged.by == by
            return
        with pytest.raises(Refused, match=r"is not on call now; on call is Grace Hopper, hedy"):
            await story.order(run, OrderKind.ACKNOWLEDGE, claims=claims)
        assert (await story.store.run(run))[-1].acknowledged is None

    play(tell, busy())


def test_a_signed_link_speaks_for_whom_it_was_given_to() -> None:
    async def tell(story: Story) -> None:
        story.around.staff = (GRACE,)
        run = await waiting(story)
        told = await story.order(run, OrderKind.ACKNOWLEDGE, "link-1", claims="Grace Hopper", channel=CHANNEL)
        assert told.acknowledged is not None
        assert (told.acknowledged.by, told.acknowledged.channel) == ("Grace Hopper", "signed link")
        again = await story.order(run, OrderKind.ACKNOWLEDGE, "link-1", claims="Grace Hopper", channel=CHANNEL)
        assert again.acknowledged == told.acknowledged
        ended = await story.ends(run)
        lines = [one for one in await story.store.entries(ended.id) if one.data.get("order") == "acknowledge"]
        assert len(lines) == 1

    play(tell, busy())


def test_it_may_be_acknowledged_before_it_is_asked_and_stays_so_when_the_shift_ends() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story))
        await story.order(run, OrderKind.ACKNOWLEDGE)
        await story.reaches(run, Weight(2000))
        story.around.staff = (GRACE,)
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED and ended.acknowledged is not None

    play(tell, busy())


def test_who_is_on_call_must_be_known_to_acknowledge_and_somebody_must_be_asked() -> None:
    async def tell(story: Story) -> None:
        run = await waiting(story)
        story.around.fails["on-call"] = OnCallError("the rota is down")
        with pytest.raises(
            Refused, match="who is on call is not known, so nobody can acknowledge now: the rota is down"
        ):
            await story.order(run, OrderKind.ACKNOWLEDGE)

    play(tell, busy())

    async def unasked(story: Story) -> None:
        run = await story.deploy(await story.ready(StrategyName.CANARY))
        with pytest.raises(Refused, match="asks nobody on call: there is nothing to acknowledge"):
            await story.order(run, OrderKind.ACKNOWLEDGE)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(unasked, busy())


def test_a_second_one_is_on_record_and_the_first_one_stays_the_first() -> None:
    async def tell(story: Story) -> None:
        story.around.staff = (Person("ada"), GRACE)
        run = await waiting(story)
        await story.order(run, OrderKind.ACKNOWLEDGE)
        told = await story.order(run, OrderKind.ACKNOWLEDGE, claims="grace")
        assert told.acknowledged is not None and told.acknowledged.by == "ada (unproven)"
        lines = [one.text for one in await story.store.entries(told.id) if one.data.get("order") == "acknowledge"]
        assert len(lines) == 2 and "Grace Hopper" in lines[1]

    play(tell, busy())


def test_an_acknowledgement_moves_nothing_that_is_paused_or_going_back() -> None:
    async def tell(story: Story) -> None:
        run = await waiting(story)
        await story.order(run, OrderKind.PAUSE)
        assert (await story.order(run, OrderKind.ACKNOWLEDGE)).phase is Phase.PAUSED
        await story.order(run, OrderKind.RESUME)
        await story.reaches(run, Weight(2000))
        await story.order(run, OrderKind.ABORT)
        with pytest.raises(Refused, match="acknowledge"):
            await story.order(run, OrderKind.ACKNOWLEDGE)
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK

    play(tell, busy())


def test_where_nobody_has_to_acknowledge_it_is_recorded_all_the_same() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await planned(story, OnCall(Roster(("ada",)))))
        told = await story.order(run, OrderKind.ACKNOWLEDGE)
        assert told.acknowledged is not None
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())
