"""Is a rollout moved by proven words only, where the environment demands them?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.engine.stories import HASTY, Story, busy, play
from tests.engine.test_conditions import FIRE

from interlock.adapters.memory import EPOCH
from interlock.core.agents import Agent
from interlock.core.approval import Policy, Word
from interlock.core.conditions import Conditions
from interlock.core.events import Order, OrderKind, Proven
from interlock.core.incidents import Alertmanager, Incidents
from interlock.core.on_call import OnCall, Person, Roster
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.rollout import Rollout
from interlock.core.strategy import LAYOUTS
from interlock.core.transitions import Refused
from interlock.ports.signatures import SignatureError


@dataclass
class Notary:
    """Takes "signed by NAME" for a signature."""

    known: set[str] = field(default_factory=lambda: {"ada", "grace", "hedy"})

    async def signer(
        self, text: str, signature: str, signers: tuple[str, ...], namespace: str, within: timedelta
    ) -> str:
        name = signature.removeprefix("signed by ")
        if name not in self.known:
            raise SignatureError("the key that signed is none of those listed")
        return name


def story_with_notary(story: Story) -> Story:
    story.notary = Notary()
    story.new_engine()
    return story


async def waiting(story: Story, policy: Policy, by: str = "ada", **more: object) -> tuple[str, Rollout]:
    story_with_notary(story)
    planned = await story.ready(StrategyName.CANARY)
    conditions = Conditions(approvals=policy, **more)  # type: ignore[arg-type]
    run = await story.engine.start(Plan("shop", "v2", (demanding(planned, conditions),), EPOCH), by)
    return run, await story.until_phase(run, Phase.WAITING)


def demanding(planned: Stage, conditions: Conditions) -> Stage:
    pace = replace(HASTY, approve=True, conditions=conditions.gates, fixes=bool(conditions.fixes))
    steps = LAYOUTS[StrategyName.CANARY](planned.revision, planned.replaces, pace)
    return replace(planned, steps=steps, conditions=conditions)


async def approve(story: Story, run: str, by: str, *, text: str | None = None, key: str = "") -> Rollout:
    rollout = (await story.store.run(run))[-1]
    word = Word.of(rollout, story.world.now() + timedelta(hours=1)).text() if text is None else text
    order = Order(story.world.now(), OrderKind.APPROVE, "somebody", key or f"by-{by}-{rollout.index}")
    return await story.engine.order(run, replace(order, text=word, signature=f"signed by {by}"))


def test_a_signed_word_lets_the_rollout_go_on_and_is_on_record() -> None:
    async def tell(story: Story) -> None:
        run, _ = await waiting(story, Policy("signers"))
        await approve(story, run, "ada")
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED
        (approval,) = ended.approvals
        assert (approval.by, approval.proven, approval.plan) == ("ada", True, ended.plan)
        (line,) = [entry for entry in await story.store.entries(ended.id) if entry.kind == "approved"]
        assert "proven by a signature" in line.text and line.data["signature"] == "signed by ada"

    play(tell, busy())


def test_a_name_alone_is_refused_and_so_is_what_its_sender_says_is_proven() -> None:
    async def tell(story: Story) -> None:
        run, _ = await waiting(story, Policy("signers"))
        claimed = Order(story.world.now(), OrderKind.APPROVE, "ada", "key-1", word=Proven("ada", None, True))
        with pytest.raises(Refused, match="only with a signature"):
            await story.engine.order(run, claimed)
        with pytest.raises(Refused, match="none of those listed"):
            await approve(story, run, "mallory")
        assert (await story.store.run(run))[-1].phase is Phase.WAITING

    play(tell, busy())


def test_a_word_for_another_plan_is_refused() -> None:
    async def tell(story: Story) -> None:
        run, rollout = await waiting(story, Policy("signers"))
        text = Word.of(replace(rollout, plan="other"), story.world.now() + timedelta(hours=1)).text()
        with pytest.raises(Refused, match="plan other"):
            await approve(story, run, "ada", text=text)
        old = Word.of(rollout, story.world.now() - timedelta(seconds=1)).text()
        with pytest.raises(Refused, match="held until"):
            await approve(story, run, "ada", text=old)

    play(tell, busy())


def test_as_many_people_as_are_needed_have_to_agree_each_counted_once() -> None:
    async def tell(story: Story) -> None:
        run, _ = await waiting(story, Policy("signers", needed=2))
        assert (await approve(story, run, "ada")).phase is Phase.WAITING
        assert (await approve(story, run, "ada", key="again")).phase is Phase.WAITING
        after = await approve(story, run, "grace")
        assert after.phase is not Phase.WAITING
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


@pytest.mark.parametrize("by", ["ada", "Ada", str(Agent("ada", "claude-code", "2.1.0"))])
def test_whoever_started_the_release_or_had_it_started_does_not_approve_it_where_that_is_so(by: str) -> None:
    async def tell(story: Story) -> None:
        run, _ = await waiting(story, Policy("signers", not_author=True), by)
        with pytest.raises(Refused, match="started this release"):
            await approve(story, run, "ada")
        await approve(story, run, "grace")
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


@pytest.mark.parametrize(("by", "phase"), [("grace", Phase.SUCCEEDED), ("hedy", Phase.ROLLED_BACK)])
def test_a_fix_goes_out_during_its_incident_when_somebody_on_call_has_approved(by: str, phase: Phase) -> None:
    async def tell(story: Story) -> None:
        story.around.fires = [FIRE]
        duty = OnCall(Roster(("grace",)))
        story.around.staff = (Person("grace"),)
        fire = Incidents((Alertmanager("http://alerts.example"),))
        run, _ = await waiting(story, Policy("signers"), incidents=fire, on_call=duty, fixes="fire-1")
        await approve(story, run, by)  # before anything begins
        if phase is Phase.SUCCEEDED:
            await story.until(lambda: any("ensure production-v2" in call for call in story.world.calls), 60)
            await story.until_phase(run, Phase.WAITING)
            await approve(story, run, by)  # before users get to it
        ended = await story.ends(run)
        assert ended.phase is phase, ended.reason
        if phase is Phase.ROLLED_BACK:
            assert "somebody on call must approve" in ended.reason

    play(tell, busy())
