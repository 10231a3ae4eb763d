"""Does every judged rollout leave a recording, and do the same rules say the same of it again?"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import zip_longest

import pytest
from tests.engine.stories import BAD, QUICK, Story, busy, play
from tests.engine.test_flags import begun

from interlock.adapters.memory import Behaviour, World
from interlock.adapters.recordings.memory import MemoryRecordings
from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.curves import curves_of
from interlock.core.events import OrderKind
from interlock.core.load import Recipe
from interlock.core.plan import StrategyName
from interlock.core.recording import Loaded, Recording, Resumed, Sampled, Voided, read
from interlock.core.replay import replay, what_happened
from interlock.core.steps import Load, Watch
from interlock.core.trial import Happening, What
from interlock.core.weight import ALL, Weight
from interlock.engine.engine import Engine
from interlock.engine.recorder import KEEP

NAME, NEW = "shop-1-production", "production-v2"
CANARY = StrategyName.CANARY
SHORT = replace(QUICK, weights=(Weight(500), ALL), hold_at_most=timedelta(minutes=3))
LOADED = replace(
    QUICK, load=Recipe(rate=40, requests=2400), load_before=QUICK.weights[:2], hold_at_most=timedelta(minutes=3)
)


@dataclass
class Recorded(Story):
    """A world in which rollouts are recorded."""

    recordings: MemoryRecordings = field(default_factory=MemoryRecordings)

    def new_engine(self) -> Engine:
        plain = super().new_engine()
        self.engine = Engine(replace(plain._ports, recordings=self.recordings), "keeper")
        return self.engine

    async def deploys(self, strategy: StrategyName = CANARY, instances: int = 2, **more: object) -> str:
        """Begin to replace v1 by v2; return the run."""
        settings = {"pace": QUICK, **more}
        return await self.deploy(await self.ready(strategy, instances=instances, **settings))  # type: ignore[arg-type]


Tale = Callable[[Recorded], Awaitable[None]]


def record(tell: Tale, world: World | None = None, recordings: MemoryRecordings | None = None) -> Recording:
    """Play a story in which a rollout is recorded; return its recording."""
    kept = recordings or MemoryRecordings()

    async def told(story: Story) -> None:
        await tell(Recorded(story.world, story.store, recordings=kept))

    play(told, world)
    return read(NAME, kept.read(NAME))


def decisions(happenings: Sequence[Happening]) -> list[Happening]:
    return [one for one in happenings if one.what is not What.HELD]


def check_the_same(recording: Recording) -> What:
    """Check that a replay by the recording's own criteria decides as the rollout did; return how it ended."""
    then, now = decisions(what_happened(recording)), decisions(replay(recording).happenings)
    for one, other in zip_longest(then, now):
        assert one is not None and other is not None, (then, now)
        assert (one.what, one.weight, one.index) == (other.what, other.weight, other.index), (then, now)
        assert abs(one.seconds - other.seconds) <= 1.0, "the engine looks once a second"
        assert abs(one.requests - other.requests) <= 0.02 * one.requests + 1
    return now[-1].what


async def good(story: Recorded) -> None:
    await story.ends(await story.deploys())


async def bad(story: Recorded) -> None:
    story.world.behaviours[NEW] = Behaviour(error_rate=0.04)
    await story.ends(await story.deploys())


async def slow(story: Recorded) -> None:
    story.world.behaviours[NEW] = Behaviour(latency_ms=80)
    await story.ends(await story.deploys())


async def bad_at_half(story: Recorded) -> None:
    run = await story.deploys()
    await story.reaches(run, Weight(5000))
    await story.world.sleep(timedelta(seconds=12.3))
    story.world.behaviours[NEW] = Behaviour(error_rate=0.1)
    await story.ends(run)


async def rolling(story: Recorded) -> None:
    await story.ends(await story.deploys(StrategyName.ROLLING, instances=4))


