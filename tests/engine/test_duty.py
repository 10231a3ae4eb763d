"""Are those on call told of a rollout, by name, each once, and is it on record who was?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.engine.stories import BAD, HASTY, Story, busy, play

from interlock.core.conditions import Conditions
from interlock.core.events import OrderKind
from interlock.core.letter import text
from interlock.core.news import Kind, News, news
from interlock.core.on_call import OnCall, Person, Roster
from interlock.core.phase import Phase
from interlock.core.plan import Stage, StrategyName
from interlock.core.strategy import LAYOUTS
from interlock.engine.courier import Courier
from interlock.engine.duty import Duty, Everywhere
from interlock.ports.notify import Letter, Undelivered
from interlock.ports.on_call import OnCallError

ADA, GRACE, HEDY = Person("ada", "ada@example.org"), Person("Grace", "grace@example.org"), Person("hedy")


@dataclass
class Post:
    """Takes letters to people with an address; the first `breaks` of them are refused."""

    letters: list[tuple[str, Letter]] = field(default_factory=list)
    breaks: int = 0

    def reached(self, declared: OnCall, person: Person) -> _Box | None:
        return _Box(self, person.name) if person.contact else None


@dataclass
class _Box:
    post: Post
    name: str

    async def send(self, letter: Letter) -> None:
        self.post.breaks -= 1
        if self.post.breaks >= 0:
            raise Undelivered("the mail server is away")
        self.post.letters.append((self.name, letter))


def link(news: News, person: Person) -> str:
    return f"TOKEN-{person.name}"


def duty(story: Story, post: Post) -> Duty:
    outside = story.engine._ports.outside
    assert outside is not None
    return Duty(outside, story.store, story.world, lambda text: text.replace("memory", "•••"), post.reached, link)


async def planned(story: Story, *, acknowledge: bool = False) -> Stage:
    found = await story.ready(StrategyName.CANARY)
    conditions = Conditions(on_call=OnCall(Roster(("ada",)), acknowledge))
    pace = replace(
        HASTY, conditions=conditions.gates, acknowledge_within=timedelta(minutes=15) if acknowledge else None
    )
    steps = LAYOUTS[StrategyName.CANARY](found.revision, found.replaces, pace)
    return replace(found, steps=steps, conditions=conditions)


async def telling(story: Story, post: Post) -> asyncio.Task[None]:
    courier = Courier(story.store, story.world, lambda plan: (duty(story, post),))
    return asyncio.create_task(courier.run())


async def over(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def lines(story: Story, id: str) -> list[str]:
    return [one.text for one in await story.store.entries(id) if one.kind == "told"]


def test_whoever_is_on_call_is_told_of_the_beginning_and_of_the_end_and_that_is_on_record() -> None:
    async def tell(story: Story) -> None:
        post = Post()
        story.around.staff = (ADA, HEDY)
        task = await telling(story, post)
        run = await story.deploy(await planned(story))
        await story.until(lambda: bool(post.letters))
        story.around.staff = (GRACE,)
        ended = await story.ends(run)
        await story.until(lambda: len(post.letters) == 2)
        await story.world.sleep(timedelta(seconds=5))
        await over(task)
        assert ended.phase is Phase.SUCCEEDED
        assert [(name, letter.title.split(":")[0]) for name, letter in post.letters] == [
            ("ada", "Started"),
            ("Grace", "Succeeded"),
        ]
        assert await lines(story, ended.id) == [
            "on call and told that it begins: ada <ada@example.org>; on call and not told that it begins, as "
            "nothing in the file reaches them: hedy",
            "on call and told that it succeeded: Grace <grace@example.org>",
        ]

    play(tell, busy())


def test_they_are_asked_to_acknowledge_each_by_a_link_of_their_own() -> None:
    async def tell(story: Story) -> None:
        post = Post()
        story.around.staff = (ADA, GRACE)
        task = await telling(story, post)
        run = await story.deploy(await planned(story, acknowledge=True))
        await story.until_phase(run, Phase.WAITING)
        await story.until(lambda: len(post.letters) == 2)
        for name, letter in post.letters:
            assert "within 15 min: interlock acknowledge --token TOKEN-" + name in letter.text
        rollout = (await story.store.run(run))[-1]
        plan = await story.store.plan(rollout.plan)
        assert plan is not None
        *_, held = news(plan, rollout, await story.store.entries(rollout.id))
        assert held.kind is Kind.HELD, "and everybody else who is told is told what it waits for"
        assert f"within 15 min: interlock acknowledge {run}\n" in text(held)
        await story.order(run, OrderKind.ACKNOWLEDGE)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED
        await over(task)
        texts = [entry.text for entry in await story.store.entries(f"{run}-production")]
        assert not any("TOKEN" in text for text in texts)

    play(tell, busy())


def test_where_a_server_takes_it_the_letter_has_the_link_on_a_line_of_its_own() -> None:
    async def tell(story: Story) -> None:
        post = Post()
        story.around.staff = (ADA,)
        served = replace(duty(story, post), links="https://deploy.example.org/x")
        task = asyncio.create_task(Courier(story.store, story.world, lambda plan: (served,)).run())
        run = await story.deploy(await planned(story, acknowledge=True))
        await story.until(lambda: bool(post.letters))
        lines = post.letters[0][1].text.splitlines()
        assert lines[0].endswith("has acknowledged it, within 15 min:")
        assert "https://deploy.example.org/x/acknowledge?token=TOKEN-ada" in lines
        assert "Or interlock acknowledge --token TOKEN-ada" in lines
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)
        await over(task)

    play(tell, busy())


def test_whoever_is_reached_by_several_ways_is_told_by_all_and_one_that_takes_it_is_enough() -> None:
    async def tell(story: Story) -> None:
        one, other = Post(), Post()
        letter = Letter("k", "t", True, story.world.now(), "s", "Started: x", "text", {})
        await Everywhere([_Box(one, "a"), _Box(other, "b")]).send(letter)
        assert [len(post.letters) for post in (one, other)] == [1, 1]
        one.breaks = 1
        await Everywhere([_Box(one, "a"), _Box(other, "b")]).send(letter)
        assert [len(post.letters) for post in (one, other)] == [1, 2]
        one.breaks = other.breaks = 1
        with pytest.raises(Undelivered, match="the mail server is away"):
            await Everywhere([_Box(one, "a"), _Box(other, "b")]).send(letter)

    play(tell, busy())


def test_what_was_taken_back_brings_them_the_incident_report() -> None:
    async def tell(story: Story) -> None:
        post = Post()
        story.around.staff = (ADA,)
        story.world.behaviours["production-v2"] = replace(BAD)
        task = await telling(story, post)
        ended = await story.ends(await story.deploy(await planned(story)))
        await story.until(lambda: len(post.letters) == 4)
        await story.world.sleep(timedelta(seconds=5))
        await over(task)
        titles = [letter.title.split(":")[0] for _, letter in post.letters]
        assert titles == ["Started", "GOING BACK", "Rolled back, verified", "Incident report"]
        assert "## Incident Report" in post.letters[-1][1].text and "memory" not in post.letters[-1][1].text
        assert len({letter.key for _, letter in post.letters}) == 4
        assert (await lines(story, ended.id))[-1] == "on call and told that it was rolled back: ada <ada@example.org>"

    play(tell, busy())


def test_mail_that_is_away_is_tried_again_and_a_new_keeper_tells_nothing_twice() -> None:
    async def tell(story: Story) -> None:
        post = Post(breaks=3)
        story.around.staff = (ADA,)
        first = await telling(story, post)
        ended = await story.ends(await story.deploy(await planned(story)))
        await story.until(lambda: len(post.letters) == 2, 600)
        await over(first)
        second = await telling(story, post)
        await story.world.sleep(timedelta(seconds=30))
        await over(second)
        assert len(post.letters) == 2 and len(await lines(story, ended.id)) == 2

    play(tell, busy())


def test_a_rota_that_is_down_delays_only_the_telling() -> None:
    async def tell(story: Story) -> None:
        post = Post()
        story.around.staff = ()
        planned_stage = replace(await planned(story), steps=(await story.ready(StrategyName.CANARY)).steps)
        story.around.fails["on-call"] = OnCallError("down")
        task = await telling(story, post)
        run = await story.deploy(planned_stage)
        await story.world.sleep(timedelta(seconds=20))
        assert await lines(story, f"{run}-production") == []
        del story.around.fails["on-call"]
        ended = await story.ends(run)
        await story.world.sleep(timedelta(minutes=1))
        await over(task)
        assert (await lines(story, ended.id))[0] == "nobody was on call to be told that it begins"

    play(tell, busy())
