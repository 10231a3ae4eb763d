"""Do flags move with a release as they should, whatever fails, and are they back before anything else is?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.engine.stories import HASTY, Story, busy, play, stage

from interlock.adapters.memory import Behaviour
from interlock.adapters.memory_flags import MemoryFlags, stood
from interlock.core.events import OrderKind
from interlock.core.flag import Flag, FlagFile, FlagState, FlagUse, OnFlagFailure
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, Stage, StrategyName
from interlock.core.rollout import Rollout
from interlock.core.steps import SetFlag, Step, Watch
from interlock.core.toggle import Action, FlagHeld, Toggle
from interlock.core.weight import ALL, Weight
from interlock.engine import eye, puller
from interlock.engine.toggle import toggle
from interlock.ports.flags import FlagsError

FLAG = Flag("new_feature", FlagFile("flags.json"))
USE = FlagUse(FLAG, bake=timedelta(seconds=10), recovered_for=timedelta(seconds=20))
BEFORE = stood(enabled=True, percentage=10, constraints=('{"beta":true}',))


class Exposing(MemoryFlags):
    """Flags whose exposure shows in the new revision: so much of it that gets the feature fails."""

    def __init__(self, story: Story, share: float, from_percent: int = 1, code: float = 0.0) -> None:
        super().__init__()
        self._story, self._share, self._from, self._code = story, share, from_percent, code

    def _change(self, flag: Flag, state: FlagState, who: str) -> None:
        super()._change(flag, state, who)
        up = state.exposure if state.exposure >= self._from else 0
        rate = self._code + self._share * up / 100
        self._story.world.behaviours["production-v2"] = Behaviour(error_rate=rate)


async def begun(
    story: Story,
    use: FlagUse = USE,
    strategy: StrategyName = StrategyName.CANARY,
    *,
    share: float = 0.0,
    from_percent: int = 1,
    code: float = 0.0,
    before: FlagState = BEFORE,
) -> str:
    """Have v2 under way with a flag; `share` of those who get the feature fail, `code` of all."""
    planned = await story.ready(strategy, replace(HASTY, flags=(use,)))
    story.flags = Exposing(story, share, from_percent, code)
    story.flags.by_hand(FLAG, before)
    story.new_engine()
    return await story.deploy(planned)


async def entries(story: Story, rollout: Rollout, kind: str) -> list[Mapping[str, Any]]:
    return [one.data for one in await story.store.entries(rollout.id) if one.kind == kind]


async def proven(story: Story) -> str:
    return (await story.store.proofs("shop", "production"))[0].revision.name


def told(tell: Callable[[Story], Awaitable[None]]) -> Story:
    return play(tell, busy())


@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_good_flag_is_off_first_goes_up_after_the_code_and_ends_at_all(strategy: StrategyName) -> None:
    async def tell(story: Story) -> None:
        ended = await story.ends(await begun(story, strategy=strategy))
        assert ended.phase is Phase.SUCCEEDED
        exposures = [change.after.exposure for change in story.flags.changes if change.who == "interlock"]
        assert exposures == [0, 5, 25, 50, 100]
        assert [(one.before, one.now.exposure) for one in ended.flags] == [(BEFORE, 100)]
        assert story.flags.flags[FLAG].constraints == BEFORE.constraints

    told(tell)


def test_a_bad_flag_step_takes_the_flag_back_within_a_second_and_leaves_the_code() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story, share=0.5, from_percent=25)
        retracting = await story.until_phase(run, Phase.RETRACTING)
        since = story.world.monotonic()
        await story.until(lambda: story.flags.exposure(FLAG) == 0)
        assert story.world.monotonic() - since <= 1
        assert story.world.weight("production") == ALL.points
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine, ended.going_back) == (Phase.SUCCEEDED, False, False)
        assert "requests failed" in ended.retracted
        assert isinstance(ended.stage.steps[retracting.retracted_at or 0], Watch)
        assert story.flags.exposure(FLAG) == 0
        assert await proven(story) == "production-v2"

    told(tell)


def test_code_that_is_bad_without_its_flag_too_goes_back_with_everything() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 25)
        story.flags._code, story.flags._share = 0.2, 0.2  # type: ignore[attr-defined]
        story.flags._change(FLAG, story.flags.flags[FLAG], "nobody")
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True)
        assert ended.retracted
        assert story.flags.flags[FLAG] == BEFORE
        assert await proven(story) == "production-v1"

    told(tell)


def test_where_everything_is_to_go_back_it_does() -> None:
    async def tell(story: Story) -> None:
        use = replace(USE, on_failure=OnFlagFailure.EVERYTHING)
        ended = await story.ends(await begun(story, use, share=0.5, from_percent=25))
        assert (ended.phase, ended.quarantine, ended.retracted) == (Phase.ROLLED_BACK, True, "")
        assert story.flags.flags[FLAG] == BEFORE

    told(tell)


def test_a_flag_that_goes_up_inside_a_canary_goes_back_with_it() -> None:
    async def tell(story: Story) -> None:
        use = replace(USE, during=((Weight(2000), 5),), ramp=(100,))
        ended = await story.ends(await begun(story, use, share=1.0))
        assert (ended.phase, ended.retracted) == (Phase.ROLLED_BACK, "")
        assert [change.after.exposure for change in story.flags.changes] == [0, 5, 0, BEFORE.exposure]
        assert story.flags.flags[FLAG] == BEFORE

    told(tell)


FAULTS: dict[str, Callable[[MemoryFlags], None]] = {
    "nothing": lambda flags: None,
    "errors": lambda flags: flags.fails.update(turn_off=FlagsError("500")),
    "hangs": lambda flags: flags.hangs.update(turn_off=timedelta(hours=1)),
    "is slow": lambda flags: flags.hangs.update(turn_off=timedelta(seconds=2)),
    "loses its answer": lambda flags: flags.lost.add("turn_off"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_traffic_goes_back_a_quarter_of_a_second_after_the_flags_were_commanded_whatever_their_server_does(
    fault: str,
) -> None:
    async def tell(story: Story) -> None:
        run = await begun(story, share=0.0)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        FAULTS[fault](story.flags)
        commanded = len(story.flags.calls)
        at = story.world.monotonic()
        await story.order(run, OrderKind.ABORT)
        await story.until(lambda: story.world.weight("production") == 0)
        assert story.flags.calls[commanded:][0] == f"turn_off {FLAG.name}"
        assert story.world.monotonic() - at <= 0.25 + 0.1
        await story.world.sleep(timedelta(minutes=3))
        healed = fault in ("nothing", "is slow")
        assert (await story.store.run(run))[-1].over is healed
        assert (await story.world.instances("production-v2") == ()) is healed
        for told_to in (story.flags.fails, story.flags.hangs, story.flags.lost):
            told_to.clear()
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, False)
        assert story.flags.flags[FLAG] == BEFORE
        offs = [n for n, call in enumerate(story.flags.calls) if call.startswith("turn_off")]
        assert max(offs) < story.flags.calls.index(f"restore {FLAG.name}")

    told(tell)


def test_a_flag_server_that_never_comes_back_leaves_a_rollback_that_says_so() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        story.flags.fails["turn_off"] = FlagsError("connection refused")
        await story.order(run, OrderKind.ABORT)
        ended = await story.ends(run)
        assert ended.phase is Phase.FAILED
        assert "new_feature is not confirmed off (connection refused)" in ended.reason
        assert story.world.weight("production") == 0
        story.flags.fails.clear()
        await story.order(run, OrderKind.ABORT)
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK
        assert story.flags.flags[FLAG] == BEFORE

    told(tell)


@pytest.mark.parametrize("why", ["archived", "two active strategies"])
def test_a_flag_that_cannot_be_moved_ends_it_before_anything_has_changed(why: str) -> None:
    async def tell(story: Story) -> None:
        planned = await story.ready(StrategyName.CANARY, replace(HASTY, flags=(USE,)))
        story.flags.by_hand(FLAG, BEFORE)
        story.flags.unmovable[FLAG.name] = why
        ended = await story.ends(await story.deploy(planned))
        assert (ended.phase, ended.exposed, ended.moved_a_flag) == (Phase.ROLLED_BACK, False, False)
        assert why in ended.reason
        assert story.flags.changes == []
        assert await story.world.instances("production-v2") == ()

    told(tell)


def test_a_flag_that_somebody_moves_by_hand_stops_the_advance_until_it_is_put_back() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        await story.until_phase(run, Phase.PROGRESSING)
        await story.world.sleep(timedelta(seconds=5))
        ours = story.flags.flags[FLAG]
        story.flags.by_hand(FLAG, stood(enabled=True, percentage=40))
        held = await story.until_phase(run, Phase.WAITING, within=60)
        assert "somebody else: it is enabled at 40% where the rollout has put enabled at 5%" in held.reason
        await story.world.sleep(timedelta(seconds=40))
        assert story.flags.peak(FLAG) == 5
        story.flags.by_hand(FLAG, ours)
        ended = await story.ends(run)
        assert ended.phase is Phase.SUCCEEDED
        said = [one["now"]["percentage"] for one in await entries(story, ended, "flag")]
        assert 40 in said

    told(tell)


def test_a_flag_server_that_is_down_holds_the_advance_and_nothing_else() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        await story.world.sleep(timedelta(seconds=5))
        story.flags.fails.update(look=FlagsError("down"), turn_on=FlagsError("down"), turn_off=FlagsError("down"))
        held = await story.until_phase(run, Phase.WAITING, within=60)
        assert "flag new_feature cannot be seen: down" in held.reason
        story.flags.fails.clear()
        assert (await story.ends(run)).phase is Phase.SUCCEEDED

    told(tell)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_flag_alone_is_a_rollout_like_any_other_and_blames_no_code(share: float) -> None:
    async def tell(story: Story) -> None:
        code = await story.stands("v2")
        story.flags = Exposing(story, share, 25)
        story.flags.by_hand(FLAG, stood(enabled=False, percentage=10))
        story.new_engine()
        before = story.flags.flags[FLAG]
        use = replace(USE, disable=False)
        ended = await story.ends(await story.deploy(alone(code, use)))
        assert ended.quarantine is False
        assert ended.phase is (Phase.ROLLED_BACK if share else Phase.SUCCEEDED)
        assert story.flags.flags[FLAG].exposure == (0 if share else 100)
        if share:
            assert story.flags.flags[FLAG] == before
        assert len(await story.store.proofs("shop", "production")) == 1

    told(tell)


def test_a_kill_switch_is_a_rollout_that_only_turns_a_flag_off() -> None:
    async def tell(story: Story) -> None:
        code = await story.stands("v2")
        story.flags.by_hand(FLAG, BEFORE)
        ended = await story.ends(await story.deploy(alone(code, replace(USE, ramp=()))))
        assert (ended.phase, story.flags.exposure(FLAG)) == (Phase.SUCCEEDED, 0)

    told(tell)


def alone(code: Any, use: FlagUse) -> Stage:
    return stage(code, code, StrategyName.FLAG, replace(HASTY, flags=(use,), staged=False))


class Killed(BaseException):
    """The keeper dies here."""


async def moments(story: Story) -> list[str]:
    """Return every call on the flags' keeper in a rollout that is bad at 25 % and whose code is bad, too."""
    await story.ends(await begun(story, share=0.3, from_percent=25))
    return story.flags.calls


