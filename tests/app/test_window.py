"""Does a plan know its windows, and say at once when calendars cannot be read here?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.calendar.feed_files import feed

from interlock.app import window
from interlock.app.planner import Planner
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.config import load
from interlock.core.conditions import Conditions
from interlock.core.on_call import OnCall, Rota
from interlock.core.plan import Plan
from interlock.core.steps import Gate, GateName
from interlock.core.window import Opening, Window

PROJECT = """\
service: shop
artefact: {directory: app}
command: [python, app.py]
environments:
  staging: {port: 18001}
  production:
    port: 18000
    gates:
      window: {open: [daily], calendar: freezes.ics}
      on_call: {calendar: rota.ics, acknowledge: true, within: 7m}
"""
LONG = "SUMMARY:the sale|DTSTART:20200101T000000Z|DTEND:20990101T000000Z"


def project(at: Path) -> Planner:
    (at / "app").mkdir()
    (at / "app" / "app.py").write_text("print('v1')\n")
    (at / "interlock.yaml").write_text(PROJECT)
    return Planner(StateDirectory(at / "state"), load(at / "interlock.yaml"))


async def notes(planner: Planner) -> str:
    plan = await planner.plan(".", first=True)
    assert isinstance(plan, Plan)
    (gate,) = [s for s in plan.stages[1].steps if isinstance(s, Gate) and s.name is GateName.ON_CALL]
    assert gate.patience == timedelta(minutes=7)
    assert plan.stages[0].conditions == Conditions()
    return "\n".join(plan.stages[1].notes)


async def test_a_plan_has_read_the_calendar(tmp_path: Path) -> None:
    planner = project(tmp_path)
    (tmp_path / "freezes.ics").write_text(feed(LONG))
    said = await notes(planner)
    assert "WARNING: the window is closed when this begins" in said and "the sale; does not open within 60 days" in said
    (tmp_path / "freezes.ics").write_text(feed())
    assert "the window does not close within 60 days" in await notes(planner)


async def test_a_calendar_that_is_down_stops_no_plan_and_is_said_in_it(tmp_path: Path) -> None:
    said = await notes(project(tmp_path))
    assert "WARNING: whether the window is open is not known, so it counts as closed: the calendar" in said


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(window=Window((Opening((0,)),), calendar="/f.ics")),
        Conditions(window=Window((Opening((0,)),), holidays="DE")),
        Conditions(on_call=OnCall(Rota("/r.ics"))),
    ],
)
def test_where_calendars_cannot_be_read_a_plan_that_needs_them_says_how_to(
    conditions: Conditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.check(conditions)
    monkeypatch.setattr(window, "installed", lambda: False)
    with pytest.raises(Blocked, match=r"pip install 'interlock\[calendar\]', or take .* out of the file"):
        window.check(conditions)
    window.check(Conditions(window=Window((Opening((0,)),))))
