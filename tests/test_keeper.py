"""Is there one keeper for a state directory, whatever becomes of its sockets?"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from interlock import twin
from interlock.adapters.line import Unreachable, ask
from interlock.adapters.workload.process.log import LIMIT
from interlock.app.state import StateDirectory
from interlock.app.verbs import App


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
