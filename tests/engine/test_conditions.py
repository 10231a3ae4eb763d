"""Does the world around a release keep it from starting and from going on, and never from going back?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import pytest
from tests.engine.stories import HASTY, Story, busy, play

from interlock.adapters.memory import EPOCH
from interlock.adapters.memory_surroundings import Surroundings
from interlock.core.checks import Checks, JUnit
from interlock.core.conditions import Conditions, Override
from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.events import OrderKind
from interlock.core.gates import Answer
from interlock.core.incidents import Alertmanager, Incident, Incidents, Mine
from interlock.core.on_call import OnCall, Roster
from interlock.core.phase import Phase
from interlock.core.plan import Stage, StrategyName
from interlock.core.steps import GateName, SetWeight, Watch
from interlock.core.strategy import LAYOUTS, Pace
from interlock.core.verification import Verification
from interlock.core.weight import ALL, NONE, Weight
from interlock.core.window import Freeze, Opening, Period, WhenClosed, Window
from interlock.engine.guard import Guard
from interlock.engine.ports import Outside, Ports
from interlock.ports.calendar import CalendarError
from interlock.ports.images import ImageError
from interlock.ports.incidents import IncidentsError
from interlock.ports.on_call import OnCallError

ALWAYS = Window((Opening(tuple(range(7))),), calendar="https://calendar.example/freezes.ics")
ALL_OF_THEM = Conditions(
    Checks((JUnit("report.xml"),)),
    Incidents((Alertmanager("http://alerts.example"),)),
    ALWAYS,
    OnCall(Roster(("ada",))),
    image=Verification(keys=("a key",)),
)
FIRE = Incident("fire-1", "checkout is down")
OURS = replace(FIRE, mine=True)
STEPS = replace(HASTY, weights=(Weight(1000), Weight(3000), Weight(6000), ALL), hold_at_most=timedelta(minutes=5))

BRIEF = replace(STEPS, hold_at_most=timedelta(seconds=20))


async def conditional(story: Story, conditions: Conditions, pace: Pace = STEPS) -> Stage:
    strategy = StrategyName.CANARY
    planned = await story.ready(strategy, pace)
    assert planned.replaces is not None
    pace = replace(pace, conditions=conditions.gates, fixes=bool(conditions.fixes))
    steps = LAYOUTS[strategy](planned.revision, planned.replaces, pace)
    return replace(planned, steps=steps, conditions=conditions)


def close(around: Surroundings, gate: GateName) -> None:
    match gate:
        case GateName.TESTS:
            around.tests = Answer(False, "3 of 42 tests failed")
        case GateName.NO_INCIDENT:
            around.fires = [FIRE]
        case GateName.WINDOW:
            around.entries = (Period(EPOCH, EPOCH + timedelta(days=9), "the sale"),)
        case GateName.ON_CALL:
            around.staff = ()
        case GateName.IMAGE:
            around.image = Answer(False, "no signature is attached to it")


PORTS = {
    GateName.TESTS: "tests",
    GateName.NO_INCIDENT: "incidents",
    GateName.WINDOW: "calendar",
    GateName.ON_CALL: "on-call",
    GateName.IMAGE: "images",
}
ERRORS: dict[GateName, Exception] = {
    GateName.TESTS: RuntimeError("down"),
    GateName.NO_INCIDENT: IncidentsError("down"),
    GateName.WINDOW: CalendarError("down"),
    GateName.ON_CALL: OnCallError("down"),
    GateName.IMAGE: ImageError("down"),
}


def test_with_everything_open_a_release_goes_its_way() -> None:
    async def tell(story: Story) -> None:
        ended = await story.ends(await story.deploy(await conditional(story, ALL_OF_THEM)))
        assert ended.phase is Phase.SUCCEEDED, ended.reason
        assert set(story.around.asked) == set(PORTS.values())

    play(tell, busy())


@pytest.mark.parametrize("how", ["closed", "down", "rubbish", "hangs"])
@pytest.mark.parametrize("gate", PORTS)
def test_nothing_starts_while_a_gate_is_not_open(gate: GateName, how: str) -> None:
    async def tell(story: Story) -> None:
        match how:
            case "closed":
                close(story.around, gate)
            case "down":
                story.around.fails[PORTS[gate]] = ERRORS[gate]
            case "rubbish":
                story.around.fails[PORTS[gate]] = ValueError("no JSON")
            case "hangs":
                story.around.hangs[PORTS[gate]] = timedelta(hours=2)
        ended = await story.ends(await story.deploy(await conditional(story, ALL_OF_THEM)))
        assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine
        assert gate.value.replace("-", " ") in ended.reason or gate.value in ended.reason
        assert not any(call.startswith("ensure production-v2") for call in story.world.calls)

    play(tell, busy())


def test_a_gate_that_opens_in_time_lets_the_release_go() -> None:
    async def tell(story: Story) -> None:
        story.around.fires = [FIRE]
        run = await story.deploy(await conditional(story, ALL_OF_THEM))
        held = await story.until_phase(run, Phase.WAITING)
        assert "checkout is down" in held.reason
        story.around.fires = []
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("gate", [GateName.NO_INCIDENT, GateName.WINDOW, GateName.ON_CALL])
def test_what_closes_in_the_middle_holds_every_advance_until_it_opens(gate: GateName, position: int) -> None:
    async def tell(story: Story) -> None:
        planned = await conditional(story, ALL_OF_THEM)
        run = await story.deploy(planned)
        weights = [step.weight for step in planned.steps if isinstance(step, SetWeight)]
        before = ([NONE, *weights])[position]
        if before == NONE:
            await story.until(lambda: any("ensure production-v2" in call for call in story.world.calls), 600)
        else:
            await story.reaches(run, before)
        close(story.around, gate)
        await story.world.sleep(timedelta(seconds=61))  # who is on call is asked once a minute
        reached = story.world.weight("production")
        await story.world.sleep(timedelta(minutes=2))
        assert story.world.weight("production") == reached
        story.around.__init__()  # type: ignore[misc]
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED, ended.reason

    play(tell, busy())


def test_an_incident_that_opens_is_seen_before_the_next_advance_at_every_moment() -> None:
    for tenths in range(0, 400, 23):

        async def tell(story: Story, tenths: int = tenths) -> None:
            run = await story.deploy(await conditional(story, ALL_OF_THEM, BRIEF))
            await story.world.sleep(timedelta(seconds=tenths / 10))
            story.around.fires = [FIRE]
            await story.world.sleep(timedelta(seconds=1.2))
            reached = story.world.weight("production")
            if reached == ALL.points:  # there it holds for a day
                return
            ended = await story.ends(run)
            assert ended.phase is Phase.ROLLED_BACK, f"after {tenths / 10} s: {ended.reason}"
            steered = [call for call in story.world.calls if call.startswith("steer production")]
            assert f"steer production {Weight(reached)}" in steered or reached == 0
            assert story.world.violations == []

        play(tell, busy())


@pytest.mark.parametrize("gate", [GateName.NO_INCIDENT, GateName.WINDOW, GateName.ON_CALL])
def test_every_advance_asks_anew_so_that_nothing_goes_on_after_a_gate_has_closed(gate: GateName) -> None:
    """At whatever moment it closes: from then on no weight rises, and the old revision is not drained."""

    def advances(story: Story) -> list[str]:
        kinds = ("steer production", "drain production")
        return [call for call in story.world.calls if call.startswith(kinds)]

    for tenths in (1, 5, *range(9, 400, 67)):

        async def tell(story: Story, tenths: int = tenths) -> None:
            await story.deploy(await conditional(story, ALL_OF_THEM))
            await story.world.sleep(timedelta(seconds=tenths / 10))
            at = next((one["rollout"] for one in story.engine.live().values()), None)
            if at is None or at["index"] >= len(at["stage"]["steps"]) - 3:
                return  # it has gone through: what is left of it asks nobody
            close(story.around, gate)
            before = advances(story)
            await story.world.sleep(timedelta(minutes=2))
            assert advances(story) == before, f"closed {tenths / 10} s after it began"

        play(tell, busy())


class SlowAtFirst(Surroundings):
    """Says what burnt when it was first asked, and says it late."""

    async def active(self, source: object, within: timedelta) -> tuple[Incident, ...]:
        found, first = tuple(self.fires), not self.asked
        self.asked["incidents"] = 1
        await asyncio.sleep(3 if first else 0)
        return found


def test_an_answer_that_is_slow_takes_back_no_newer_one() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await conditional(story, ALL_OF_THEM))
        rollout, around, world = (await story.store.run(run))[-1], SlowAtFirst(), story.world
        ports = Ports(world, world, world, world, story.store, world, world)
        guard = Guard(ports, Outside(around, around, around, around), lambda: rollout)
        slow = asyncio.create_task(guard.ask(GateName.NO_INCIDENT))
        await story.world.sleep(timedelta(seconds=1))
        around.fires = [FIRE]
        assert not (await guard.ask(GateName.NO_INCIDENT)).open
        assert (await slow).open
        assert not guard.answers[GateName.NO_INCIDENT].open and FIRE.title in guard.closed

    play(tell, busy())


@pytest.mark.parametrize("policy", WithoutProof)
def test_what_to_do_without_proof_is_no_way_past_an_incident(policy: WithoutProof) -> None:
    async def tell(story: Story) -> None:
        planned = await conditional(story, ALL_OF_THEM, replace(STEPS, judged=True))
        run = await story.deploy(replace(planned, criteria=Criteria(without_proof=policy)))
        await story.reaches(run, Weight(1000))
        story.around.fires = [FIRE]
        await story.world.sleep(timedelta(minutes=3))
        rollout = (await story.store.run(run))[-1]
        assert rollout.weight == Weight(1000) and not rollout.unproven
        assert isinstance(rollout.next_step, Watch), "it stands where it stood"

    play(tell, busy())


def test_a_hold_for_an_incident_ends_by_going_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await conditional(story, ALL_OF_THEM))
        await story.reaches(run, Weight(1000))
        story.around.fires = [FIRE]
        ended = await story.ends(run, within=900)
        assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine
        assert "checkout is down" in ended.reason

    play(tell, busy())


@pytest.mark.parametrize("mine", Mine)
def test_an_alert_that_names_this_service_takes_it_back_at_once_where_policy_says_so(mine: Mine) -> None:
    async def tell(story: Story) -> None:
        declared = replace(ALL_OF_THEM, incidents=Incidents((Alertmanager("http://alerts.example"),), mine))
        run = await story.deploy(await conditional(story, declared))
        await story.reaches(run, Weight(1000))
        story.around.fires = [OURS]
        began = story.world.monotonic()
        if mine is Mine.HOLD:
            await story.until_phase(run, Phase.WAITING)
            assert story.world.weight("production") == 1000
            return
        await story.until(lambda: story.world.weight("production") == 0, 10)
        assert story.world.monotonic() - began <= 1.5
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and "critical alert: fire-1" in ended.reason

    play(tell, busy())


def test_at_all_the_traffic_an_incident_elsewhere_keeps_the_old_release_warm_and_takes_nothing_back() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await conditional(story, ALL_OF_THEM))
        await story.reaches(run, ALL)
        story.around.fires = [FIRE]
        await story.world.sleep(timedelta(minutes=20))
        assert story.world.weight("production") == ALL.points
        assert story.world.running("production") == {"production-v1": 2, "production-v2": 2}
        story.around.fires = []
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    play(tell, busy())


def test_rolling_back_asks_nobody() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await conditional(story, ALL_OF_THEM))
        await story.reaches(run, Weight(1000))
        for gate, port in PORTS.items():
            close(story.around, gate)
            story.around.hangs[port] = timedelta(hours=1)
        await story.order(run, OrderKind.ABORT)
        began = story.world.monotonic()
        await story.until(lambda: story.world.weight("production") == 0, 10)
        assert story.world.monotonic() - began <= 0.3
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK

    play(tell, busy())


@pytest.mark.parametrize(
    ("policy", "phase"),
    [
        (WhenClosed.FINISH, Phase.SUCCEEDED),
        (WhenClosed.HOLD, Phase.ROLLED_BACK),
        (WhenClosed.ROLL_BACK, Phase.ROLLED_BACK),
    ],
)
def test_what_follows_when_the_window_closes_is_a_policy(policy: WhenClosed, phase: Phase) -> None:
    async def tell(story: Story) -> None:
        declared = replace(ALL_OF_THEM, window=replace(ALWAYS, when_closed=policy))
        run = await story.deploy(await conditional(story, declared))
        await story.reaches(run, Weight(1000))
        close(story.around, GateName.WINDOW)
        began = story.world.monotonic()
        ended = await story.ends(run)
        assert ended.phase is phase
        if policy is WhenClosed.ROLL_BACK:
            assert "window" in ended.reason
            assert story.world.monotonic() - began < 60

    play(tell, busy())


@pytest.mark.parametrize("gate", [GateName.TESTS, GateName.WINDOW])
def test_what_a_person_overrides_with_a_reason_is_passed_and_said(gate: GateName) -> None:
    async def tell(story: Story) -> None:
        close(story.around, gate)
        word = Override(gate, "ada", "the shop is down, and this brings it back", EPOCH)
        run = await story.deploy(await conditional(story, replace(ALL_OF_THEM, overrides=(word,))))
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED, ended.reason
        said = [one.data["answer"]["overridden"] for one in await story.store.entries(ended.id) if "answer" in one.data]
        assert any("the shop is down" in text for text in said)

    play(tell, busy())


def test_a_fix_names_its_incident_and_waits_for_somebody_on_call() -> None:
    async def tell(story: Story) -> None:
        story.around.fires = [FIRE]
        planned = await conditional(story, replace(ALL_OF_THEM, fixes="fire-1"))
        run = await story.deploy(planned)
        await story.until_phase(run, Phase.WAITING)
        assert not any(call.startswith("ensure production-v2") for call in story.world.calls)

    play(tell, busy())


def test_another_incident_holds_a_fix_up_too() -> None:
    async def tell(story: Story) -> None:
        story.around.fires = [FIRE, replace(FIRE, id="fire-2")]
        planned = await conditional(story, replace(ALL_OF_THEM, fixes="fire-1"))
        run = await story.deploy(planned)
        await story.until_phase(run, Phase.WAITING)
        await story.order(run, OrderKind.APPROVE)
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and "fire-2" in ended.reason

    play(tell, busy())


def test_what_is_on_fire_is_written_down_with_its_beginning_and_end() -> None:
    async def tell(story: Story) -> None:
        run = await story.deploy(await conditional(story, ALL_OF_THEM))
        await story.reaches(run, Weight(1000))
        story.around.fires = [replace(FIRE, since=EPOCH)]
        await story.world.sleep(timedelta(seconds=5))
        story.around.fires = []
        ended = await story.ends(run)
        lines = [entry.text for entry in await story.store.entries(ended.id) if entry.kind == "alert"]
        assert lines == [f"active: fire-1 (checkout is down) since {EPOCH:%Y-%m-%d %H:%M:%S} UTC", "over: fire-1"]

    play(tell, busy())


def test_a_freeze_closes_the_window_without_any_calendar() -> None:
    async def tell(story: Story) -> None:
        frozen = Window((Opening(tuple(range(7))),), freezes=(Freeze(date(2020, 1, 1), date(2100, 1, 1), "audit"),))
        run = await story.deploy(await conditional(story, Conditions(window=frozen)))
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK and "audit" in ended.reason
        assert "calendar" not in story.around.asked

    play(tell, busy())


def test_nobody_is_asked_when_nothing_is_declared() -> None:
    async def tell(story: Story) -> None:
        assert (await story.ends(await story.deploy(await conditional(story, Conditions())))).phase is Phase.SUCCEEDED
        assert story.around.asked == {}

    play(tell, busy())
