"""Does the file survive kill -9, full disks, other processes and other versions?"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.adapters.store.examples import (
    RECORDS,
    TRAFFIC,
    approved,
    at,
    entry,
    fill,
    given_up,
    over,
    plan,
    proof,
    quarantined,
    rollout,
)
from tests.adapters.store.process import ENVIRONMENTS, spawn
from tests.parts import small_disk

from interlock.adapters.store import records, schema
from interlock.adapters.store.schema import SCHEMA
from interlock.adapters.store.sqlite import SQLite
from interlock.core.phase import Phase
from interlock.ports.store import StoreError

Open = Callable[..., SQLite]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state of 100%?#.db"  # every character that an address would have to escape


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Return a function that opens a store; all of them are closed at the end."""
    stores: list[SQLite] = []

    def open_one(at: Path = path, *, read_only: bool = False) -> SQLite:
        stores.append(SQLite(at, read_only=read_only))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return db.execute(question).fetchall()
    finally:
        db.close()


# The file


async def test_what_was_written_is_there_when_the_file_is_opened_again(opened: Open) -> None:
    store = opened()
    await fill(store)
    before = await store.rollouts(9)
    store.close()
    store.close()
    again = opened()
    assert await again.rollouts(9) == before
    assert await again.number("shop") == 2


async def test_every_commit_waits_for_the_disk_and_readers_do_not_wait_for_writers(opened: Open) -> None:
    store = opened()
    [[synchronous]] = await store._write(lambda db: db.execute("PRAGMA synchronous").fetchall())
    [[mode]] = await store._write(lambda db: db.execute("PRAGMA journal_mode").fetchall())
    assert (synchronous, mode) == (2, "wal")


async def test_no_work_is_done_on_the_event_loops_thread(opened: Open) -> None:
    store = opened()
    seen = {threading.get_ident()}
    for _ in range(3):
        seen.add(await store._write(lambda db: threading.get_ident()))
    assert len(seen) == 2


async def test_a_caller_that_is_cancelled_leaves_its_transaction_whole(opened: Open) -> None:
    store = opened()
    await store.begin(rollout("r-1"), entry("begun"))
    for number in range(50):
        task = asyncio.create_task(
            store.save(approved(rollout("r-1")), 0, (entry(f"{number} a"), entry(f"{number} b")))
        )
        await asyncio.sleep(random.random() / 1000)
        task.cancel()
    kept = [e.text for e in await store.entries("r-1")][1:]
    assert kept[0::2] == [text.replace("b", "a") for text in kept[1::2]]


async def test_text_that_is_not_unicode_is_kept_readable(opened: Open) -> None:
    store = opened()
    await store.begin(rollout("r-1"), entry("said \udcff"))
    assert [e.text for e in await store.entries("r-1")] == ["said \\udcff"]


async def test_who_released_what_from_quarantine_stays_on_record(opened: Open, path: Path) -> None:
    store = opened()
    await fill(store)
    await store.release("shop", rollout("r-2").stage.revision.release.identity, "ada", "a false alarm", at(900))
    assert ask(path, "SELECT released_by, reason, at FROM released") == [("ada", "a false alarm", at(900).isoformat())]


# Reading only


async def test_a_reader_sees_what_the_keeper_writes_and_can_write_nothing(opened: Open) -> None:
    keeper = opened()
    await keeper.begin(rollout("r-1"), entry("begun"))
    reader = opened(read_only=True)
    assert await reader.active() == (rollout("r-1"),)
    await keeper.save(over(rollout("r-1")), 0, (entry("done"),))
    assert await reader.active() == ()
    with pytest.raises(StoreError, match="opened for reading only"):
        await reader.number("shop")


async def test_a_reader_reads_on_while_a_writer_holds_the_lock(opened: Open, path: Path) -> None:
    await opened().begin(rollout("r-1"), entry("begun"))
    reader = opened(read_only=True)
    with spawn(path, "lock") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        assert await reader.active() == (rollout("r-1"),)
        other.communicate(timeout=20)


async def test_a_reader_needs_no_keeper(opened: Open) -> None:
    keeper = opened()
    await keeper.begin(rollout("r-1"), entry("begun"))
    keeper.close()
    assert await opened(read_only=True).active() == (rollout("r-1"),)


def test_where_nothing_was_deployed_a_reader_says_so_and_makes_no_file(opened: Open, path: Path) -> None:
    with pytest.raises(StoreError, match=r"nothing has been deployed from here yet.*interlock deploy"):
        opened(read_only=True)
    assert list(path.parent.iterdir()) == []
    path.touch()
    with pytest.raises(StoreError, match="nothing has been deployed from here yet"):
        opened(read_only=True)