async def blue_green(story: Recorded) -> None:
    await story.ends(await story.deploys(StrategyName.BLUE_GREEN))


async def held_in_vain(story: Recorded) -> None:
    story.world.requests_per_second = 1
    await story.ends(await story.deploys(pace=SHORT))


async def unproven_by_policy(story: Recorded) -> None:
    story.world.requests_per_second = 1
    criteria = Criteria(without_proof=WithoutProof.ADVANCE)
    await story.ends(await story.deploys(pace=SHORT, criteria=criteria))


async def gone_blind(story: Recorded) -> None:
    run = await story.deploys()
    await story.reaches(run, Weight(1000))
    await story.world.sleep(timedelta(seconds=12.3))
    story.world.blind = True
    await story.ends(run)


async def killed(story: Recorded) -> None:
    run = await story.deploys()
    await story.reaches(run, Weight(1000))
    await story.world.sleep(timedelta(seconds=47.3))
    await story.engine.stop()
    await story.world.sleep(timedelta(seconds=7))
    story.new_engine()
    await story.engine.resume()
    await story.ends(run)


async def paused(story: Recorded) -> None:
    run = await story.deploys()
    await story.reaches(run, Weight(1000))
    await story.world.sleep(timedelta(seconds=17.3))
    await story.order(run, OrderKind.PAUSE)
    await story.world.sleep(timedelta(seconds=77.7))
    await story.order(run, OrderKind.RESUME)
    await story.ends(run)


async def proven_by_load(story: Recorded) -> None:
    story.world.requests_per_second = 0.5
    await story.ends(await story.deploys(pace=LOADED))


async def bad_under_load(story: Recorded) -> None:
    story.world.requests_per_second = 0.5
    story.world.behaviours[NEW] = Behaviour(error_rate=0.05)
    await story.ends(await story.deploys(pace=LOADED))


async def bad_under_the_second_load(story: Recorded) -> None:
    story.world.requests_per_second = 0.5
    run = await story.deploys(pace=LOADED)
    await story.reaches(run, Weight(1000))
    await story.world.sleep(timedelta(seconds=12.3))
    story.world.behaviours[NEW] = Behaviour(error_rate=0.05)
    await story.ends(run)


async def loaded_before_the_first_weight_alone(story: Recorded) -> None:
    story.world.requests_per_second = 0.5
    await story.ends(await story.deploys(pace=replace(LOADED, load_before=QUICK.weights[:1])))


async def given_up_by_stable(story: Recorded) -> None:
    story.world.requests_per_second = 0.5
    pace = replace(LOADED, load_before=QUICK.weights[:1])
    planned = await story.ready(CANARY, instances=2, pace=pace)
    story.world.behaviours["production-v1"] = Behaviour(error_rate=0.1)
    await story.ends(await story.deploy(planned))