def test_a_keeper_killed_between_any_two_calls_ends_with_the_flags_as_they_were_or_off() -> None:
    for number in range(len(told_calls())):
        told(partial(killed_at, number=number))


def told_calls() -> list[str]:
    found: list[str] = []

    async def tell(story: Story) -> None:
        found.extend(call for call in await moments(story) if not call.startswith("look"))

    told(tell)
    return found


async def killed_at(story: Story, number: int) -> None:
    """Have the engine stop at the so-manieth call, and another one go on."""
    count = 0

    def stop_there(call: str) -> None:
        nonlocal count
        if call.startswith("look"):
            return
        count += 1
        if count == number + 1:
            raise Killed

    planned = await story.ready(StrategyName.CANARY, replace(HASTY, flags=(USE,)))
    flags = Exposing(story, 0.3, 25)
    flags.by_hand(FLAG, BEFORE)
    flags.before_call = stop_there
    story.flags = flags
    story.new_engine()
    run = await story.deploy(planned)
    await story.until(lambda: count > number)
    await story.engine.stop()
    story.new_engine()
    await story.engine.resume()
    ended = await story.ends(run)
    assert ended.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK)
    assert flags.exposure(FLAG) == 0 if ended.phase is Phase.SUCCEEDED else flags.flags[FLAG] == BEFORE


