"""Does the engine keep agents to what they may do, and begin a plan once for each key, whoever asks it?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.engine.stories import HASTY, Story, busy, play, revision, stage

from interlock.adapters.memory import EPOCH
from interlock.core.agents import AGENTS
from interlock.core.conditions import Conditions, Override
from interlock.core.events import LOCAL, OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.steps import GateName
from interlock.core.transitions import Refused
from interlock.ports.store import Busy

AGENT = "ada's agent x 1"


async def planned(story: Story, conditions: Conditions = Conditions()) -> Plan:
    part: Stage = replace(await story.ready(StrategyName.CANARY, replace(HASTY, approve=True)), conditions=conditions)
    return Plan("shop", "v2", (part,), EPOCH)


def test_what_needs_a_person_is_refused_to_an_agent_whatever_surface_forgot_to() -> None:
    async def tell(story: Story) -> None:
        run = await story.engine.start(await planned(story), AGENT, channel=AGENTS)
        await story.until_phase(run, Phase.WAITING)
        for kind in (OrderKind.APPROVE, OrderKind.ACKNOWLEDGE, OrderKind.SUPERSEDE, OrderKind.PROMOTE):
            with pytest.raises(Refused, match="agent"):
                await story.order(run, kind, channel=AGENTS, claims="ada")
        (waits,) = await story.store.run(run)
        assert waits.phase is Phase.WAITING and waits.approvals == () and waits.acknowledged is None
        await story.order(run, OrderKind.APPROVE)
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_an_agent_may_always_take_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.engine.start(await planned(story), AGENT, channel=AGENTS)
        await story.until_phase(run, Phase.WAITING)
        await story.order(run, OrderKind.ABORT, channel=AGENTS)
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK
        began, *_ = await story.store.entries(f"{run}-production")
        assert (began.data["by"], began.data["channel"]) == (AGENT, AGENTS)

    play(tell, busy())


def test_no_agent_passes_a_closed_gate_on_somebodys_word_or_replaces_what_is_under_way() -> None:
    async def tell(story: Story) -> None:
        word = Override(GateName.WINDOW, "ada", "it burns", EPOCH)
        excused = await planned(story, Conditions(overrides=(word,)))
        with pytest.raises(Refused, match="a person has to start it"):
            await story.engine.start(excused, AGENT, channel=AGENTS)
        run = await story.engine.start(
            replace(excused, stages=(replace(excused.stages[0], conditions=Conditions()),)), "ada"
        )
        other = Plan("shop", "v3", (stage(revision("v3"), excused.stages[0].replaces),), EPOCH)
        with pytest.raises(Refused, match="an agent replaces nothing that is under way"):
            await story.engine.start(other, AGENT, supersede=True, channel=AGENTS)
        with pytest.raises(Busy):
            await story.engine.start(other, AGENT, channel=AGENTS)
        assert not (await story.store.run(run))[0].superseded
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)

    play(tell, busy())


@pytest.mark.parametrize("channel", [AGENTS, LOCAL])
def test_the_same_key_is_the_same_run_also_at_once_and_after_the_end(channel: str) -> None:
    async def tell(story: Story) -> None:
        plan = await planned(story)
        starts = (story.engine.start(plan, AGENT, key="k", channel=channel) for _ in range(4))
        (run,) = set(await asyncio.gather(*starts))
        with pytest.raises(Refused, match="give this one another key"):
            other = Plan("shop", "v3", (stage(revision("v3"), plan.stages[0].replaces),), EPOCH)
            await story.engine.start(other, AGENT, key="k", channel=channel)
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)
        await story.world.sleep(timedelta(minutes=5))
        assert await story.engine.start(plan, AGENT, key="k", channel=channel) == run
        assert [one.run for one in await story.store.rollouts(10) if one.run.startswith("shop-")] == [run]

    play(tell, busy())
