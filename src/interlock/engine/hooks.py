"""What do those say whom the user wants asked before a rollout goes on, and how are those told who only want to know?

What is asked is a gate: no answer is a no, and a no holds the advance until its patience is over. What is told holds
nothing up: the courier does it, at least once. A rollback asks nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from interlock.core.account import Account
from interlock.core.gates import Answer
from interlock.core.hooks import GATES, Hook, When, asked, due, evidence, key, weights
from interlock.core.news import ENDS, Kind, News
from interlock.core.plan import Plan
from interlock.core.record import plain
from interlock.core.rollout import Rollout
from interlock.core.steps import Gate, SetWeight, spell
from interlock.engine.ports import Ports
from interlock.engine.scene import Outcome, Scene
from interlock.ports.clock import Clock
from interlock.ports.hooks import Hooks
from interlock.ports.notify import Undelivered, Unwanted
from interlock.ports.store import Entry, Store, StoreError

AGAIN_AFTER = timedelta(seconds=10)
TOLD = "told"
GIVE_UP_AFTER = timedelta(days=1)
_A_SECOND = timedelta(seconds=1)


async def consent(scene: Scene, step: Gate) -> Outcome:
    """Ask each hook of this moment until all have said yes; one that has is not asked again."""
    deadline = scene.deadline(step.patience)
    hooks = due(scene.rollout().stage.hooks, GATES[step.name])
    given: dict[int, Answer] = {}
    said = ""
    while True:
        within = max(_A_SECOND, scene.left(step.patience))
        open_to = [(place, hook) for place, hook in hooks if not (place in given and given[place].open)]
        answers = await asyncio.gather(*(_ask(scene, place, hook, within) for place, hook in open_to))
        for (place, hook), answer in zip(open_to, answers, strict=True):
            if given.get(place) != answer:
                await _note(scene, step, place, hook, answer)
            given[place] = answer
        no = "; ".join(f"{hook}: {given[place].reason}" for place, hook in hooks if not given[place].open)
        data = {"gate": step.name.value, "answer": plain(Answer(not no, no or f"{len(hooks)} said yes"))}
        if not no:
            return scene.done(f"{step}: {len(hooks)} said yes", data)
        if deadline.over:
            return scene.failed(f"{step}: {no}", data)
        if no != said:
            said = no
            scene.hold(f"{step}: {no}")
        await scene.ports.clock.sleep(min(AGAIN_AFTER, max(_A_SECOND, scene.left(step.patience))))


async def _ask(scene: Scene, place: int, hook: Hook, within: timedelta) -> Answer:
    rollout, sentinel = scene.rollout(), scene.sentinel
    seen = rollout.exposed and sentinel.judged
    told = {
        **asked(hook, rollout, _key(rollout, place, hook)),
        **weights(rollout),
        **(evidence(sentinel.judgement.verdict.value, sentinel.tally.canary, sentinel.tally.stable) if seen else {}),
    }
    hooks = scene.ports.outside.hooks if scene.ports.outside else None
    return await answered(hooks, hook, told, min(hook.timeout, within))


async def answered(hooks: Hooks | None, hook: Hook, facts: Mapping[str, Any], within: timedelta) -> Answer:
    """Ask one hook; whatever is no answer is a no."""
    if hooks is None:
        return Answer(False, "nobody can be asked here")
    try:
        async with asyncio.timeout((within + _A_SECOND).total_seconds()):
            return await hooks.ask(hook, facts, within)
    except TimeoutError:
        return Answer(False, f"no answer within {spell(within)}")
    except Exception as error:  # whatever an adapter raises: not to know is a no
        return Answer(False, f"could not be asked: {error!r}")


def _key(rollout: Rollout, place: int, hook: Hook) -> str:
    return key(rollout, place, hook, f"step-{rollout.index + 1}")


async def _note(scene: Scene, step: Gate, place: int, hook: Hook, answer: Answer) -> None:
    """Write an answer down; a store that is full costs only that, for the step's own line says the same."""
    rollout = scene.rollout()
    data = {
        "gate": f"{step.name.value}: {hook}",
        "answer": plain(answer),
        "key": _key(rollout, place, hook),
        "step": rollout.index + 1,
    }
    text = f"{step}: {hook} said {'yes' if answer.open else 'no'}: {answer.reason}"
    with suppress(StoreError):
        await scene.ports.store.note(rollout.id, (Entry(scene.ports.clock.now(), "gate", text, data),))


