"""A state directory without room, without leave, or of another version: one clear error, and what serves goes on."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.town import a_town, has_users
from tests.parts import small_disk

from interlock.adapters.store.schema import SCHEMA
from interlock.adapters.store.sqlite import SQLite
from interlock.app.state import StateDirectory, StateError
from interlock.app.verbs import App
from interlock.core.phase import Phase
from interlock.ports.store import StoreError


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system of its own; where none can be mounted there is nothing to test."""
    place = Path(tempfile.mkdtemp(prefix="interlock-disk-"))
    small_disk(place, "24m")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


def fill(disk: Path) -> Path:
    """Leave not a byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


@pytest.mark.parametrize("by_itself", [True, False], ids=("by a verdict", "by order"))
async def test_taking_back_works_on_a_full_disk(disk: Path, by_itself: bool) -> None:
    async with a_town(disk / "state") as town:
        await town.ready()
        before, wish = (
            await town.stable(),
            town.wish(bake=timedelta(seconds=40), manners={"errors": 0.8, "errors_after": 150}),
        )
        if not by_itself:
            wish = town.wish(bake=timedelta(seconds=40))
        async with town.traffic(100) as users:
            run = await town.start(wish)
            await town.until(run, has_users, "users on the canary")
            filler = fill(disk)
            if not by_itself:
                await town.abort(run)
            await town.until_back(before, users)
            filler.unlink()
            ended = await town.over(run)
        assert ended.phase is Phase.ROLLED_BACK, await town.story(run)
        assert ended.quarantine is by_itself
        await town.settled(before)
        assert town.failed(users.counts, wish.version) == []


def test_a_read_only_state_directory_is_one_clear_error(disk: Path) -> None:
    state = StateDirectory(disk / "state")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises((StateError, StoreError), match=r"(?i)read-only") as no:
        asyncio.run(App(state).ensure_keeper())
    assert str(state.path) in str(no.value)


async def test_a_state_directory_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.path.mkdir()
    (state.path / "runtime").write_text(f"{tmp_path / 'run'}\n")
    SQLite(state.database).close()
    with closing(sqlite3.connect(state.database)) as database, database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (str(SCHEMA + 1),))
    before = state.database.read_bytes()
    with pytest.raises(StoreError, match="newer"):
        await App(state).ensure_keeper()
    assert state.database.read_bytes() == before
    assert not state.keeper_log.exists()