def test_the_eye_and_the_puller_have_deadlines() -> None:
    assert eye.LOOK_EVERY < eye.TOO_OLD
    assert puller.AGAIN_AT_MOST < puller.ANSWERS_WITHIN
    assert SetFlag(FLAG, 5).within > timedelta(0)


OFF_BEFORE = stood(enabled=False, percentage=10, constraints=BEFORE.constraints)


async def at_5(story: Story, use: FlagUse = USE) -> str:
    """Have the rollout watch the flag at 5 %."""
    run = await begun(story, use)
    await story.until(lambda: story.flags.exposure(FLAG) == 5)
    await story.until(lambda: isinstance(present(story), Watch))
    return run


def present(story: Story) -> Step | None:
    """Return the step at which the one rollout under way is."""
    return next((one.rollout.next_step for one in story.engine._drives.values()), None)


def wants(percentage: int = 0) -> Toggle:
    """Return what `interlock flag set` asks for."""
    return Toggle("shop", "production", FLAG, Action.DISABLE if not percentage else Action.UPDATE, percentage, "ada")


async def asked(story: Story, wanted: Toggle) -> None:
    await toggle(story.engine._ports, wanted, story.engine.turned_off)


def test_what_a_person_turned_off_stays_off_when_everything_else_is_put_back_and_the_record_says_who() -> None:
    async def tell(story: Story) -> None:
        run = await at_5(story)
        story.flags.by_hand(FLAG, replace(story.flags.flags[FLAG], enabled=False, native="by hand"))
        await story.world.sleep(timedelta(seconds=5))
        await story.order(run, OrderKind.ABORT)
        ended = await story.ends(run)
        assert ended.phase is Phase.ROLLED_BACK
        assert story.flags.flags[FLAG] == OFF_BEFORE, "as it stood, but for being on"
        assert [(one.before, one.now, one.off_by) for one in ended.flags] == [(BEFORE, OFF_BEFORE, "somebody else")]
        assert story.flags.peak(FLAG) == 5, "not even for a moment as it stood"
        last = (await entries(story, ended, "flag"))[-1]
        assert last["off_by"] == "somebody else"

    told(tell)


