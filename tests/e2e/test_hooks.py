"""Do a real keeper's hooks hold and let go on, and is a migration done once although the keeper is killed in it?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.served import Reply, Request, served
from tests.e2e.town import HALF, Town, eventually

from interlock.core.hooks import Hook, Post, Program, When
from interlock.core.migration import Migration
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.steps import Gate, GateName, Migrate, SetWeight, Start, Step

PATIENCE = timedelta(seconds=40)


def with_steps(plan: Plan, hooks: tuple[Hook, ...] = (), migration: Migration | None = None) -> Plan:
    """Have the plan ask before the start and each increase, and migrate before anything starts."""
    (stage,) = plan.stages
    steps: list[Step] = []
    for step in stage.steps:
        if isinstance(step, Start) and not any(isinstance(one, Start) for one in steps):
            steps += [Gate(GateName.BEFORE_START, PATIENCE)] if hooks else []
            steps += [Migrate(step.revision, migration)] if migration else []
        if isinstance(step, SetWeight) and hooks:
            steps.append(Gate(GateName.BEFORE_TRAFFIC, PATIENCE))
        steps.append(step)
    return replace(plan, stages=(replace(stage, steps=tuple(steps), hooks=hooks),))


async def test_hooks_hold_an_increase_until_they_agree_and_are_told_the_end(town: Town, tmp_path: Path) -> None:
    may_go_on = asyncio.Event()

    def answer(request: Request) -> Reply:
        facts = json.loads(request.body)
        increased = facts["when"] == "before-traffic" and facts["weight"]["from"] > 0
        if increased and not may_go_on.is_set():
            return Reply({"reason": "the board has not met"}, 403)
        return Reply({"reason": "go on"})

    async with served(answer) as board:
        log = tmp_path / "log"
        hooks = (
            Hook(When.START, Program(("sh", "-c", f"cat >> {log}; echo; echo agreed"), str(tmp_path))),
            Hook(When.TRAFFIC, Post(f"{board.url}/board")),
            Hook(When.AFTER, Post(f"{board.url}/after")),
            Hook(When.ROLLBACK, Post(f"{board.url}/back")),
        )
        wish = town.wish()
        async with town.traffic(80) as users:
            run = await town.app.start(with_steps(await town.plan(wish), hooks))
            held = await town.until(run, lambda one: "the board has not met" in one.reason, "the board to hold it")
            assert held.weight == HALF and held.phase is Phase.WAITING
            may_go_on.set()
            ended = await town.over(run)
        assert ended.phase is Phase.SUCCEEDED, await town.story(run)
        await eventually(lambda: board.asked[-1].path == "/after", "the hook is told the end", 20)
    assert town.failed(users.counts) == []
    told = [json.loads(request.body) for request in board.asked]
    assert all(
        request.headers["idempotency-key"] == facts["key"] for request, facts in zip(board.asked, told, strict=True)
    )
    assert told[-1]["outcome"] == "succeeded" and "/back" not in [request.path for request in board.asked]
    increases = {facts["key"]: tuple(facts["weight"].values()) for facts in told if facts["when"] == "before-traffic"}
    assert list(increases.values()) == [(0.0, 50.0), (50.0, 100.0)]
    assert json.loads(log.read_text().splitlines()[0])["when"] == "before-start"
    report = await town.app.report(run)
    assert "the board has not met" in report and "agreed" in report
    await town.settled(wish.version)


MIGRATE = "echo run >> {place}/runs; while [ ! -e {place}/go ]; do sleep 0.05; done; echo password is $PASSWORD"


async def migrating(town: Town, place: Path, **more: Any) -> str:
    """Release something that migrates until the file `go` is there; wait until it does; return the run."""
    town.state.secrets.mkdir(mode=0o700, exist_ok=True)
    (town.state.secrets / "0f1e").touch(mode=0o600)
    (town.state.secrets / "0f1e").write_text("hush-hush-hush")
    migration = Migration(("sh", "-c", MIGRATE.format(place=place)), timedelta(seconds=50), **more)
    plan = await town.plan(town.wish(secrets=(("PASSWORD", "0f1e"),)))
    run = await town.app.start(with_steps(plan, migration=migration))
    await eventually(lambda: (place / "runs").exists(), "the migration runs")
    return run


def runs(place: Path) -> int:
    return len((place / "runs").read_text().splitlines())


async def migrations(town: Town) -> list[int]:
    found = await town.host.find(town.state.label)
    return [one.pid for one in found if one.label.endswith("/migration")]


async def test_a_migration_survives_the_keeper_that_is_killed_in_it_and_is_done_once(
    town: Town, tmp_path: Path
) -> None:
    run = await migrating(town, tmp_path, idempotent=False)
    (before,) = await migrations(town)
    for _ in range(2):
        town.kill("keeper")
        await town.well()
        assert await migrations(town) == [before]
    (tmp_path / "go").touch()
    ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    assert runs(tmp_path) == 1 and await migrations(town) == []
    report = await town.app.report(run)
    assert "password is [secret]" in report and "hush-hush-hush" not in report
    await town.settled(ended.stage.revision.release.version)


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_migration_that_was_killed_with_the_keeper_is_begun_again_only_where_that_is_harmless(
    town: Town, tmp_path: Path, idempotent: bool
) -> None:
    before = await town.stable()
    run = await migrating(town, tmp_path, idempotent=idempotent)
    (pid,) = await migrations(town)
    town.kill("keeper")
    os.killpg(pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    await town.well()
    ended = await town.over(run)
    if idempotent:
        assert ended.phase is Phase.SUCCEEDED and runs(tmp_path) == 2, await town.story(run)
        return
    assert ended.phase is Phase.ROLLED_BACK and runs(tmp_path) == 1, await town.story(run)
    assert "is broken off, and it is declared not to be idempotent" in ended.reason
    await town.settled(before)


async def test_an_abort_in_the_middle_of_a_migration_ends_it(town: Town, tmp_path: Path) -> None:
    before = await town.stable()
    run = await migrating(town, tmp_path)
    await town.abort(run)
    ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and await migrations(town) == []
    assert "Not undone" in await town.app.report(run)
    await town.settled(before)
