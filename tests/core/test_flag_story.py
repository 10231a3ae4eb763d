"""Is it told truly how the flags of a rollout stood, went and stand, wherever a person or a program looks?

The records are those of the real engine in a world in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.test_report import NOW, Told, part, recorded
from tests.engine.stories import Story, busy, revision, stage
from tests.engine.test_flags import BEFORE, FLAG, USE, begun
from tests.surfaces.worlds import view_of

from interlock.adapters.memory import run
from interlock.adapters.memory_flags import stood
from interlock.app.endings import ending
from interlock.core import facts
from interlock.core.events import OrderKind
from interlock.core.flag_story import stories
from interlock.core.letter import text, title
from interlock.core.news import ENDS, Kind, news, wanted
from interlock.core.phase import Phase
from interlock.core.plan import StrategyName
from interlock.engine.readers import _how
from interlock.ports.flags import FlagsError
from interlock.ports.store import Entry
from interlock.surfaces.cli.show.lines import Log
from interlock.surfaces.cli.show.picture import picture


def told(tell: Callable[[Story], Awaitable[str]]) -> tuple[Told, Story]:
    async def tale() -> tuple[Told, Story]:
        story = Story(busy())
        name = await tell(story)
        return await recorded(story, name), story

    return run(tale())


async def good(story: Story) -> str:
    name = await begun(story)
    await story.ends(name)
    return name


async def bad_flag(story: Story) -> str:
    name = await begun(story, share=0.5, from_percent=25)
    await story.ends(name)
    return name


async def bad_code(story: Story) -> str:
    name = await begun(story, code=0.5)
    await story.ends(name)
    return name


def test_a_report_says_how_each_flag_stands_how_it_stood_and_which_way_it_went() -> None:
    it, _ = told(good)
    first, second = part(it.report, "Feature Flags").strip().splitlines()
    assert first == "- new_feature: enabled at 100% (production; before: enabled at 10%)"
    assert [one.split()[1:] for one in second.removeprefix("  - ").split(", ")] == [
        ["off"],
        ["on", "at", "5%"],
        ["on", "at", "25%"],
        ["on", "at", "50%"],
        ["on", "at", "100%"],
    ]
    assert part(it.report, "Summary").count("Status: SUCCESS\n") == 1


def test_a_step_of_a_flag_is_told_once() -> None:
    it, _ = told(good)
    steps = part(it.report, "Deployment Steps")
    assert steps.count("on at 25%") == 1 and "before the rollout" not in steps


def test_when_the_flag_alone_goes_back_the_report_says_so_and_that_the_code_stays() -> None:
    it, _ = told(bad_flag)
    flags = part(it.report, "Feature Flags")
    assert "- new_feature: disabled at 25% (production; before: enabled at 10%)" in flags
    assert "off" in flags.splitlines()[1].rpartition(", ")[2]
    assert "**Rolled back in production were the flags alone: " in flags
    assert "Status: SUCCESS, but flag rolled back: " in it.report
    assert "flags back 1/" in part(it.report, "Deployment Steps"), "steps are counted on their own way"


def test_when_everything_goes_back_the_flag_is_as_before_and_the_incident_says_so_too() -> None:
    it, _ = told(bad_code)
    for text_ in (it.report, it.incident):
        flags = part(text_, "Feature Flags")
        assert "- new_feature: enabled at 10% (production; as before)" in flags
        assert flags.splitlines()[1].endswith(" on at 10%")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, ", when it was being turned on at 5%; on record last is disabled at 10%"),
        (9, "; on record last is enabled at 5%"),
    ],
)
def test_a_flag_that_is_not_confirmed_off_is_never_said_to_be(seconds: int, said: str) -> None:
    async def tell(story: Story) -> str:
        name = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        await story.world.sleep(timedelta(seconds=seconds))
        story.flags.fails["turn_off"] = FlagsError("connection refused")
        await story.order(name, OrderKind.ABORT)
        await story.ends(name)
        return name

    it, _ = told(tell)
    assert f"- new_feature: commanded off, not confirmed yet{said}" in part(it.report, "Feature Flags")
    (document,) = facts.deployment(it.plan, it.accounts, NOW)["flags"]
    assert document["trouble"].startswith("commanded off, not confirmed yet")


def test_programs_get_the_same() -> None:
    it, _ = told(bad_flag)
    document = facts.deployment(it.plan, it.accounts, NOW)
    (flag,) = document["flags"]
    assert (flag["flag"], flag["environment"], flag["trouble"]) == ("new_feature", "production", None)
    assert flag["before"] == {"enabled": True, "percentage": 10, "exposure": 10}
    assert flag["now"] == {"enabled": False, "percentage": 25, "exposure": 0}
    assert [turn["exposure"] for turn in flag["way"]] == [0, 5, 25, 0]
    assert document["environments"][-1]["retracted"]


def test_what_somebody_else_did_to_a_flag_is_named_as_theirs() -> None:
    async def tell(story: Story) -> str:
        name = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        await story.world.sleep(timedelta(seconds=7))
        story.flags.by_hand(FLAG, stood(True, 77))
        await story.world.sleep(timedelta(seconds=10))
        await story.order(name, OrderKind.ABORT)
        await story.ends(name)
        return name

    it, _ = told(tell)
    (one,) = stories(it.accounts[-1])
    assert [(turn.state.exposure, turn.by) for turn in one.turns if turn.by] == [(77, "somebody else")]
    assert "on at 77% by somebody else" in part(it.report, "Feature Flags")
    assert one.now == BEFORE


def test_people_are_told_when_more_users_get_a_feature_and_when_it_goes_back_alone() -> None:
    it, _ = told(bad_flag)
    rollout = it.accounts[-1].rollout
    lines = run(_lines(rollout.id))
    all_news = news(it.plan, rollout, lines)
    titles = [title(one) for one in all_news]
    assert [one.partition(":")[0] for one in titles if "flag" in one.lower()] == [
        "Flag new_feature at 5 %",
        "Flag new_feature at 25 %",
        "FLAG GOING BACK, the code stays",
    ]
    back = next(one for one in all_news if one.kind is Kind.FLAG_BACK)
    assert "watched without it. To take it back too: interlock abort" in text(back)
    promoted = next(one for one in all_news if title(one).startswith("Flag new_feature at 25"))
    assert "25 % of the users may get new_feature" in text(promoted)
    assert "; flag rolled back: " in text(all_news[-1])
    kept = [one.kind for one in wanted(all_news, ["flag-rolled-back"])]
    assert kept == [Kind.FLAG_BACK, Kind.SUCCEEDED] and kept[-1] in ENDS, "nobody is left alone with bad news"


async def _lines(id: str) -> tuple[Entry, ...]:
    story = Story(busy())
    await bad_flag(story)
    return await story.store.entries(id)


def test_whoever_looks_sees_the_flag_its_way_back_and_why() -> None:
    async def tale() -> tuple[str, list[str], str]:
        story = Story(busy())
        name = await bad_flag(story)
        view = await view_of(story, name)
        lines = [str(line) for line in Log().journal(view) if line.for_people]
        return drawn(picture(view, story.world.now(), 100)), lines, ending(view)

    shown, lines, end = run(tale())
    assert "Flag:      new_feature: disabled at 25% (before: enabled at 10%)" in shown
    assert "rolled back alone, the code stays: " in shown
    assert "flags back, the code stays" in shown and "✔ 1 flag new_feature: off" in shown
    assert "✖" in next(line for line in shown.splitlines() if "watch 10 s" in line and "✖" in line)
    assert any("⚑ the flags go back, the code stays" in line for line in lines)
    assert any("✔ flags back 1/" in line for line in lines)
    assert not any("before the rollout" in line for line in lines), "what the step's line says is said once"
    assert "FLAG ROLLED BACK: " in end


def drawn(what: object) -> str:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=100, color_system=None)
    console.print(what)
    out = console.file
    assert isinstance(out, StringIO)
    return out.getvalue()


def test_a_flag_alone_is_told_as_that_and_its_code_as_staying() -> None:
    async def tale() -> tuple[Told, str, str, str]:
        story = Story(busy())
        old = await story.stands("v1")
        story.flags.by_hand(FLAG, stood(False, 0))
        use = replace(USE, disable=False, ramp=(5, 50))
        from tests.engine.stories import HASTY

        planned = replace(stage(old, old, StrategyName.FLAG, replace(HASTY, flags=(use,), staged=False)), proven_in="")
        name = await story.deploy(planned)
        ended = await story.ends(name)
        assert ended.phase is Phase.SUCCEEDED
        view = await view_of(story, name)
        shown = drawn(picture(view, story.world.now(), 100))
        return await recorded(story, name), shown, ending(view), _how(ended)

    it, shown, end, how = run(tale())
    summary = part(it.report, "Summary")
    assert "- Version: v1, which ran already and stays" in summary
    assert "- Strategy: flag new_feature by 5%, 50% in production" in summary
    assert "canary production-v1" not in shown
    assert end.startswith("flag new_feature is enabled at 50% in production, ")
    assert how == "flag new_feature enabled at 50%"
    assert revision("v1").name in shown


def test_the_deployment_log_names_the_flags() -> None:
    good_one, _ = told(good)
    bad_one, _ = told(bad_flag)
    assert _how(good_one.accounts[-1].rollout) == "canary, flag new_feature enabled at 100%"
    assert _how(bad_one.accounts[-1].rollout) == "canary, flag new_feature disabled at 25%, flag rolled back"