async def consented(ports: Ports, plan: Plan, rollout: Rollout) -> None:
    """Write down who agreed to the build before there was a rollout."""
    lines = [
        Entry(
            one.at,
            "gate",
            f"gate: before build: {one.hook} said yes: {one.reason}",
            {"gate": f"before-build: {one.hook}", "answer": plain(Answer(True, one.reason)), "key": one.key},
        )
        for one in plan.consents
        if one.environment == rollout.stage.environment
    ]
    if lines:
        with suppress(StoreError):
            await ports.store.note(rollout.id, tuple(lines))


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells the hook at one place of an environment what became of rollouts; `hide` takes secrets out of reasons."""

    name: str
    environment: str
    place: int
    hooks: Hooks | None
    store: Store
    clock: Clock
    hide: Callable[[str], str]

    def wants(self, all: Sequence[News]) -> tuple[News, ...]:
        return tuple(one for one in all if self._due(one) is not None)

    async def take(self, news: News) -> None:
        hook = self._due(news)
        if hook is None:
            return
        name = key(news.rollout, self.place, hook, f"line-{news.seq}")
        lines = await self.store.entries(news.rollout.id)
        if any(line.kind == TOLD and line.data.get("key") == name for line in lines):
            return
        facts = {**asked(hook, news.rollout, name), **self._outcome(news), **await self._counted(news, lines)}
        answer = await answered(self.hooks, hook, facts, hook.timeout)
        if answer.open:
            await self._note(news, hook, name, f"{hook} was told {hook.when.value}: {answer.reason}")
        elif answer.final or self.clock.now() - news.at > GIVE_UP_AFTER:
            await self._note(news, hook, name, f"{hook} could not be told {hook.when.value}: {answer.reason}")
            raise Unwanted(answer.reason)
        else:
            raise Undelivered(f"{hook}: {answer.reason}")

    def _due(self, news: News) -> Hook | None:
        """Return the hook that is told this, as the plan of its own rollout has it."""
        stage = news.rollout.stage
        if stage.environment != self.environment or self.place > len(stage.hooks):
            return None
        hook = stage.hooks[self.place - 1]
        match hook.when:
            case When.AFTER if news.kind in ENDS:
                return hook
            case When.ROLLBACK if news.kind is Kind.TURNED_BACK:
                return hook
        return None

    def _outcome(self, news: News) -> dict[str, Any]:
        facts: dict[str, Any] = {"outcome": news.kind.value, "at": news.at.isoformat()}
        if news.rollout.reason:
            facts["reason"] = self.hide(news.rollout.reason)
        if news.kind is Kind.TURNED_BACK:
            weights = [step.weight.points for step in news.rollout.reached if isinstance(step, SetWeight)]
            facts["weight"] = {"from": (weights[-1] if weights else 0) / 100, "to": 0.0}
        return facts

    async def _counted(self, news: News, lines: Sequence[Entry]) -> dict[str, Any]:
        account = Account.of(news.rollout, lines, await self.store.last_checkpoint(news.rollout.id))
        judged = [one.judgement for one in account.story if one.judgement is not None]
        verdict = judged[-1].verdict.value if judged else None
        tally = account.tally
        return evidence(verdict, tally.canary if tally else None, tally.stable if tally else None)

    async def _note(self, news: News, hook: Hook, key: str, text: str) -> None:
        data = {"hook": str(hook), "when": hook.when.value, "key": key}
        await self.store.note(news.rollout.id, (Entry(self.clock.now(), TOLD, text, data),))


def tellers(
    plan: Plan, hooks: Hooks | None, store: Store, clock: Clock, hide: Callable[[str], str]
) -> tuple[Teller, ...]:
    """Return those who tell a plan's hooks what became of its rollouts."""
    return tuple(
        Teller(f"hook:{stage.environment}:{place}", stage.environment, place, hooks, store, clock, hide)
        for stage in plan.stages
        for when in (When.AFTER, When.ROLLBACK)
        for place, _ in due(stage.hooks, when)
    )
