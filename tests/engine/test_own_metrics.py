"""Is a release taken back, or held, by what only the application itself counts?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.engine.stories import HASTY, Story, busy, play

from interlock.adapters.memory import Behaviour
from interlock.core.criteria import Criteria
from interlock.core.judge.baseline import Baseline, History
from interlock.core.metric import Counted, Metric, Prometheus, Ratio, Series
from interlock.core.plan import StrategyName
from interlock.core.record import plain
from interlock.core.sample import Side
from interlock.core.weight import Weight

CHECKOUTS = Metric("failed-checkouts", 0.01, Ratio(Series("failures_total"), Series("checkouts_total")))
CRITERIA = Criteria(metrics=(CHECKOUTS,), sample_every=timedelta(seconds=1))


def test_a_release_whose_checkouts_fail_at_status_200_is_taken_back_and_quarantined() -> None:
    async def tell(story: Story) -> None:
        todo = await story.ready(StrategyName.CANARY, criteria=CRITERIA)
        story.world.behaviours["production-v2"] = Behaviour(bad_events=0.2)
        ended = await story.ends(await story.deploy(todo))
        assert (ended.phase, ended.quarantine) == ("rolled back", True)
        assert "failures_total of checkouts_total" in ended.reason

    play(tell, busy())


def test_a_release_whose_checkouts_are_well_goes_through() -> None:
    async def tell(story: Story) -> None:
        ended = await story.ends(await story.deploy(await story.ready(StrategyName.CANARY, criteria=CRITERIA)))
        assert ended.phase == "succeeded", ended.reason

    play(tell, busy())


def test_a_metric_that_no_instance_shows_holds_the_release_with_the_reason_and_then_takes_it_back() -> None:
    async def tell(story: Story) -> None:
        story.world.unshown = {CHECKOUTS.name}
        ended = await story.ends(await story.deploy(await story.ready(StrategyName.CANARY, criteria=CRITERIA)))
        assert (ended.phase, ended.quarantine) == ("rolled back", False)
        assert "failed-checkouts of the canary has not been seen" in ended.reason

    play(tell, busy())


def test_what_somebody_else_counts_is_never_mixed_with_what_the_proxy_counted_before() -> None:
    async def tell(story: Story) -> None:
        source = Prometheus("http://prom.example")
        counted = Counted(source, Series("requests_total"), Series("failures_total"), Series("request_seconds"))
        pace = replace(HASTY, first_bake=timedelta(minutes=10))
        todo = await story.ready(StrategyName.CANARY, pace, criteria=replace(CRITERIA, metrics=(), counted=counted))
        known = History().add(Side(9000, 9000, 90), timedelta(minutes=5))
        await story.store.remember("production", {"history": plain(known)})
        run = await story.deploy(todo)
        await story.reaches(run, Weight(2000))
        await story.world.sleep(timedelta(seconds=60))
        (sentinel,) = [drive.sentinel for drive in story.engine._drives.values()]
        assert sentinel.tally.before == Baseline() and sentinel.tally.stable.completed > 0
        assert sentinel.history == known and not sentinel.share.canary

    play(tell, busy())


def test_evidence_kept_under_other_criteria_is_not_gone_on_with_by_the_next_owner() -> None:
    """As after a change by hand: whatever was kept, the next owner judges by the plan's criteria and afresh."""

    async def tell(story: Story) -> None:
        pace = replace(HASTY, first_bake=timedelta(minutes=10))
        run = await story.deploy(await story.ready(StrategyName.CANARY, pace, criteria=CRITERIA))
        rollout = await story.reaches(run, Weight(2000))
        await story.world.sleep(timedelta(seconds=60))
        kept = await story.store.last_checkpoint(rollout.id)
        assert kept is not None
        kept = {**kept, "evidence": {**kept["evidence"], "criteria": {**kept["evidence"]["criteria"], "alpha": 0.5}}}
        await story.engine.stop()
        epoch = await story.store.claim(rollout.id, "somebody")
        await story.store.checkpoint(rollout.id, epoch, kept)
        engine = story.new_engine()
        await engine.resume()
        await story.world.sleep(timedelta(seconds=3))
        (sentinel,) = [drive.sentinel for drive in engine._drives.values()]
        assert sentinel.evidence.criteria == CRITERIA
        assert sentinel.evidence.sight.now < 10
        assert (await story.ends(run)).phase == "succeeded"

    play(tell, busy())
