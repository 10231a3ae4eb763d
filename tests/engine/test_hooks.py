"""Do hooks hold an advance until they agree, never a rollback, and are they told what became of it?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.engine.stories import BAD, HASTY, FailingStore, Story, busy, play

from interlock.adapters.memory import EPOCH, World
from interlock.adapters.memory import run as run_in_virtual_time
from interlock.adapters.memory_surroundings import Surroundings
from interlock.core.account import Account
from interlock.core.events import OrderKind
from interlock.core.gates import Answer
from interlock.core.hooks import Consent, Hook, Program, When, gates
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, Plan, Stage, StrategyName
from interlock.core.sections import asked
from interlock.core.strategy import LAYOUTS, Pace
from interlock.core.transitions import Refused
from interlock.core.weight import ALL, Weight
from interlock.engine.courier import AGAIN_AT_MOST, Courier
from interlock.engine.hooks import AGAIN_AFTER, GIVE_UP_AFTER, tellers
from interlock.ports.store import Entry, StoreError

STEPS = replace(HASTY, weights=(Weight(1000), Weight(5000), ALL), hold_at_most=timedelta(minutes=5))
NO = Answer(False, "the change board sleeps")


def hook(when: When, name: str = "", timeout: float = 30) -> Hook:
    return Hook(when, Program(("ask",)), timedelta(seconds=timeout), name or when.value)


ALL_OF_THEM = tuple(hook(when) for when in When if when is not When.BUILD)
ASKED = [When.START, When.TRAFFIC, When.PROMOTION]


async def hooked(
    story: Story, hooks: tuple[Hook, ...], strategy: StrategyName = StrategyName.CANARY, pace: Pace = STEPS
) -> Stage:
    planned = await story.ready(strategy, pace)
    steps = LAYOUTS[strategy](planned.revision, planned.replaces, replace(pace, hooks=gates(hooks)))
    return replace(planned, steps=steps, hooks=hooks)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_with_everybodys_yes_a_release_goes_its_way(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        ended = await story.ends(await story.deploy(await hooked(story, ALL_OF_THEM, strategy)))
        assert ended.phase is Phase.SUCCEEDED, ended.reason
        when = [facts["when"] for facts in story.around.told]
        increases = {StrategyName.CANARY: 3, StrategyName.BLUE_GREEN: 1, StrategyName.ROLLING: 2}[strategy]
        assert when == ["before-start", *["before-traffic"] * increases, "before-promotion"]
        keys = [facts["key"] for facts in story.around.told]
        assert len(set(keys)) == len(keys)

    play(tell, busy())


@pytest.mark.parametrize("how", ["no", "breaks", "hangs"])
@pytest.mark.parametrize("when", ASKED)
def test_a_hook_that_does_not_agree_holds_the_advance_and_then_it_goes_back(when: When, how: str) -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await hooked(story, (hook(when),)))
        before = {When.START: 0, When.TRAFFIC: 0, When.PROMOTION: ALL.points}[when]
        if how == "no":
            story.around.hooks[when.value] = NO
        elif how == "breaks":
            story.around.fails["hooks"] = ValueError("rubbish")
        else:
            story.around.hangs["hooks"] = timedelta(hours=2)
        held = await story.until_phase(run, Phase.WAITING)
        assert held.weight.points == before
        said = {"no": "the change board sleeps", "breaks": "rubbish", "hangs": "no answer within"}[how]
        assert f"gate: {when.value.replace('-', ' ')}: {when.value}: " in held.reason and said in held.reason
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine
        assert said in ended.reason
        assert story.world.weight("production") == 0
        asked_again = len(story.around.told)
        assert asked_again <= 5 * 60 / AGAIN_AFTER.total_seconds() + 2
        assert len({facts["key"] for facts in story.around.told}) == 1, "the same question keeps its key"

    play(tell, busy())


def test_each_increase_is_a_question_of_its_own_with_its_weights_and_counts() -> None:
    async def tell(story: Story) -> None:
        await story.ends(await story.deploy(await hooked(story, (hook(When.TRAFFIC),))))
        told = story.around.told
        assert [tuple(facts["weight"].values()) for facts in told] == [(0.0, 10.0), (10.0, 50.0), (50.0, 100.0)]
        assert "verdict" not in told[0] and "counts" not in told[0]
        assert told[1]["verdict"] == "pass"
        assert told[1]["counts"]["canary"]["requests"] > 100 and told[1]["counts"]["stable"]["failed"] == 0

    play(tell, busy())


def test_one_that_has_agreed_is_not_asked_again_while_another_has_not() -> None:
    async def tell(story: Story) -> None:
        story.around.hooks["slow"] = NO
        run = await story.deploy(await hooked(story, (hook(When.START, "quick"), hook(When.START, "slow"))))
        await story.until_phase(run, Phase.WAITING)
        await story.world.sleep(timedelta(seconds=35))
        story.around.hooks.clear()
        assert (await story.ends(run)).phase is Phase.SUCCEEDED
        names = [facts["hook"] for facts in story.around.told]
        assert names.count("quick") == 1 and names.count("slow") >= 4

    play(tell, busy())


def test_answers_are_on_record_with_their_evidence_and_each_only_when_it_changes() -> None:
    async def tell(story: Story) -> None:
        story.around.hooks["before-start"] = NO
        run = await story.deploy(await hooked(story, (hook(When.START),)))
        await story.until_phase(run, Phase.WAITING)
        await story.world.sleep(timedelta(seconds=61))
        story.around.hooks.clear()
        ended = await story.ends(run)
        entries = await story.store.entries(ended.id)
        lines = [entry for entry in entries if entry.kind == "gate"]
        assert [line.data["answer"]["open"] for line in lines] == [False, True]
        assert lines[0].data["key"] == story.around.told[0]["key"]
        rows = [(one.gate, one.answer, one.evidence) for one in asked([Account.of(ended, entries, None)])]
        assert ("before-start: before-start", "closed", "the change board sleeps") in rows
        assert ("before-start: before-start", "open", "go ahead") in rows
        assert ("before-start", "open", "1 said yes") in rows

    play(tell, busy())


@pytest.mark.parametrize("when", [When.TRAFFIC, When.PROMOTION])
def test_an_abort_while_a_hook_is_asked_takes_back_at_once(when: When) -> None:
    async def tell(story: Story) -> None:
        planned = await hooked(story, ALL_OF_THEM)
        run = await story.deploy(planned)
        await story.reaches(run, Weight(1000) if when is When.TRAFFIC else ALL)
        story.around.hangs["hooks"] = timedelta(hours=1)
        await story.until(lambda: story.around.told[-1]["when"] == when.value and len(story.around.told) > 2, 300)
        await story.order(run, OrderKind.ABORT)
        began, asked_before = story.world.monotonic(), len(story.around.told)
        await story.until(lambda: story.world.weight("production") == 0, 10)
        assert story.world.monotonic() - began <= 0.3
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK
        assert len(story.around.told) == asked_before, "a rollback asks nobody"

    play(tell, busy())


def test_a_canary_that_turns_bad_while_a_hook_holds_is_taken_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await hooked(story, (hook(When.TRAFFIC),)))
        await story.reaches(run, Weight(1000))
        story.around.hooks["before-traffic"] = NO
        await story.until_phase(run, Phase.WAITING)
        story.world.behaviours["production-v2"] = replace(BAD)
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and ended.quarantine

    play(tell, busy())


def test_an_instance_that_dies_while_a_hook_holds_comes_in_front_again() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await hooked(story, (hook(When.TRAFFIC),)))
        await story.reaches(run, Weight(1000))
        story.around.hooks["before-traffic"] = NO
        await story.until_phase(run, Phase.WAITING)
        story.world.strike("production-v1", 0)
        await story.world.sleep(timedelta(seconds=10))
        assert len(await story.world.healthy("production-v1")) == 2
        story.around.hooks.clear()
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_a_hold_by_a_hook_ends_when_it_should_however_often_the_engine_is_replaced() -> None:
    async def tell(story: Story) -> None:
        story.around.hooks["before-start"] = NO
        run = await story.deploy(await hooked(story, (hook(When.START),)))
        began = story.world.monotonic()
        while not (await story.store.run(run))[-1].over:
            await story.world.sleep(timedelta(seconds=45))
            await story.engine.stop()
            await story.new_engine().resume()
            assert story.world.monotonic() - began < 900
        assert story.world.monotonic() - began < 400
        assert len({facts["key"] for facts in story.around.told}) == 1

    play(tell, busy())


class NoNotes(FailingStore):
    """A store that takes everything but lines beside a rollout's own."""

    async def note(self, id: str, entries: tuple[Entry, ...]) -> None:
        raise StoreError("the disk is full")


