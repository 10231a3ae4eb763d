"""Is there one keeper for a state directory, whatever becomes of its sockets?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.worlds import keep, seen

from interlock import twin
from interlock.adapters.inquiry import Unreachable
from interlock.adapters.line import ask
from interlock.adapters.workload.slots.log import LIMIT
from interlock.app.doctor import examine
from interlock.app.state import StateDirectory
from interlock.app.verbs import App
from interlock.ports.store import StoreError


async def answers(state: StateDirectory, within: float = 20.0) -> Any:
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            return await ask(state.socket, "ping", {}, timedelta(seconds=2))
        except Unreachable:
            assert asyncio.get_running_loop().time() < deadline, state.keeper_log.read_text()
            await asyncio.sleep(0.1)


def another(state: StateDirectory) -> int:
    argv = [sys.executable, "-m", "interlock.keeper", str(state.path)]
    return subprocess.run(argv, timeout=30, env=dict(os.environ), capture_output=True, check=False).returncode


async def test_a_keeper_whose_sockets_were_cleaned_away_listens_again_and_stays_the_only_one(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    try:
        await App(state).ensure_keeper()
        first = (await answers(state))["pid"]
        assert another(state) == 1
        shutil.rmtree(state.runtime)
        assert another(state) == 1
        assert (await answers(state))["pid"] == first
    finally:
        await asyncio.to_thread(twin.down, state.runtime)
    assert twin.process_of(state.runtime, "keeper") is None


async def test_a_rollout_whose_record_cannot_be_read_is_told_wherever_one_looks(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.make()
    view, _ = await asyncio.to_thread(seen, "watched")
    await asyncio.to_thread(keep, view, state.path)
    id = view.current.id
    with contextlib.closing(sqlite3.connect(state.database)) as db, db:
        db.execute("UPDATE rollouts SET record = '{}', phase = 'progressing', over = 0 WHERE id = ?", (id,))
        db.execute("UPDATE rollouts SET over = 1 WHERE id != ?", (id,))
    app = App(state)
    try:
        await app.ensure_keeper()
        deadline = asyncio.get_running_loop().time() + 20
        while not (told := (await ask(state.socket, "live", {}, timedelta(seconds=5)))["stuck"]):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)
        assert list(told) == [id]
        with pytest.raises(StoreError, match=rf"{id}: not driven since .* cannot be read.* tried again"):
            await app.view()
        (found,) = [one for one in await examine(state, ()) if one.name == "rollout"]
        assert found.well is False and found.text.startswith(f"{id}: not driven since") and "kill" in found.advice
    finally:
        app.records.close()
        await asyncio.to_thread(twin.down, state.runtime)


async def test_a_keeper_clears_what_one_that_was_killed_in_the_middle_of_a_write_left(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    torn = [place / f".file.{2**22 + 1}-1.tmp" for place in (state.envoy, state.instances / "revisions")]
    for path in torn:
        path.parent.mkdir(parents=True)
        path.write_text("half")
    try:
        await App(state).ensure_keeper()
        assert not any(path.exists() for path in torn)
    finally:
        await asyncio.to_thread(twin.down, state.runtime)


async def test_what_a_keeper_writes_stays_small(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.make()
    with state.keeper_log.open("wb") as file:
        file.truncate(LIMIT + 1)
    try:
        await App(state).ensure_keeper()
        deadline = asyncio.get_running_loop().time() + 20
        while state.keeper_log.stat().st_size > LIMIT:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)
        assert state.keeper_log.with_name("keeper.log.1").exists()
    finally:
        await asyncio.to_thread(twin.down, state.runtime)