def test_one_that_is_on_again_by_hand_is_put_back_as_it_stood() -> None:
    async def tell(story: Story) -> None:
        run = await at_5(story)
        ours = story.flags.flags[FLAG]
        story.flags.by_hand(FLAG, replace(ours, enabled=False, native="by hand"))
        await story.world.sleep(timedelta(seconds=5))
        story.flags.by_hand(FLAG, ours)
        await story.world.sleep(timedelta(seconds=5))
        await story.order(run, OrderKind.ABORT)
        ended = await story.ends(run)
        assert story.flags.flags[FLAG] == BEFORE
        assert ended.flags[0].off_by == ""

    told(tell)


def test_one_that_a_person_turns_off_while_it_is_being_given_to_users_is_not_turned_on_again() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        await story.world.sleep(timedelta(seconds=1))
        story.flags.by_hand(FLAG, replace(story.flags.flags[FLAG], enabled=False, native="by hand"))
        since = story.flags.changes[-1].at
        ended = await story.ends(run)
        assert (ended.phase, story.flags.exposure(FLAG)) == (Phase.SUCCEEDED, 0)
        assert "turned off by somebody else" in ended.retracted
        assert story.flags.peak(FLAG, since) == 0

    told(tell)


def test_one_that_a_person_turns_off_right_before_it_is_to_go_up_is_not_turned_on_again() -> None:
    async def tell(story: Story) -> None:
        run = await at_5(story)
        at: list[float] = []

        def off_in_the_last_moment(call: str) -> None:
            step = present(story)
            if not at and isinstance(step, SetFlag) and step.percentage == 25:
                at.append(story.world.monotonic())
                story.flags.by_hand(FLAG, replace(story.flags.flags[FLAG], enabled=False, native="by hand"))

        story.flags.before_call = off_in_the_last_moment
        held = await story.until_phase(run, Phase.WAITING, within=60)
        assert "somebody else: it is disabled at 5%" in held.reason
        await story.order(run, OrderKind.ABORT)
        await story.ends(run)
        assert story.flags.flags[FLAG] == OFF_BEFORE
        assert story.flags.peak(FLAG) == 5

    told(tell)


