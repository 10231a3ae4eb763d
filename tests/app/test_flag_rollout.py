"""Is a flag's own rollout planned from what runs and how the flag stands, and does a release's plan have its flags?"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.adapters.store.sqlite import SQLite
from interlock.app.flag_rollout import flag_rollout
from interlock.app.flags import flags_first, toggle_feature_flag
from interlock.app.planner import Planner
from interlock.app.secrets import SecretError
from interlock.app.state import StateDirectory
from interlock.app.verbs import App, Blocked
from interlock.config import File, load
from interlock.core.flag import FlagFile
from interlock.core.phase import Phase
from interlock.core.plan import Plan, StrategyName
from interlock.core.rollout import begin
from interlock.core.steps import CaptureFlags, GateName, RestoreFlags, SetFlag, Watch
from interlock.core.toggle import Toggle, Toggled, TogglingError
from interlock.ports.flags import FlagsError
from interlock.ports.store import Entry, Proof

PROJECT = """\
service: shop
artefact: {directory: app}
command: [python, app.py]
environments:
  staging: {port: 18001}
  production:
    port: 18000
    approve: true
    gates: {window: {open: [daily 00:00-24:00]}, tests: {junit: report.xml}}
flags:
  file: "{environment}.json"
  release: [{name: new_feature, after: [5%, 25%, 50%, 100%], bake: 2m}]