@pytest.mark.parametrize(
    ("tale", "ends"),
    [
        (good, What.THROUGH),
        (bad, What.ROLLED_BACK),
        (slow, What.ROLLED_BACK),
        (bad_at_half, What.ROLLED_BACK),
        (rolling, What.THROUGH),
        (blue_green, What.THROUGH),
        (held_in_vain, What.NO_PROOF),
        (unproven_by_policy, What.THROUGH),
        (gone_blind, What.NO_PROOF),
        (killed, What.THROUGH),
        (paused, What.THROUGH),
        (proven_by_load, What.THROUGH),
        (bad_under_load, What.ROLLED_BACK),
        (bad_under_the_second_load, What.ROLLED_BACK),
        (loaded_before_the_first_weight_alone, What.NO_PROOF),
        (given_up_by_stable, What.NO_PROOF),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_recording_judged_again_by_its_own_criteria_decides_as_the_rollout_did(tale: Tale, ends: What) -> None:
    assert check_the_same(record(tale)) is ends
    if tale is good:
        assert check_the_same(record(tale, busy())) is ends


@pytest.mark.parametrize("after", [3.1, 20.7, 60.9, 62.05, 70, 97, 121])
@pytest.mark.parametrize("error_rate", [0.0, 0.022])
def test_a_keeper_killed_at_any_moment_leaves_a_recording_that_decides_as_it_did(
    after: float, error_rate: float
) -> None:
    async def tale(story: Recorded) -> None:
        story.world.behaviours[NEW] = Behaviour(error_rate=error_rate)
        run = await story.deploys()
        await story.world.sleep(timedelta(seconds=after))
        await story.engine.stop()
        await story.world.sleep(timedelta(seconds=12))
        story.new_engine()
        await story.engine.resume()
        await story.ends(run)

    assert check_the_same(record(tale)) in (What.THROUGH, What.ROLLED_BACK)


@pytest.mark.parametrize("after", [2.1, 17.4, 31.8, 59.9, 64, 70, 127, 150])
@pytest.mark.parametrize("error_rate", [0.0, 0.04])
def test_a_keeper_killed_while_a_load_is_sent_leaves_a_recording_that_decides_as_it_did(
    after: float, error_rate: float
) -> None:
    async def tale(story: Recorded) -> None:
        story.world.requests_per_second = 0.5
        run = await story.deploys(pace=LOADED)
        await story.world.sleep(timedelta(seconds=after))
        story.world.behaviours[NEW] = Behaviour(error_rate=error_rate)
        await story.engine.stop()
        await story.world.sleep(timedelta(seconds=12))
        story.new_engine()
        await story.engine.resume()
        await story.ends(run)

    ends = check_the_same(record(tale))
    assert ends is What.THROUGH if not error_rate else ends in (What.ROLLED_BACK, What.NO_PROOF)


def test_what_a_load_has_proven_is_proven_again_and_shown_over_time() -> None:
    recording = record(proven_by_load)
    loads = [line for _, line in recording.lines if isinstance(line, Loaded)]
    assert [line.anew for line in loads].count(True) == len({line.index for line in loads}) == 2
    assert sum(line.sample.canary.completed for line in loads if line.sample.canary) == pytest.approx(4800)
    assert all(line.sample.canary.completed < 10 for _, line in recording.sampled if line.sample.canary)
    advanced = [one for one in replay(recording).happenings if one.what is What.ADVANCED]
    assert all(one.text.startswith("proven by synthetic load, not by users") for one in advanced)
    curves = curves_of(recording)
    assert max(value or 0 for _, value in curves.in_favour) >= curves.proves


def test_steps_without_the_load_hold_and_steps_with_a_load_that_was_not_sent_say_so() -> None:
    recording = record(proven_by_load)
    begun = recording.begun
    without = tuple(step for step in begun.steps if not isinstance(step, Load))
    replayed = replay(recording, begun.criteria, without)
    assert What.HELD in [one.what for one in replayed.happenings]
    assert "the one that was recorded is left out" in replayed.notes[0]
    unsent = replace(recording, lines=tuple(line for line in recording.lines if not isinstance(line[1], Loaded)))
    assert "none was recorded" in replay(unsent).notes[0]


def test_a_load_that_was_not_what_was_planned_proves_nothing_again() -> None:
    recording = record(given_up_by_stable)
    assert any(isinstance(line, Voided) for _, line in recording.lines)


def test_it_says_how_the_rollout_advanced_where_nothing_was_proven() -> None:
    recording = record(unproven_by_policy)
    for happenings in (what_happened(recording), replay(recording).happenings):
        assert [one.what for one in decisions(happenings)][:2] == [What.WEIGHT, What.UNPROVEN]


def test_other_criteria_decide_otherwise_and_say_why() -> None:
    recording = record(bad)
    lenient = replay(recording, replace(Criteria(), error_rate=0.2))
    assert what_happened(recording)[-1].what is What.ROLLED_BACK
    assert lenient.outcome.what is What.UNDECIDED, "the recording ends where the rollout was taken back"
    strict = replay(record(good), replace(Criteria(), latency_p99=timedelta(milliseconds=15)))
    assert strict.outcome.what is What.ROLLED_BACK
    assert "took longer than" in strict.outcome.text


def test_a_longer_bake_is_filled_with_what_was_seen_at_the_next_weight_and_that_is_said() -> None:
    recording = record(good)
    begun = recording.begun
    steps = tuple(
        replace(step, duration=timedelta(seconds=90)) if index == 6 and isinstance(step, Watch) else step
        for index, step in enumerate(begun.steps)
    )
    replayed = replay(recording, begun.criteria, steps)
    first = next(one for one in replayed.happenings if one.what is What.ADVANCED)
    assert 90 <= first.seconds <= 97
    assert replayed.notes and "at 10 % was recorded at another weight" in replayed.notes[0]


def test_a_keeper_that_takes_over_counts_no_sample_twice() -> None:
    kept = MemoryRecordings()
    recording = record(killed, recordings=kept)
    assert any(isinstance(line, Resumed) for _, line in recording.lines)
    ends = [line.sample.monotonic for _, line in recording.sampled]
    begins = [line.sample.monotonic - line.sample.covers.total_seconds() for _, line in recording.sampled]
    assert all(begin >= end - 1e-6 for end, begin in zip(ends, begins[1:], strict=False)), "no time is covered twice"
    assert len(recording.sampled) < sum(isinstance(line, Sampled) for _, line in recording.lines)


def test_a_full_disk_stops_no_rollout_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    kept = MemoryRecordings()

    async def filled(story: Recorded) -> None:
        run = await story.deploys()
        await story.reaches(run, Weight(1000))
        await story.world.sleep(timedelta(seconds=20))
        kept.full = True
        await story.reaches(run, Weight(5000))
        kept.full = False
        ended = await story.ends(run)
        assert ended.phase == "succeeded"

    with caplog.at_level(logging.WARNING, "interlock.engine.recorder"):
        recording = record(filled, recordings=kept)
    assert sum("is not recorded" in line.message for line in caplog.records) == 1
    assert check_the_same(recording) is What.THROUGH, "what could not be written was kept, and written later"


def test_a_disk_that_stays_full_leaves_no_recording_and_a_rollout_all_the_same() -> None:
    kept = MemoryRecordings()
    kept.full = True

    async def full(story: Story) -> None:
        recorded = Recorded(story.world, story.store, recordings=kept)
        recorded.world.behaviours[NEW] = BAD
        assert (await recorded.ends(await recorded.deploys())).phase == "rolled back"

    play(full)
    assert kept.names() == ()


def test_a_rollout_that_nobody_judges_is_not_recorded() -> None:
    kept = MemoryRecordings()

    async def unjudged(story: Story) -> None:
        recorded = Recorded(story.world, story.store, recordings=kept)
        assert (await recorded.ends(await recorded.deploys(criteria=None))).phase == "succeeded"

    play(unjudged)
    assert kept.names() == ()


def test_only_the_newest_recordings_are_kept() -> None:
    kept = MemoryRecordings()
    for number in range(KEEP + 5):
        kept.add(f"shop-0-{number}", ("{}",))
    record(good, recordings=kept)
    assert len(kept.names()) == KEEP
    assert kept.names()[0] == NAME and "shop-0-5" not in kept.names()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_rollout_with_a_flag_is_judged_again_as_it_was(share: float) -> None:
    async def tell(story: Recorded) -> None:
        ended = await story.ends(await begun(story, share=share, from_percent=25))
        assert bool(ended.retracted) is bool(share)

    recording = record(tell, busy())
    then = decisions(what_happened(recording))[-1]
    now = decisions(replay(recording).happenings)[-1]
    assert then.what is now.what is (What.ROLLED_BACK if share else What.THROUGH)