def test_a_server_that_was_not_heard_for_a_moment_when_a_flag_is_to_go_up_is_no_reason_to_take_it_back() -> None:
    async def tell(story: Story) -> None:
        run = await at_5(story)
        left = 3

        def down_at_first(call: str) -> None:
            nonlocal left
            step = present(story)
            if left and call.startswith("look") and isinstance(step, SetFlag) and step.percentage == 25:
                left -= 1
                raise FlagsError("down")

        story.flags.before_call = down_at_first
        ended = await story.ends(run)
        assert (left, ended.phase, ended.retracted) == (0, Phase.SUCCEEDED, "")
        assert story.flags.exposure(FLAG) == 100
        assert (ended.since - ended.started) < timedelta(minutes=5)

    told(tell)


def test_a_person_who_turns_off_a_flag_pauses_the_rollout_that_has_it_and_resuming_goes_on_without_it() -> None:
    async def tell(story: Story) -> None:
        run = await at_5(story)
        await asked(story, wants())
        paused = await story.until_phase(run, Phase.PAUSED)
        assert paused.reason == "paused by ada: flag new_feature was turned off"
        since = story.flags.changes[-1].at
        await story.order(run, OrderKind.RESUME)
        ended = await story.ends(run)
        assert (ended.phase, ended.quarantine) == (Phase.SUCCEEDED, False)
        assert ended.retracted == "flag new_feature was turned off by ada, resumed by ada"
        assert (story.flags.exposure(FLAG), story.flags.peak(FLAG, since)) == (0, 0)
        assert await proven(story) == "production-v2"

    told(tell)


def test_one_that_is_off_already_and_was_to_go_up_later_does_not_when_a_person_turns_it_off() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story)
        await story.until(lambda: story.world.weight("production") > 0)
        await asked(story, wants())
        await story.until_phase(run, Phase.PAUSED)
        await story.order(run, OrderKind.RESUME)
        ended = await story.ends(run)
        assert (ended.phase, await proven(story)) == (Phase.SUCCEEDED, "production-v2")
        assert "ada turned it off" in ended.retracted
        assert (story.flags.exposure(FLAG), story.flags.peak(FLAG)) == (0, 0)

    told(tell)


def test_what_a_person_turned_off_may_be_put_back_as_the_rollout_had_it_and_nothing_else() -> None:
    async def tell(story: Story) -> None:
        run = await at_5(story)
        await asked(story, wants())
        await story.until_phase(run, Phase.PAUSED)
        with pytest.raises(FlagHeld):
            await asked(story, wants(25))
        await asked(story, wants(5))
        await story.world.sleep(timedelta(seconds=5))
        await story.order(run, OrderKind.RESUME)
        ended = await story.ends(run)
        assert (ended.phase, ended.retracted, story.flags.exposure(FLAG)) == (Phase.SUCCEEDED, "", 100)

    told(tell)


def test_a_flag_that_is_turned_off_while_everything_goes_back_stays_off() -> None:
    async def tell(story: Story) -> None:
        run = await at_5(story)
        await story.order(run, OrderKind.ABORT)
        await story.until_phase(run, Phase.ROLLING_BACK)
        await asked(story, wants())
        ended = await story.ends(run)
        assert (ended.phase, story.flags.flags[FLAG]) == (Phase.ROLLED_BACK, OFF_BEFORE)

    told(tell)


def test_a_flag_that_somebody_archives_on_the_way_is_off_and_is_left_so() -> None:
    async def tell(story: Story) -> None:
        run = await begun(story)
        await story.until(lambda: story.flags.exposure(FLAG) == 5)
        await story.world.sleep(timedelta(seconds=5))
        del story.flags.flags[FLAG]
        held = await story.until_phase(run, Phase.WAITING, within=60)
        assert "cannot be seen" in held.reason and "there is none of that name" in held.reason
        await story.order(run, OrderKind.ABORT)
        ended = await story.ends(run, within=120)
        assert ended.phase is Phase.ROLLED_BACK, ended.reason
        assert FLAG not in story.flags.flags
        said = [one.text for one in await story.store.entries(ended.id)]
        assert any("is gone: somebody has archived or deleted it" in text for text in said)

    told(tell)