def test_a_store_that_takes_no_notes_costs_the_evidence_of_an_answer_and_not_the_answer() -> None:
    async def main() -> None:
        story = Story(busy(), NoNotes())
        run = await story.deploy(await hooked(story, (hook(When.START),)))
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED
        done = [one for one in await story.store.entries(ended.id) if one.data.get("gate") == "before-start"]
        assert done[0].data["answer"]["open"], "the step's own line says the same"

    run_in_virtual_time(main())


def test_a_plan_without_consent_to_the_build_is_not_begun_and_with_it_that_is_on_record() -> None:
    async def tell(story: Story) -> None:
        stage = await hooked(story, (hook(When.BUILD),))
        with pytest.raises(Refused, match="the plan has no yes of it"):
            await story.deploy(stage)
        assert await story.store.under_way() == ()
        consent = Consent("production", "before-build", "the key", EPOCH, "build it")
        plan = Plan("shop", "v2", (stage,), EPOCH, consents=(consent,))
        ended = await story.ends(await story.engine.start(plan, "ada"))
        assert ended.phase is Phase.SUCCEEDED
        (line,) = [one for one in await story.store.entries(ended.id) if one.kind == "gate"]
        assert line.data["key"] == "the key" and "build it" in line.text

    play(tell, busy())


# --- those who are told


