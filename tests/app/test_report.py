"""Is a secret out of a report even when a program has told it?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.engine.stories import HASTY, Story, busy, revision, stage, staging
from tests.engine.test_recordings import Recorded

from interlock.adapters.memory import run
from interlock.adapters.recordings.files import RecordingFiles
from interlock.adapters.recordings.memory import MemoryRecordings
from interlock.app.report import recorded, report
from interlock.app.view import View
from interlock.core.events import OrderKind
from interlock.core.incident import NoIncident

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def secrets(place: Path, *values: str) -> Path:
    (place / "key").write_bytes(b"the key itself")
    for number, value in enumerate(values):
        (place / f"{number:032}").write_text(value)
    return place


async def aborted(reason: str) -> View:
    story = Story()
    name = await story.deploy(staging("v2"), stage(revision("v2"), await story.stands("v1"), pace=HASTY))
    await story.world.sleep(timedelta(seconds=2))
    await story.order(name, OrderKind.ABORT, reason=reason)
    await story.ends(name)
    rollouts = await story.store.run(name)
    plan = await story.store.plan(rollouts[0].plan)
    assert plan is not None
    entries = {one.id: await story.store.entries(one.id) for one in rollouts}
    return View(name, plan, rollouts, entries, {}, {}, keeper=False)


def test_a_secret_s_value_is_masked_wherever_it_stands(tmp_path: Path) -> None:
    view = run(aborted("the log says password=correct horse | battery"))
    for incident in (False, True):
        text = report(view, secrets(tmp_path, "correct horse | battery"), NOW, incident=incident)
        assert "password=[secret]" in text and "horse" not in text


def test_a_run_of_which_nothing_was_taken_back_has_no_incident_report(tmp_path: Path) -> None:
    async def good() -> View:
        story = Story()
        name = await story.deploy(staging("v1"))
        await story.ends(name)
        rollouts = await story.store.run(name)
        plan = await story.store.plan(rollouts[0].plan)
        assert plan is not None
        return View(name, plan, rollouts, {}, {}, {}, keeper=False)

    with pytest.raises(NoIncident):
        report(run(good()), tmp_path, NOW, incident=True)


def test_how_the_evidence_grew_is_drawn_from_the_recording_and_said_where_there_is_none(tmp_path: Path) -> None:
    recordings = MemoryRecordings()

    async def told() -> View:
        story = Recorded(busy(), recordings=recordings)
        name = await story.deploys()
        await story.ends(name)
        rollouts = await story.store.run(name)
        plan = await story.store.plan(rollouts[0].plan)
        assert plan is not None
        entries = {one.id: await story.store.entries(one.id) for one in rollouts}
        return View(name, plan, rollouts, entries, {}, {}, keeper=False)

    view = run(told())
    for id in recordings.names():
        RecordingFiles(tmp_path / "recordings").add(id, tuple(recordings.read(id).splitlines()))
    text = report(view, tmp_path, NOW, curves=recorded(view, tmp_path / "recordings"))
    block = text.partition("```text\n")[2].partition("\n```\n")[0]
    assert block.startswith("odds against the release, taken back at 100 to 1")
    assert "odds that it is safe, proven at 20 to 1" in block and "weight  10 %" in block
    without = report(view, tmp_path, NOW, curves=recorded(view, tmp_path / "none"))
    assert "how it grew cannot be drawn: no recording of it is kept" in without and "```" not in without
    assert "cannot be drawn" not in report(view, tmp_path, NOW)