# Versions


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_file_of_a_newer_version_is_refused_and_left_alone(opened: Open, path: Path, read_only: bool) -> None:
    store = opened()
    await fill(store)
    store.close()
    ask(path, f"UPDATE meta SET value = '{SCHEMA + 2}' WHERE name = 'schema'")
    before = path.read_bytes()
    said = rf"written by a newer Interlock \(schema {SCHEMA + 2}, this one knows {SCHEMA}\): upgrade, or"
    with pytest.raises(StoreError, match=said):
        opened(read_only=read_only)
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_left_alone(opened: Open, path: Path) -> None:
    ask(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="a database of something else than Interlock"):
        opened()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(opened: Open, path: Path) -> None:
    path.write_text("hello " * 1000)
    with pytest.raises(StoreError, match=r"file is not a database.*put a copy back"):
        opened()
    assert path.read_text() == "hello " * 1000


async def test_an_older_file_is_brought_up_once_and_a_reader_does_not_change_it(
    opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    await fill(store)
    store.close()
    newer = (*schema.SCHEMAS, ("ALTER TABLE rollouts ADD COLUMN colour TEXT",))
    monkeypatch.setattr(schema, "SCHEMAS", newer)
    monkeypatch.setattr(schema, "SCHEMA", len(newer))
    said = rf"older Interlock \(schema {SCHEMA}, this one writes {SCHEMA + 1}\).*the next interlock deploy"
    with pytest.raises(StoreError, match=said):
        opened(read_only=True)
    for _ in range(2):
        assert len(await opened().rollouts(9)) == 3
    assert ask(path, "SELECT value FROM meta") == [(str(SCHEMA + 1),)]


@pytest.mark.parametrize("dump", sorted(RECORDS.glob("schema-*.sql")), ids=lambda dump: dump.stem)
async def test_old_records_stay_readable(opened: Open, path: Path, dump: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript(dump.read_text())
    db.close()
    store = opened()
    newest, failed, done = await store.rollouts(9)
    assert [newest.id, failed.id, done.id] == ["r-3", "r-2", "r-1"]
    assert (newest.phase, newest.by, newest.approvals[0].by) == (Phase.PROGRESSING, "ada", "grace")
    assert (failed.phase, failed.quarantine, failed.stage.instances) == (Phase.FAILED, True, 4)
    assert failed.reason.startswith("9 % errors, at most 1 %; the rollback could not be verified")
    assert (done.phase, done.stage.environment, done.started) == (Phase.SUCCEEDED, "staging", at(0))
    assert [(e.seq, e.kind, e.text) for e in await store.entries("r-2")] == [
        (1, "step", "begun"),
        (2, "verdict", "a verdict"),
        (3, "step", "could not go back"),
    ]
    assert await store.last_checkpoint("r-2") == await store.recall("production") == TRAFFIC
    assert [p.rollout for p in await store.proofs("shop", "staging")] == ["r-1"]
    assert [(q.version, q.reason) for q in await store.quarantine("shop")] == [("2", "9 % errors")]
    kept = await store.plan(failed.plan)
    assert kept is not None
    assert [s.environment for s in kept.stages] == ["staging", "testing", "production"]
    assert await store.number("shop") == 2
    await store.save(over(newest), await store.claim("r-3", "k"), (entry("done"),))


async def test_records_of_the_present_schema_are_among_those_kept() -> None:
    assert (RECORDS / f"schema-{SCHEMA}.sql").exists()


# Damage


@pytest.mark.parametrize(
    "record", ["", "nonsense", "[]", "17", '{"kind": "Rollout"}', '{"kind": "Rollout", "colour": 1}', "null"]
)
async def test_a_damaged_record_is_named(opened: Open, path: Path, record: str) -> None:
    store = opened()
    await fill(store)
    ask(path, f"UPDATE rollouts SET record = '{record}' WHERE id = 'r-3'")
    for question in (store.rollout("r-3"), store.active(), store.rollouts(9)):
        with pytest.raises(StoreError, match=r"the record of rollout r-3 cannot be read: .*--state"):
            await question
    with pytest.raises(StoreError, match="rollout r-3"):
        await store.begin(rollout("r-4"), entry("begun"))
    assert await store.rollout("r-1") is not None


async def test_a_damaged_line_plan_or_checkpoint_is_named(opened: Open, path: Path) -> None:
    store = opened()
    await fill(store)
    ask(path, "UPDATE entries SET at = 'noon' WHERE rollout = 'r-2' AND seq = 2")
    ask(path, "UPDATE checkpoints SET record = '{'")
    ask(path, "UPDATE plans SET record = '{}'")
    with pytest.raises(StoreError, match="line 2 of rollout r-2 cannot be read"):
        await store.entries("r-2")
    with pytest.raises(StoreError, match="the checkpoint of rollout r-2 cannot be read"):
        await store.last_checkpoint("r-2")
    with pytest.raises(StoreError, match=f"plan {plan().hash} cannot be read: .* lacks 'service'"):
        await store.plan(plan().hash)


def test_a_missing_directory_is_said(opened: Open, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open .*unable to open database file.*must exist and be writable"):
        opened(tmp_path / "missing" / "state.db")


# Disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    point = tmp_path / "disk"
    point.mkdir()
    small_disk(point, "8m")
    yield point
    subprocess.run(["umount", point], check=True, timeout=20)


def fill_up(disk: Path) -> Path:
    file = disk / "filler"
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            return file


async def write_until_full(store: SQLite) -> int:
    """Save until the store refuses; return how many were saved."""
    for number in range(20_000):
        try:
            await store.save(rollout("r-1"), 0, (entry(f"{number} " + "x" * 2000),))
        except StoreError as problem:
            assert "is full" in str(problem)
            assert "Free space on its file system" in str(problem)
            await fill_the_rest(store)
            return number
    raise AssertionError("the disk never became full")


async def fill_the_rest(store: SQLite) -> None:
    """Where a large write does not fit, a small one may."""
    for _ in range(20_000):
        try:
            await store.number("filler")
        except StoreError:
            return


async def test_a_full_disk_fails_writes_not_reads_and_heals_without_reopening(disk: Path, opened: Open) -> None:
    path = disk / "state.db"
    store = opened(path)
    await store.begin(rollout("r-1"), entry("begun"))
    filler = fill_up(disk)
    saved = await write_until_full(store)
    for write in (store.number("shop"), store.checkpoint("r-1", 0, {"x": "y" * 100_000})):
        with pytest.raises(StoreError, match="full"):
            await write
    assert [e.text.split()[0] for e in await store.entries("r-1")][1:] == [str(n) for n in range(saved)]
    assert await opened(path, read_only=True).active() == (rollout("r-1"),)
    filler.unlink()
    await store.save(over(rollout("r-1")), 0, (entry("done"),), proof(rollout("r-1")))
    assert await store.active() == ()
    assert len(await store.entries("r-1")) == saved + 2
    store.close()
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_verdict_still_fits_on_a_disk_that_fills_up_under_way(disk: Path, opened: Open) -> None:
    store = opened(disk / "state.db")
    await store.begin(rollout("r-1"), entry("begun"))
    fill_up(disk)
    bad = given_up(approved(rollout("r-1")))
    for number in range(100):
        await store.save(bad, 0, (entry(f"step {number}"),), quarantined=quarantined(bad))
    assert await store.rollout("r-1") == bad


async def test_a_full_disk_at_the_start_is_said(disk: Path, opened: Open) -> None:
    fill_up(disk)
    with pytest.raises(StoreError, match="cannot open"):
        opened(disk / "state.db")


async def test_a_store_of_a_killed_process_opens_on_a_full_disk(disk: Path, opened: Open) -> None:
    path = disk / "state.db"
    kill_while_writing(path, 20)
    fill_up(disk)
    assert [r.id for r in await opened(path).active()] == ["r-1"]


def test_a_directory_that_becomes_read_only_is_said(disk: Path, opened: Open) -> None:
    opened(disk / "state.db").close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True, timeout=20)
    with pytest.raises(StoreError, match=r"cannot (open|write) .*must exist and be writable"):
        asyncio.run(opened(disk / "state.db").number("shop"))


# Other processes


async def test_a_lock_that_another_process_keeps_is_said(
    opened: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BUSY_SECONDS", 0.2)
    store = opened()
    with spawn(path, "lock") as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StoreError, match=r"cannot write .*database is locked.*fuser"):
            await store.number("shop")
        other.communicate(timeout=20)
    assert await store.number("shop") == 1


def test_of_processes_that_begin_at_the_same_instant_exactly_one_wins(path: Path) -> None:
    others = [spawn(path, "begin", name) for name in ("a", "b", "c")]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
    for other in others:
        assert other.stdin is not None
        other.stdin.write("go\n")
        other.stdin.flush()
    lines = [line for other in others for line in other.communicate(timeout=50)[0].splitlines()]
    assert [other.returncode for other in others] == [0, 0, 0]
    won = sorted(line for line in lines if line.startswith("won"))
    assert won == sorted(f"won e{n}" for n in range(ENVIRONMENTS))
    assert len(lines) == len(others) * ENVIRONMENTS


def kill_while_writing(path: Path, lines: int) -> list[str]:
    """Kill a writing process -9 some time after that many acknowledged writes; return all that were acknowledged."""
    with spawn(path, "write") as other:
        assert other.stdout is not None
        said = [other.stdout.readline() for _ in range(lines)]
        time.sleep(random.random() / 20)
        other.kill()
        return [line.strip() for line in said + other.stdout.readlines()]


async def test_whatever_was_acknowledged_survives_kill_9(path: Path) -> None:
    for _ in range(15):
        said = kill_while_writing(path, random.randrange(1, 300))
        store = SQLite(path)
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
        texts = [e.text for e in await store.entries("r-1")]
        assert texts == [str(n) for n in range(len(texts))]
        saved = max(int(line.split()[1]) for line in said if line.startswith("saved"))
        assert len(texts) - 1 in (saved, saved + 1)
        current = await store.rollout("r-1")
        assert current is not None
        assert current.reason == texts[-1]
        checked = max((int(line.split()[1]) for line in said if line.startswith("checkpoint")), default=None)
        if checked is not None:
            last = await store.last_checkpoint("r-1")
            assert last is not None
            assert last["count"] in (checked, checked + 1)
        store.close()
