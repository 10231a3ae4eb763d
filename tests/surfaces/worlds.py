"""Runs to look at: made by the engine in virtual time, seen as a surface sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from tests.engine.stories import QUICK, Story, play, revision, stage, staging

from interlock.adapters.memory import Behaviour
from interlock.adapters.store.sqlite import SQLite
from interlock.app.view import View
from interlock.core.conditions import Conditions, Override
from interlock.core.events import OrderKind
from interlock.core.load import Recipe
from interlock.core.phase import Phase
from interlock.core.plan import Stage
from interlock.core.record import restore
from interlock.core.rollout import Rollout
from interlock.core.steps import GateName

Seen = tuple[View, datetime]


async def view_of(story: Story, run: str, *, keeper: bool = True) -> View:
    """Return what `App.view` would: what is live has been JSON on its way."""
    rollouts = await story.store.run(run)
    plan = await story.store.plan(rollouts[0].plan)
    assert plan is not None
    live = json.loads(json.dumps(story.engine.live())) if keeper else {}
    now = tuple(restore(Rollout, live[one.id]["rollout"]) if one.id in live else one for one in rollouts)
    entries = {one.id: await story.store.entries(one.id) for one in rollouts}
    kept = {one.id: await story.store.last_checkpoint(one.id) or {} for one in rollouts}
    return View(run, plan, now, entries, kept, live, keeper)


async def begun(story: Story) -> str:
    """Have release 2 on its way through staging to production, where release 1 runs."""
    await story.released("1")
    return await story.deploy(staging("2", revision("1", "staging", 1)), stage(revision("2"), revision("1")))


async def at_step(story: Story, index: int) -> None:
    """Wait until production is at the step of this index, counted from 0."""

    def there() -> bool:
        live = [one["rollout"] for one in story.engine.live().values()]
        return any(one["stage"]["environment"] == "production" and one["index"] == index for one in live)

    await story.until(there)


@cache
def seen(name: str) -> Seen:
    """Return a view, and the moment at which it was taken."""
    found: list[Seen] = []

    async def tell(story: Story) -> None:
        view = await TALES[name](story)
        found.append((view, story.world.now()))

    play(tell)
    return found[0]


async def _watched(story: Story) -> View:
    run = await begun(story)
    await at_step(story, 6)
    await story.world.sleep(timedelta(seconds=22))
    return await view_of(story, run)


async def _alone(story: Story) -> View:
    view = await _watched(story)
    return await view_of(story, view.run, keeper=False)


async def _paused(story: Story) -> View:
    view = await _watched(story)
    await story.order(view.run, OrderKind.PAUSE, reason="lunch")
    return await view_of(story, view.run)


async def _promoted(story: Story) -> View:
    view = await _watched(story)
    await story.order(view.run, OrderKind.PROMOTE, reason="trust me")
    await story.ends(view.run)
    return await view_of(story, view.run)


async def _succeeded(story: Story) -> View:
    run = await begun(story)
    await story.ends(run)
    return await view_of(story, run)


async def _going_back(story: Story) -> View:
    story.world.behaviours["production-2"] = Behaviour(error_rate=0.3)
    run = await begun(story)
    await story.until(lambda: any(one["rollout"]["turned_at"] is not None for one in story.engine.live().values()))
    await story.world.sleep(timedelta(seconds=5))
    return await view_of(story, run)


async def _rolled_back(story: Story) -> View:
    view = await _going_back(story)
    await story.ends(view.run)
    return await view_of(story, view.run)


async def _quarantined(story: Story) -> View:
    """The same bad release once more: a gate is closed."""
    await _rolled_back(story)
    run = await story.deploy(stage(revision("2"), revision("1")))
    await story.ends(run)
    return await view_of(story, run)


async def _loading(story: Story) -> View:
    """Few users, and in mid-load."""
    await story.released("1")
    story.world.requests_per_second = 0.5
    load = replace(QUICK, load=Recipe(rate=20, requests=2000), load_before=QUICK.weights[:-1])
    production = stage(revision("2"), revision("1"), pace=load)
    run = await story.deploy(staging("2", revision("1", "staging", 1)), production)
    await at_step(story, 5)
    await story.world.sleep(timedelta(seconds=52))
    return await view_of(story, run)


async def _by_load(story: Story) -> View:
    view = await _loading(story)
    await story.ends(view.run)
    return await view_of(story, view.run)


async def _failed(story: Story) -> View:
    view = await _succeeded(story)
    last = replace(view.current, phase=Phase.FAILED, turned_at=6, reason="the proxy is stuck")
    return replace(view, rollouts=(view.rollouts[0], last))


def overridden(view: View) -> View:
    """Return a run in which somebody let production pass its closed window."""
    word = Override(GateName.WINDOW, "ada (unproven)", "the shop is down", view.rollouts[0].started)
    conditions = Conditions(overrides=(word,))

    def passed(stage: Stage) -> Stage:
        return replace(stage, conditions=conditions) if stage.environment == "production" else stage

    plan = replace(view.plan, stages=tuple(map(passed, view.plan.stages)))
    rollouts = tuple(replace(one, plan=plan.hash, stage=passed(one.stage)) for one in view.rollouts)
    return replace(view, plan=plan, rollouts=rollouts)


TALES: dict[str, Callable[[Story], Awaitable[View]]] = {
    "watched": _watched,
    "alone": _alone,
    "paused": _paused,
    "promoted": _promoted,
    "succeeded": _succeeded,
    "going back": _going_back,
    "rolled back": _rolled_back,
    "quarantined": _quarantined,
    "failed": _failed,
    "loading": _loading,
    "by load": _by_load,
}


def keep(view: View, state: Path) -> None:
    """Write a run to the records of a state directory, as the keeper would have."""

    async def write() -> None:
        state.mkdir(parents=True, exist_ok=True)
        store = SQLite(state / "interlock.db")
        await store.add_plan(view.plan)
        for rollout in view.rollouts:
            entries = view.entries[rollout.id]
            await store.begin(replace(rollout, phase=Phase.PROGRESSING), entries[0])
            epoch = await store.claim(rollout.id, "test")
            await store.save(rollout, epoch, entries[1:])
        store.close()

    asyncio.run(write())
