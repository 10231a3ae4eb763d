from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from interlock.app.planner import Planner, called
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.config import load
from interlock.core.plan import Plan
from interlock.core.release import Artefact

ARTEFACT = Artefact("sha256:" + "0123456789abcdef" * 4, "memory")


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("v1", "v1"),
        ("1f3c2a9", "1f3c2a9"),
        ("./v1", "v1"),
        ("builds/v2/", "v2"),
        (".", "0123456789ab"),
        ("..", "0123456789ab"),
        ("./..", "0123456789ab"),
    ],
)
def test_a_version_is_called_by_its_own_name_and_not_by_the_way_to_it(version: str, name: str) -> None:
    assert called(version, ARTEFACT) == name


PROJECT = """\
service: shop
artefact: {directory: app}
command: [python, app.py]
environments:
  staging: {port: 18001}
  production: {port: 18000}
"""


def project(at: Path) -> Planner:
    (at / "app").mkdir()
    (at / "app" / "app.py").write_text("print('v1')\n")
    (at / "interlock.yaml").write_text(PROJECT)
    return Planner(StateDirectory(at / "state"), load(at / "interlock.yaml"))


async def test_a_first_release_must_be_meant(tmp_path: Path) -> None:
    planner = project(tmp_path)
    with pytest.raises(Blocked, match="nothing to go back to"):
        await planner.plan(".")
    plan = await planner.plan(".", first=True)
    assert isinstance(plan, Plan)
    assert [stage.environment for stage in plan.stages] == ["staging", "production"]
    assert plan.stages[1].proven_in == "staging"


async def test_the_same_files_make_the_same_plan(tmp_path: Path) -> None:
    planner = project(tmp_path)
    plans = [await planner.plan(".", first=True) for _ in range(2)]
    assert plans[0].hash == plans[1].hash  # type: ignore[union-attr]


async def test_an_artefact_that_nobody_needs_is_forgotten_after_a_month(tmp_path: Path) -> None:
    planner = project(tmp_path)
    await planner.plan(".", first=True)
    (old,) = [one for one in (tmp_path / "state" / "artefacts").iterdir() if len(one.name) == 64]
    month_ago = time.time() - 31 * 86400
    os.utime(old, (month_ago, month_ago))
    (tmp_path / "app" / "app.py").write_text("print('v2')\n")
    await planner.plan(".", first=True)
    assert not old.exists()


async def test_there_is_nothing_to_go_back_to_before_anything_was_proven(tmp_path: Path) -> None:
    planner = project(tmp_path)
    await planner.plan(".", first=True)
    with pytest.raises(Blocked, match="nothing was ever proven"):
        await planner.rollback(None)