"""


class Project:
    """A project whose release runs in production, with flags in files."""

    def __init__(self, at: Path, text: str = PROJECT) -> None:
        (at / "app").mkdir()
        (at / "app" / "app.py").write_text("print('v1')\n")
        (at / "interlock.yaml").write_text(text)
        self.at, self.state = at, StateDirectory(at / "state")
        self.flag(False, 10)

    @property
    def file(self) -> File:
        return load(self.at / "interlock.yaml")

    def flag(self, enabled: bool, percentage: int) -> None:
        """Have the flag stand so everywhere."""
        for name in ("staging", "production"):
            (self.at / f"{name}.json").write_text(json.dumps({"flags": {"new_feature": defined(enabled, percentage)}}))

    async def released(self) -> Project:
        """Have what the file has now stand as proven in production."""
        plan = await Planner(self.state, self.file).plan(".", first=True)
        assert isinstance(plan, Plan)
        stage, now = plan.stages[-1], datetime.now(UTC)
        done = replace(begin("shop-1-production", "shop-1", plan.hash, stage, now), phase=Phase.SUCCEEDED)
        release = stage.revision.release
        proof = Proof("shop", "production", release.proven_as, release.identity, stage.revision, done.id, now)
        store = SQLite(self.state.database)
        await store.begin(done, Entry(now, "began", "begins", {}))
        await store.save(done, await store.claim(done.id, "test"), proof=proof)
        store.close()
        return self

    async def plan(self, **more: Any) -> Plan:
        return await flag_rollout(self.state, self.file, "new_feature", "production", **more)


def defined(enabled: bool, percentage: int) -> dict[str, Any]:
    return {
        "state": "ENABLED" if enabled else "DISABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "targeting": {"fractional": [["on", percentage], ["off", 100 - percentage]]},
    }


def ramp(plan: Plan) -> list[int]:
    return [step.percentage for step in plan.stages[0].steps if isinstance(step, SetFlag)]


async def test_the_code_stays_and_the_flag_goes_up_as_the_file_releases_it(tmp_path: Path) -> None:
    plan = await (await Project(tmp_path).released()).plan()
    (stage,) = plan.stages
    assert (stage.environment, stage.strategy, stage.revision) == ("production", StrategyName.FLAG, stage.replaces)
    assert ramp(plan) == [5, 25, 50, 100]
    bakes = [step.duration for step in stage.steps if isinstance(step, Watch) and not step.last]
    assert timedelta(minutes=2) in bakes
    assert isinstance(stage.rollback[-2], RestoreFlags)
    assert stage.notes[-1].startswith("the window") or "flag new_feature is disabled at 10% now" in stage.notes


async def test_the_gates_of_a_release_that_are_about_its_files_are_not_asked_and_people_are(tmp_path: Path) -> None:
    (stage,) = (await (await Project(tmp_path).released()).plan()).stages
    assert stage.conditions.gates == (GateName.WINDOW,)
    assert any("approval" in str(step) for step in stage.steps)


async def test_it_begins_above_what_the_flag_has_and_ends_where_it_is_to(tmp_path: Path) -> None:
    project = await Project(tmp_path).released()
    project.flag(True, 25)
    assert ramp(await project.plan()) == [50, 100]
    assert ramp(await project.plan(to=75)) == [50, 75]
    assert ramp(await project.plan(steps=(1, 2))) == [1, 2], "what is said is done"
    project.flag(True, 100)
    with pytest.raises(TogglingError, match=r"enabled at 100% in production already.*--steps"):
        await project.plan()


async def test_to_turn_it_off_asks_nobody_and_no_gate(tmp_path: Path) -> None:
    project = await Project(tmp_path).released()
    (stage,) = (await project.plan(off=True)).stages
    assert [step.percentage for step in stage.steps if isinstance(step, SetFlag)] == [0]
    assert stage.conditions.gates == () and not any("approval" in str(step) for step in stage.steps)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"steps": (50, 5)}, "expected percentages that rise"),
        ({"steps": (0, 5)}, "from 1 to 100"),
        ({"to": 0}, "from 1 to 100"),
    ],
)
async def test_steps_that_are_no_way_up_are_refused(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    project = await Project(tmp_path).released()
    with pytest.raises(TogglingError, match=said):
        await project.plan(**more)


async def test_where_nothing_runs_no_code_could_read_it(tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="production of shop runs nothing yet"):
        await Project(tmp_path).plan()


async def test_a_flag_that_cannot_be_moved_is_refused_before_there_is_a_plan(tmp_path: Path) -> None:
    project = await Project(tmp_path).released()
    (project.at / "production.json").unlink()
    with pytest.raises(FlagsError):
        await project.plan()


async def test_a_release_has_its_flags_in_each_environment_and_says_how_they_stand(tmp_path: Path) -> None:
    plan = await Planner(StateDirectory(tmp_path / "state"), Project(tmp_path).file).plan(".", first=True)
    assert isinstance(plan, Plan)
    for stage in plan.stages:
        (use,) = stage.flags
        assert use.flag.source == FlagFile(str(tmp_path / f"{stage.environment}.json"))
        assert any(isinstance(step, CaptureFlags) for step in stage.steps)
        assert "flag new_feature is disabled at 10% now" in stage.notes
        assert [step.percentage for step in stage.steps if isinstance(step, SetFlag)] == [0, 5, 25, 50, 100]


async def test_a_plan_warns_of_a_flag_that_cannot_be_moved_now(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "production.json").write_text("{}")
    plan = await Planner(project.state, project.file).plan(".", first=True)
    assert isinstance(plan, Plan)
    assert any(note.startswith("WARNING: ") and "production.json" in note for note in plan.stages[-1].notes)


async def test_a_token_is_in_the_plan_by_its_fingerprint_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEASH_TOKEN", "geheim-31415926")
    flags = 'unleash: {url: "http://127.0.0.1:9", token: env:UNLEASH_TOKEN}'
    project = Project(tmp_path, PROJECT.replace('file: "{environment}.json"', flags))
    plan = await Planner(project.state, project.file).plan(".", first=True)
    assert isinstance(plan, Plan)
    (use,) = plan.stages[-1].flags
    fingerprint = getattr(use.flag.source, "token_secret", "")
    assert (project.state.secrets / fingerprint).read_text() == "geheim-31415926"
    assert "geheim" not in repr(plan) and "env:UNLEASH" not in repr(plan)


async def test_before_a_release_is_left_the_flags_that_came_with_it_go_off(tmp_path: Path) -> None:
    project = await Project(tmp_path).released()
    project.flag(True, 25)
    app = App(project.state)
    try:
        (said,) = await flags_first(app, project.file)
        assert said == "flag new_feature in production is disabled at 25%; it was enabled at 25%"
        assert json.loads((tmp_path / "production.json").read_text())["flags"]["new_feature"]["state"] == "DISABLED"
        assert json.loads((tmp_path / "staging.json").read_text())["flags"]["new_feature"]["state"] == "ENABLED"
        (tmp_path / "production.json").unlink()
        (said,) = await flags_first(app, project.file)
        assert said.startswith("WARNING: flag new_feature is not confirmed off (") and "--off" in said
    finally:
        await app.down()


async def test_where_nothing_was_released_no_flag_is_touched(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.state.make()
    SQLite(project.state.database).close()
    assert await flags_first(App(project.state), project.file) == ()


async def test_to_turn_off_needs_no_token_at_hand_where_an_earlier_rollout_had_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEASH_TOKEN", "geheim-31415926")
    flags = 'unleash: {url: "http://127.0.0.1:9", token: env:UNLEASH_TOKEN}'
    project = await Project(tmp_path, PROJECT.replace('file: "{environment}.json"', flags)).released()
    monkeypatch.delenv("UNLEASH_TOKEN")
    asked: list[Toggle] = []

    class Desk(App):
        async def toggle(self, wanted: Toggle, within: timedelta) -> Toggled:
            asked.append(wanted)
            raise FlagsError("nobody listens there")

    with pytest.raises(SecretError, match="UNLEASH_TOKEN is not set"):
        await toggle_feature_flag(Desk(project.state), project.file, "new_feature", "enable", "production")
    with pytest.raises(FlagsError, match="nobody listens"):
        await toggle_feature_flag(Desk(project.state), project.file, "new_feature", "disable", "production")
    (wanted,) = asked
    fingerprint = getattr(wanted.flag.source, "token_secret", "")
    assert (project.state.secrets / fingerprint).read_text() == "geheim-31415926"
