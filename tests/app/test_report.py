"""Is a secret out of a report even when a program has told it?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.engine.stories import HASTY, Story, revision, stage, staging

from interlock.adapters.memory import run
from interlock.app.report import report
from interlock.app.verbs import View
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