@dataclass
class Office:
    """A story with a courier that tells hooks."""

    story: Story
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def open(self) -> None:
        around, store, world = self.story.around, self.story.store, self.story.world
        courier = Courier(store, world, lambda plan: tellers(plan, around, store, world, lambda text: text))
        self.tasks.append(asyncio.create_task(courier.run()))

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def told(self) -> list[str]:
        return [facts["when"] for facts in self.story.around.told]


TOLD = (hook(When.AFTER), hook(When.ROLLBACK))


def test_hooks_are_told_a_success_once() -> None:
    async def tell(story: Story) -> None:
        office = Office(story)
        office.open()
        ended = await story.ends(await story.deploy(await hooked(story, TOLD)))
        await story.until(lambda: office.told == ["after"], 60)
        await story.world.sleep(timedelta(minutes=10))
        assert office.told == ["after"]
        (facts,) = story.around.told
        assert facts["outcome"] == "succeeded" and facts["verdict"] == "pass" and facts["phase"] == "succeeded"
        lines = [one for one in await story.store.entries(ended.id) if one.kind == "told"]
        assert [line.data["key"] for line in lines] == [facts["key"]]
        await office.close()

    play(tell, busy())


def test_hooks_are_told_a_rollback_with_its_reason_and_then_its_end() -> None:
    async def tell(story: Story) -> None:
        office = Office(story)
        office.open()
        story.world.behaviours["production-v2"] = replace(BAD)
        ended = await story.ends(await story.deploy(await hooked(story, TOLD)))
        await story.until(lambda: sorted(office.told) == ["after", "on-rollback"], 60)
        by = {facts["when"]: facts for facts in story.around.told}
        assert by["on-rollback"]["reason"] == ended.reason and by["on-rollback"]["outcome"] == "turned-back"
        assert by["on-rollback"]["weight"] == {"from": 10.0, "to": 0.0} and by["on-rollback"]["verdict"] == "fail"
        assert by["after"]["outcome"] == "rolled-back"
        await office.close()

    play(tell, busy())


def test_a_hook_that_is_down_holds_nothing_up_and_is_told_once_it_is_back_under_the_same_key() -> None:
    async def tell(story: Story) -> None:
        office = Office(story)
        office.open()
        story.around.hooks["after"] = Answer(False, "answered 503")
        ended = await story.ends(await story.deploy(await hooked(story, TOLD)), within=600)
        assert ended.phase is Phase.SUCCEEDED
        await story.world.sleep(timedelta(minutes=20))
        tries = len(story.around.told)
        assert 3 < tries < 20
        story.around.hooks.clear()
        await story.world.sleep(AGAIN_AT_MOST * 2)
        assert len(story.around.told) == tries + 1
        assert len({facts["key"] for facts in story.around.told}) == 1
        await office.close()

    play(tell, busy())


def test_a_hook_that_refuses_for_good_or_for_a_day_is_given_up_and_that_is_on_record() -> None:
    async def tell(story: Story) -> None:
        office = Office(story)
        office.open()
        story.around.hooks["after"] = Answer(False, "answered 422", final=True)
        ended = await story.ends(await story.deploy(await hooked(story, TOLD)))
        await story.until(lambda: office.told == ["after"], 60)
        await story.world.sleep(timedelta(hours=1))
        assert office.told == ["after"]
        lines = [one.text for one in await story.store.entries(ended.id) if one.kind == "told"]
        assert lines == ["after could not be told after: answered 422"]
        await office.close()

    play(tell, busy())


def test_a_hook_that_never_answers_is_given_up_after_a_day() -> None:
    async def tell(story: Story) -> None:
        office = Office(story)
        office.open()
        story.around.hangs["hooks"] = timedelta(days=9)
        ended = await story.ends(await story.deploy(await hooked(story, TOLD)))
        await story.world.sleep(GIVE_UP_AFTER + timedelta(hours=1))
        tries = len(story.around.told)
        await story.world.sleep(timedelta(hours=5))
        assert len(story.around.told) == tries
        assert "no answer within 30 s" in [one.text for one in await story.store.entries(ended.id)][-1]
        await office.close()

    play(tell, World(requests_per_second=0))


@pytest.mark.parametrize("second", range(0, 60, 7))
def test_a_courier_that_is_killed_tells_it_at_most_once_more_under_the_same_key(second: int) -> None:
    async def tell(story: Story) -> None:
        office = Office(story)
        office.open()
        story.around.hangs["hooks"] = timedelta(seconds=4)
        run = await story.deploy(await hooked(story, TOLD))
        await story.world.sleep(timedelta(seconds=second))
        await office.close()
        office.open()
        await story.ends(run)
        await story.world.sleep(timedelta(seconds=5))
        await office.close()
        office.open()
        await story.world.sleep(timedelta(minutes=1))
        assert 1 <= len(office.told) <= 2 and len({facts["key"] for facts in story.around.told}) == 1
        await office.close()

    play(tell, busy())


def test_only_what_a_plan_names_is_told_of_it() -> None:
    plan = Plan("shop", "v2", (), EPOCH)
    assert tellers(plan, Surroundings(), FailingStore(), World(), str) == ()
