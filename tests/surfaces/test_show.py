"""Are lines, bars, waits, documents and plans what the run says?"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.engine.stories import revision, stage, staging
from tests.surfaces.worlds import TALES, seen

from interlock.app import waits
from interlock.app.endings import ending
from interlock.app.words import brief, percent
from interlock.core.criteria import Criteria
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.engine.drive import PAUSED_AT_MOST
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.show import document, evidence
from interlock.surfaces.cli.show.endings import status
from interlock.surfaces.cli.show.lines import PROGRESS_EVERY, Log
from interlock.surfaces.cli.show.plan import document as plan_document
from interlock.surfaces.cli.show.plan import lines as plan_lines
from interlock.surfaces.cli.show.trend import LEVELS, trend

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("watched", Exit.OK),
        ("succeeded", Exit.OK),
        ("promoted", Exit.OK),
        ("rolled back", Exit.ROLLED_BACK),
        ("quarantined", Exit.BLOCKED),
        ("failed", Exit.UNVERIFIED),
    ],
)
def test_each_end_has_its_exit_status(name: str, expected: Exit) -> None:
    assert status(seen(name)[0]) is expected


def test_an_ending_says_what_runs_now_and_what_to_do() -> None:
    assert ending(seen("succeeded")[0]).startswith("2 runs in production, 2 min ")
    assert "1 step unproven" in ending(seen("promoted")[0])
    back = ending(seen("rolled back")[0])
    assert "production runs 1 again" in back
    assert "in quarantine" in back
    assert "interlock report shop-2 --incident" in back
    assert "interlock abort shop-2" in ending(seen("failed")[0])
    assert "no user reached it: gate: not quarantined" in ending(seen("quarantined")[0])


def test_a_log_says_everything_once() -> None:
    view, now = seen("rolled back")
    log = Log()
    first = [str(line) for line in log.news(view, now)]
    assert any("production ✔ 6/16 weight 10 %: observed" in line for line in first)
    assert any("production ← going back: " in line for line in first)
    assert any("✔ back 2/5 traffic back on production-1" in line for line in first)
    assert log.news(view, now) == []


def test_a_step_begins_after_the_one_before_has_ended_whatever_the_clock_says() -> None:
    view, now = seen("watched")
    id = view.current.id
    late = tuple(replace(entry, at=entry.at + timedelta(hours=1)) for entry in view.entries[id])
    lines = [str(line) for line in Log().news(replace(view, entries={**view.entries, id: late}), now)]
    done = next(place for place, line in enumerate(lines) if "✔ 6/16" in line)
    assert done < next(place for place, line in enumerate(lines) if "→ 7/16" in line)


def test_a_step_that_the_journal_knows_the_end_of_does_not_begin_after_it() -> None:
    """The journal is read after the keeper was asked: what it told may be a step behind."""
    view, now = seen("watched")
    behind = replace(view.current, index=view.current.index - 1)
    view = replace(view, rollouts=(*view.rollouts[:-1], behind))
    lines = [str(line) for line in Log().news(view, now)]
    assert any("✔ 6/16" in line for line in lines)
    assert not any("→ 6/16" in line for line in lines)


def test_a_log_says_that_a_watch_goes_on_once_a_minute() -> None:
    view, now = seen("watched")
    log = Log()
    assert "→ 7/16 watch 1 min, until proven" in str(log.news(view, now)[-1])
    assert log.news(view, now + PROGRESS_EVERY / 2) == []
    (line,) = log.news(view, now + PROGRESS_EVERY)
    assert re.search(r"◌ \d+ s observed, 1 min wanted, ", str(line))
    assert "requests, 0 failed" in str(line)
    assert "odds for " in str(line)


def test_a_log_says_when_the_keeper_goes_and_comes() -> None:
    view, now = seen("watched")
    log = Log()
    log.news(view, now)
    gone = replace(view, keeper=False)
    assert ["no keeper answers" in str(line) for line in log.news(gone, now)] == [True]
    assert log.news(gone, now) == []
    assert ["answers again" in str(line) for line in log.news(view, now)] == [True]


def test_a_hold_is_said_once_though_the_journal_and_the_rollout_both_have_it() -> None:
    view, now = seen("paused")
    lines = [str(line) for line in Log().news(view, now)]
    assert len([line for line in lines if "lunch" in line]) == 1


@pytest.mark.parametrize("name", TALES)
def test_documents_are_json_with_a_type(name: str) -> None:
    view, now = seen(name)
    run = json.loads(json.dumps(document.run(view, now), allow_nan=False))
    assert run["type"] == "run"
    assert [one["environment"] for one in run["rollouts"]] == [one.stage.environment for one in view.rollouts]
    for line in Log().news(view, now):
        told = json.loads(json.dumps(document.line(line, view.run), allow_nan=False))
        assert told["type"] == "event"
    assert document.end(view)["type"] == "end"


def test_a_bar_grows_to_the_side_that_the_odds_are_for() -> None:
    criteria = Criteria()
    assert evidence.bar({"odds_against": 1.0, "odds_for": 1.0}, criteria) == "░░░░░░░░│░░░░░░░░"
    assert evidence.bar({"odds_against": 0.1, "odds_for": 20.0}, criteria) == "░░░░░░░░│████████"
    assert evidence.bar({"odds_against": 10.0, "odds_for": 0.5}, criteria) == "░░░░████│░░░░░░░░"
    assert evidence.bar({"odds_against": 1e9, "odds_for": 0.5}, criteria) == "████████│░░░░░░░░"


def point(canary: tuple[float, float | None, float | None]) -> dict[str, object]:
    return {"at": "", "seconds": 5.0, "canary": canary, "stable": (100.0, 0.0, 20.0)}


def test_a_trend_has_one_scale_for_both_sides_and_gaps_where_nothing_was_asked() -> None:
    points = [point((0.0, None, None)), point((100.0, 0.5, 40.0)), point((100.0, 0.0, float("inf")))]
    rate, stable, p99, _, foot = trend(points, 20, ("canary", "stable"))
    assert rate == "error rate canary ·█▁ 0 %  (scale 0 to 50 %)"
    assert stable == "           stable ▁▁▁ 0 %"
    assert p99 == "p99        canary ·██ off the scale  (scale 0 to 40 ms)"
    assert foot.endswith("a column is 5 s, the newest at the right")


def test_many_samples_share_the_columns_there_are() -> None:
    lines = trend([point((10.0, 0.0, 20.0))] * 240, 60, ("canary",))
    assert lines[0].count(LEVELS[0]) == 60
    assert "a column is 20 s" in lines[-1]


def test_a_pause_lasts_as_long_as_the_engine_lets_it() -> None:
    assert waits.PAUSED_AT_MOST == PAUSED_AT_MOST
    view, now = seen("paused")
    wait = waits.waits(view.current, now)
    assert wait.until == view.current.since + PAUSED_AT_MOST
    assert wait.orders == ("resume", "abort")


def test_nothing_is_waited_for_at_the_end() -> None:
    view, now = seen("succeeded")
    assert waits.waits(view.current, now).what == ""
    going_back, now = seen("going back")
    assert waits.waits(going_back.current, now).orders == ()
    assert going_back.current.phase is Phase.ROLLING_BACK


def a_plan() -> Plan:
    stages = (staging("2", revision("1", "staging", 1)), stage(revision("2"), revision("1")))
    return Plan("shop", "2", stages, NOON)


def test_a_plan_shows_every_step_the_whole_rollback_and_what_it_replaces() -> None:
    plan = a_plan()
    text = "\n".join(plan_lines(plan, {"production": [("TOKEN", "env:SHOP_TOKEN")]}, 80))
    for one in plan.stages:
        assert all(str(step) in text for step in (*one.steps, *one.rollback))
    assert "- production-1: 1" in text
    assert "secret TOKEN from env:SHOP_TOKEN" in text
    assert "~ weight 10 % (within 30 s)" in text
    assert plan.hash in text
    assert text.splitlines()[-1].startswith("Plan: staging then production, 25 steps, 2 min 35 s at best, ")


def test_a_plan_shows_what_load_is_sent_and_how_long_it_takes() -> None:
    text = "\n".join(plan_lines(seen("by load")[0].plan, {}, 80))
    load = "synthetic load: 2,000 requests to production-2 and to production-1, 20/s each"
    assert f"  {load} (takes 1 min 40 s, at most 4 min 20 s)" in text
    assert "2 min 35 s" not in text.splitlines()[-1], "both loads take their time"


def test_a_load_that_goes_on_is_told_by_its_own_requests() -> None:
    view, now = seen("loading")
    wait = waits.waits(view.current, now)
    assert wait.what == "2,000 synthetic requests to production-2 and to production-1"
    assert wait.until is not None and wait.orders == ("pause", "abort")
    log = Log()
    log.news(view, now)
    (line,) = log.news(view, now + PROGRESS_EVERY)
    assert re.search(r"◌ (1,0\d\d|9\d\d) of 2,000 synthetic requests sent, 0 failed", str(line))
    (one,) = [rollout for rollout in document.run(view, now)["rollouts"] if rollout["environment"] == "production"]
    assert 900 < one["load"]["step"]["canary"]["started"] < 1100


def test_a_plan_for_programs_has_a_type_and_the_same_hash() -> None:
    told = json.loads(json.dumps(plan_document(a_plan(), {}), allow_nan=False))
    assert (told["type"], told["hash"]) == ("plan", a_plan().hash)


def test_long_durations_are_written_by_their_two_largest_units() -> None:
    assert brief(timedelta(hours=2, minutes=3, seconds=4)) == "2 h 3 min"
    assert brief(timedelta(days=3, hours=5, minutes=6)) == "3 d 5 h"
    assert brief(timedelta(seconds=0.4)) == "0 s"
    assert percent(1e-12) == "0 %"
