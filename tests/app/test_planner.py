from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path

import pytest

from interlock.adapters.host.local import LocalHost
from interlock.adapters.store.sqlite import SQLite
from interlock.adapters.workload.slots import record
from interlock.app.planner import Planner, called
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.config import load
from interlock.core.judge import History
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.record import plain
from interlock.core.release import Artefact, Revision
from interlock.core.rollout import begin
from interlock.core.sample import Side
from interlock.core.steps import Until, Watch
from interlock.ports.store import Entry, Proof

ENTRY = Entry(datetime.now(UTC), "began", "begins", {})
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


@pytest.mark.parametrize("readable", [True, False])
async def test_the_artefact_of_what_runs_stays_also_where_the_file_names_its_environment_no_more(
    tmp_path: Path, readable: bool
) -> None:
    planner = project(tmp_path)
    plan = await planner.plan(".", first=True)
    assert isinstance(plan, Plan)
    dropped = replace(plan.stages[0].revision, name="preview-1", environment="preview")
    records = tmp_path / "state" / "instances" / "revisions"
    record.write(LocalHost(), records / "preview-1.json", record.Record(dropped, {0: record.Place(18002)}))
    if not readable:
        (records / "preview-2.json").write_text("{}")
    (old,) = [one for one in (tmp_path / "state" / "artefacts").iterdir() if len(one.name) == 64]
    month_ago = time.time() - 31 * 86400
    os.utime(old, (month_ago, month_ago))
    (tmp_path / "app" / "app.py").write_text("print('v2')\n")
    await planner.plan(".", first=True)
    assert old.exists()


async def test_there_is_nothing_to_go_back_to_before_anything_was_proven(tmp_path: Path) -> None:
    planner = project(tmp_path)
    await planner.plan(".", first=True)
    with pytest.raises(Blocked, match="nothing was ever proven"):
        await planner.rollback(None)


def proof(version: str, revision: Revision) -> Proof:
    return Proof("shop", "production", "subject", revision.release.identity, revision, version, datetime.now(UTC))


async def test_going_back_asks_nobody_even_where_going_forward_waits_for_a_person(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "interlock.yaml").write_text(PROJECT.replace("{port: 18000}", "{port: 18000, approve: true}"))
    planner = Planner(StateDirectory(tmp_path / "state"), load(tmp_path / "interlock.yaml"))
    plan = await planner.plan(".", first=True)
    assert isinstance(plan, Plan)
    assert any(isinstance(step, Watch) and step.until is Until.APPROVED for step in plan.stages[1].steps)
    old = plan.stages[1].revision
    new = replace(old, name="newer", release=replace(old.release, version="v2", artefact=Artefact("sha256:2", "")))
    store = SQLite(tmp_path / "state" / "interlock.db")
    for version, revision in (("v1", old), ("v2", new)):
        ended = replace(begin(version, "shop-1", plan.hash, plan.stages[1], datetime.now(UTC)), phase=Phase.SUCCEEDED)
        await store.begin(begin(version, "shop-1", plan.hash, plan.stages[1], datetime.now(UTC)), ENTRY)
        await store.save(ended, await store.claim(version, "test"), proof=proof(version, revision))
    store.close()
    back = await planner.rollback(None)
    assert not any(isinstance(step, Watch) and step.until is Until.APPROVED for step in back.stages[0].steps)


async def test_evidence_that_will_not_come_is_foretold_by_the_traffic_that_was_measured(tmp_path: Path) -> None:
    planner = project(tmp_path)
    plan = await planner.plan(".", first=True)
    assert isinstance(plan, Plan)
    old = plan.stages[1].revision
    store = SQLite(tmp_path / "state" / "interlock.db")
    begun = begin("v1", "shop-1", plan.hash, plan.stages[1], datetime.now(UTC))
    await store.begin(begun, ENTRY)
    await store.save(replace(begun, phase=Phase.SUCCEEDED), await store.claim("v1", "test"), proof=proof("v1", old))
    minute = Side(started=12, completed=12)
    history = reduce(lambda known, _: known.add(minute, timedelta(minutes=1)), range(60), History())
    await store.remember("production", {"history": plain(history)})
    store.close()
    (tmp_path / "app" / "app.py").write_text("print('v2')\n")
    small = PROJECT + "strategy: {canary: {weights: [1%, 100%]}}\n"
    warning = next(note for note in await notes(tmp_path, small) if note.startswith("WARNING"))
    assert "0.2 requests/s measured, 0.002/s of them at 1 %: nothing can be proven in 15 min" in warning
    loaded = PROJECT + "strategy: {canary: {weights: [1%, 100%], load: auto}}\n"
    assert not any(note.startswith("WARNING") for note in await notes(tmp_path, loaded))


async def notes(at: Path, text: str) -> tuple[str, ...]:
    """Return what a plan by this file says of production."""
    (at / "interlock.yaml").write_text(text)
    plan = await Planner(StateDirectory(at / "state"), load(at / "interlock.yaml")).plan(".")
    assert isinstance(plan, Plan)
    return plan.stages[-1].notes
