"""Are people told everything that matters, in order, at least once under one key, and at no rollout's expense?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.engine.stories import BAD, HASTY, FailingStore, Story, revision, stage, staging

from interlock.adapters.memory import EPOCH, World, run
from interlock.core.channel import Apprise, Channel
from interlock.core.events import OrderKind
from interlock.core.news import Kind, News, wanted
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.rollout import begin
from interlock.core.weight import ALL, Weight
from interlock.engine.courier import AGAIN_AT_MOST, LOOK_BACK, Courier, Reader
from interlock.engine.readers import Post
from interlock.ports.notify import Letter, Undelivered, Unwanted


class Died(BaseException):
    """What kill -9 looks like from inside."""


@dataclass
class Receiver:
    """Takes letters. While `down` it refuses, while it `hangs` it never answers; it never takes what it `refuses`."""

    taken: list[Letter] = field(default_factory=list)
    down: bool = False
    hangs: bool = False
    refuses: str = ""
    tries: int = 0
    before: Callable[[Letter], None] = lambda letter: None
    after: Callable[[Letter], None] = lambda letter: None

    async def send(self, letter: Letter) -> None:
        self.tries += 1
        self.before(letter)
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise Undelivered("the receiver is down")
        if self.refuses and self.refuses in letter.title:
            raise Unwanted("the receiver never takes such a thing")
        self.taken.append(letter)
        self.after(letter)

    @property
    def titles(self) -> list[str]:
        return [one.title.partition(":")[0] for one in self.taken]

    @property
    def keys(self) -> list[str]:
        return [one.key for one in self.taken]


@dataclass
class Office:
    """A story whose news a courier carries to receivers, by channel."""

    story: Story = field(default_factory=lambda: Story(World(requests_per_second=2000)))
    receivers: dict[str, Receiver] = field(default_factory=lambda: {"team": Receiver()})
    events: dict[str, tuple[str, ...]] = field(default_factory=dict)
    courier: Courier = field(init=False)
    task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to carry: again, when the last courier was killed."""
        self.courier = Courier(self.story.store, self.story.world, self._readers)
        self.task = asyncio.create_task(self.courier.run())

    async def close(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def _readers(self, plan: Plan) -> Sequence[Reader]:
        store = self.story.store
        return [
            Post(f"notify:{one.name}", self.receivers[one.name], one.events, lambda text: text, store)
            for one in plan.channels
        ]

    @property
    def team(self) -> Receiver:
        return self.receivers["team"]

    async def deploy(self, *stages: Stage) -> str:
        names = [Channel(name, Apprise("x"), self.events.get(name, ())) for name in self.receivers]
        version = stages[-1].revision.release.version
        return await self.story.engine.start(Plan("shop", version, stages, EPOCH, "ada", tuple(names)), "ada")

    async def until(self, holds: Callable[[], bool], within: float = 7 * 24 * 3600) -> None:
        await self.story.until(holds, within)

    async def sleep(self, seconds: float) -> None:
        await self.story.world.sleep(timedelta(seconds=seconds))


def play(tell: Callable[[Office], Coroutine[Any, Any, None]], office: Office | None = None) -> Office:
    async def main() -> Office:
        told = office or Office()
        told.open()
        await tell(told)
        await told.close()
        assert told.story.world.violations == []
        return told

    return run(main())


async def good(office: Office) -> str:
    """Tell of a canary that goes well, to the end of its news."""
    id = await office.deploy(await office.story.ready(StrategyName.CANARY))
    assert (await office.story.ends(id)).phase is Phase.SUCCEEDED
    await office.sleep(5)
    return id


async def bad(office: Office) -> str:
    """Tell of a canary that is taken back."""
    office.story.world.behaviours["production-v2"] = replace(BAD)
    id = await office.deploy(await office.story.ready(StrategyName.CANARY))
    assert (await office.story.ends(id)).phase is Phase.ROLLED_BACK
    await office.sleep(5)
    return id


def test_a_deployment_tells_its_start_each_weight_and_its_end_in_order_once() -> None:
    async def tell(office: Office) -> None:
        run = await good(office)
        assert office.team.titles == ["Started", "20 % of the traffic", "100 % of the traffic", "Succeeded"]
        assert len(set(office.team.keys)) == 4 and all(key.startswith(f"{run}-production.") for key in office.team.keys)
        assert {one.thread for one in office.team.taken} == {office.team.taken[0].thread}
        assert [one.first for one in office.team.taken] == [True, False, False, False]
        assert office.courier.troubles() == {}

    play(tell)


def test_a_rollback_is_told_with_why_and_with_its_verified_end() -> None:
    async def tell(office: Office) -> None:
        await bad(office)
        assert office.team.titles == ["Started", "20 % of the traffic", "GOING BACK", "Rolled back, verified"]
        assert "going back: 50 % of the canary's requests failed" in office.team.taken[2].text

    play(tell)


def test_who_waits_for_a_person_says_who_can_move_it_and_by_which_command() -> None:
    async def tell(office: Office) -> None:
        story = office.story
        run = await office.deploy(await story.ready(StrategyName.CANARY, replace(HASTY, approve=True)))
        await office.until(lambda: "Waits for you" in office.team.titles)
        told = office.team.taken[-1].text
        assert f"interlock approve {run}" in told and f"interlock abort {run}" in told and "within 30 min" in told
        await story.order(run, OrderKind.APPROVE)
        await story.reaches(run, Weight(2000))
        await story.order(run, OrderKind.PAUSE, reason="lunch")
        await office.until(lambda: office.team.titles.count("Waits for you") == 2)
        assert f"interlock resume {run}" in office.team.taken[-1].text and "lunch" in office.team.taken[-1].text
        await story.order(run, OrderKind.RESUME)
        await story.ends(run)
        await office.sleep(5)
        assert office.team.titles.count("Ordered") == 2 and office.team.titles[-1] == "Succeeded"

    play(tell)


def test_all_environments_of_a_run_are_one_conversation() -> None:
    async def tell(office: Office) -> None:
        run = await office.deploy(staging("v1"), stage(revision("v1"), None))
        await office.story.ends(run)
        await office.until(lambda: office.team.titles.count("Succeeded") == 2)
        assert len({one.thread for one in office.team.taken}) == 1
        assert [one.first for one in office.team.taken].count(True) == 1 and office.team.taken[0].first
        first_end = next(one for one in office.team.taken if one.title.startswith("Succeeded"))
        assert first_end.title.endswith("in staging") and "Next is production" in first_end.text

    play(tell)


@pytest.mark.parametrize("number", range(4))
def test_killed_before_a_message_is_sent_it_is_sent_once_afterwards(number: int) -> None:
    assert len(killed_at("before", number).keys) == 4


@pytest.mark.parametrize("number", range(4))
def test_killed_between_send_and_mark_it_is_sent_once_more_under_the_same_key(number: int) -> None:
    keys = killed_at("after", number).keys
    assert len(keys) == 5 and len(set(keys)) == 4
    assert keys[number] == keys[number + 1], "the two stand side by side: the order is kept"


@pytest.mark.parametrize("number", range(4))
def test_killed_after_the_mark_nothing_is_sent_twice(number: int) -> None:
    assert len(killed_at("marked", number).keys) == 4


def killed_at(moment: str, number: int) -> Receiver:
    """Kill the courier, as by kill -9, at one moment of one message, and start another; return the receiver."""

    async def tell(office: Office) -> None:
        left = [number]

        def strike(what: object = None) -> None:
            left[0] -= 1
            if left[0] == -1:
                asyncio.get_running_loop().call_soon(again.set)
                raise Died

        again = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        if moment == "before":
            office.team.before = strike
        elif moment == "after":
            office.team.after = strike
        else:
            office.story.store.strike = strike  # type: ignore[attr-defined]
        rollout = asyncio.create_task(good(office))
        await again.wait()
        await office.close()
        office.open()
        await rollout
        await office.sleep(5)
        assert office.team.titles[-1] == "Succeeded"
        told = await office.story.store.told("notify:team", (await office.story.store.rollouts(1))[0].id)
        assert str(told) == office.team.keys[-1].split(".")[1]

    story = Story(World(requests_per_second=2000), MarkedStore())
    return play(tell, Office(story)).team


class MarkedStore(FailingStore):
    """A store that strikes its writer down right after it has kept a mark."""

    def __init__(self) -> None:
        super().__init__()
        self.strike: Callable[[], None] = lambda: None

    async def tell(self, reader: str, id: str, seq: int) -> None:
        await super().tell(reader, id, seq)
        self.strike()


def test_a_channel_that_is_down_or_hangs_delays_neither_the_rollout_nor_the_others() -> None:
    async def tell(office: Office) -> None:
        office.receivers |= {"down": Receiver(down=True), "stuck": Receiver(hangs=True)}
        await good(office)
        assert office.team.titles == ["Started", "20 % of the traffic", "100 % of the traffic", "Succeeded"]
        await office.sleep(120)
        troubles = office.courier.troubles()
        assert set(troubles) == {"notify:down", "notify:stuck"}
        assert troubles["notify:down"].why == "the receiver is down"
        assert troubles["notify:stuck"].why.startswith("no answer within")

    play(tell)
    nobody, trouble = Office(receivers={}), {"a": Receiver(down=True), "b": Receiver(hangs=True)}
    assert lasted(Office(receivers=trouble)) == lasted(nobody)


def lasted(office: Office) -> timedelta:
    """Return how long a good canary takes."""
    found: list[timedelta] = []

    async def tell(office: Office) -> None:
        id = await office.deploy(await office.story.ready(StrategyName.CANARY))
        ended = await office.story.ends(id)
        found.append(ended.since - ended.started)

    play(tell, office)
    return found[0]


def test_what_could_not_be_told_for_long_is_told_without_the_chatter_but_with_its_trouble_and_its_end() -> None:
    async def tell(office: Office) -> None:
        office.team.down = True
        await bad(office)
        await office.sleep(5 * 3600)
        tries = office.team.tries
        await office.sleep(3600)
        assert 8 <= office.team.tries - tries <= 3600 / AGAIN_AT_MOST.total_seconds() + 1, "it is tried for hours"
        office.team.down = False
        await office.sleep(2 * AGAIN_AT_MOST.total_seconds())
        assert office.team.titles == ["GOING BACK", "Rolled back, verified"]
        assert "2 earlier messages were left out" in office.team.taken[0].text
        assert office.courier.troubles() == {}

    play(tell)


def test_a_trouble_told_is_closed_after_restarts_too() -> None:
    async def tell(office: Office) -> None:
        office.story.world.behaviours["production-v2"] = replace(BAD)
        run = await office.deploy(await office.story.ready(StrategyName.CANARY))
        await office.until(lambda: "GOING BACK" in office.team.titles)
        office.team.down = True
        await office.story.ends(run)
        await office.close()
        office.open()
        await office.sleep(3600)
        await office.close()
        office.team.down = False
        office.open()
        await office.sleep(5)
        assert office.team.titles[-2:] == ["GOING BACK", "Rolled back, verified"]

    play(tell)


def test_what_could_not_be_taken_back_is_failed_and_its_later_end_is_told_too() -> None:
    async def tell(office: Office) -> None:
        story = office.story
        run = await office.deploy(await story.ready(StrategyName.CANARY))
        await story.reaches(run, Weight(2000))
        story.world.stuck = True
        await story.order(run, OrderKind.ABORT, reason="something is wrong")
        assert (await story.ends(run)).phase is Phase.FAILED
        story.world.stuck = False
        await office.sleep(5)
        assert office.team.titles[-1].startswith("LOOK AT ONCE")
        assert f"interlock abort {run}" in office.team.taken[-1].text
        assert office.receivers["pager"].titles == [office.team.titles[-1]]
        await story.order(run, OrderKind.ABORT)
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK
        await office.sleep(5)
        assert office.team.titles[-2:] == ["Ordered", "Rolled back, verified"]
        assert office.receivers["pager"].titles[-1] == "Rolled back, verified", "no red without its green"

    office = Office(events={"pager": ("failed", "stopped", "waiting")})
    office.receivers["pager"] = Receiver()
    play(tell, office)


def test_a_new_channel_does_not_get_history() -> None:
    async def tell(office: Office) -> None:
        await good(office)
        office.receivers["late"] = Receiver()
        run = await office.deploy(stage(revision("v3"), revision("v2"), StrategyName.BLUE_GREEN, HASTY, None))
        await office.story.ends(run)
        await office.sleep(5)
        assert office.receivers["late"].keys and all(key.startswith(run) for key in office.receivers["late"].keys)

    play(tell)


def test_what_a_receiver_will_never_take_does_not_hold_up_what_comes_after() -> None:
    async def tell(office: Office) -> None:
        office.team.refuses = "20 %"
        await good(office)
        assert office.team.titles == ["Started", "100 % of the traffic", "Succeeded"]

    play(tell)


def test_nothing_is_told_twice_when_the_store_is_full_after_a_message() -> None:
    async def tell(office: Office) -> None:
        story = office.story
        full = [True]

        def fill(letter: Letter) -> None:
            if full.pop() if full else False:
                story.store.failing = True
                asyncio.get_running_loop().call_later(20, setattr, story.store, "failing", False)

        office.team.after = fill
        await good(office)
        assert len(set(office.team.keys)) == len(office.team.keys) == 4

    play(tell)


def test_a_filter_keeps_the_end_of_a_trouble_it_lets_through() -> None:
    kinds = [Kind.STARTED, Kind.PROMOTED, Kind.TURNED_BACK, Kind.FAILED, Kind.ORDERED, Kind.ROLLED_BACK]
    all = [news(kind, seq) for seq, kind in enumerate(kinds, 1)]
    assert [one.kind for one in wanted(all, ["turned-back"])] == [Kind.TURNED_BACK, Kind.FAILED, Kind.ROLLED_BACK]
    assert [one.kind for one in wanted(all, ["started"])] == [Kind.STARTED]
    assert [one.kind for one in wanted(all, [])] == kinds


def news(kind: Kind, seq: int) -> News:
    one = stage(revision("v2"), revision("v1"))
    plan = Plan("shop", "v2", (one,), EPOCH)
    return News(plan, begin("shop-1-production", "shop-1", plan.hash, one, EPOCH), kind, seq, EPOCH, "why")


def test_the_same_news_has_another_key_on_another_machine() -> None:
    here, there = news(Kind.STARTED, 1), news(Kind.STARTED, 1)
    there = replace(there, plan=replace(there.plan, made_at=EPOCH + timedelta(microseconds=1)))
    assert here.key != there.key and here.thread != there.thread
    assert here.key.startswith("shop-1-production.1.")


def test_so_many_rollouts_are_kept_in_mind_and_no_more() -> None:
    async def tell(office: Office) -> None:
        old = await office.story.stands("v0")
        for number in range(1, LOOK_BACK + 4):
            new = revision(f"v{number}")
            await office.story.proven(revision(f"v{number}", "staging", 1))
            run = await office.deploy(stage(new, old, StrategyName.BLUE_GREEN, HASTY, None))
            await office.story.ends(run)
            old = new
        await office.sleep(5)
        assert office.team.titles.count("Succeeded") == LOOK_BACK + 3
        assert len(office.courier._plans) == LOOK_BACK
        assert len(office.courier._desks["notify:team"].rollouts) <= LOOK_BACK

    play(tell)


def test_weights_are_told_as_they_are_observed() -> None:
    async def tell(office: Office) -> None:
        run = await office.deploy(await office.story.ready(StrategyName.CANARY))
        await office.story.reaches(run, Weight(2000))
        assert "20 % of the traffic" not in office.team.titles or office.story.world.weight("production") == 2000
        await office.story.reaches(run, ALL)
        await office.until(lambda: "100 % of the traffic" in office.team.titles, 60)

    play(tell)
