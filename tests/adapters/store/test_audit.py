"""Is whatever was done to the audit behind our back found, and said with its row?"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.adapters.store.examples import RECORDS, at, entry, fill, over, rollout

from interlock.adapters.memory_store import MemoryStore
from interlock.adapters.store.sqlite import SQLite
from interlock.core import audit
from interlock.core.audit import Act, Examined, Head, examine, head_of, published_in
from interlock.core.lock import Lock
from interlock.ports.store import Store, StoreError

UNTIE = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut;"


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = SQLite(tmp_path / "state.db") if request.param == "sqlite" else MemoryStore()
    yield store
    store.close()


async def everything(store: Store) -> None:
    """One of every write that changes anything."""
    await fill(store)
    held = (await store.quarantine("shop"))[0]
    await store.release("shop", held.identity, "grace", "a false alarm", at(500), "api")
    await store.lock(Lock("shop", "ada", at(510), "the database moves"), "cli")
    await store.unlock("shop", "grace", at(520), "cli")
    await store.act(audit.stopped("shop", ["Envoy"], "ada", at(530), "cli"))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A database with some history, closed."""
    path = tmp_path / "written.db"
    store = SQLite(path)
    asyncio.run(everything(store))
    store.close()
    return path


def tampered(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(UNTIE + script)


def examined(path: Path, *heads: Head) -> Examined:
    store = SQLite(path, read_only=True)
    try:
        rows, journal = asyncio.run(store.audited())
    finally:
        store.close()
    return examine(rows, heads, journal)


def said(path: Path, *heads: Head) -> str:
    return "\n".join(trouble.text for trouble in examined(path, *heads).troubles)


async def test_everything_that_changes_anything_is_a_row_with_who_and_by_which_way(store: Store) -> None:
    await everything(store)
    acts = [row.act for row in await store.audit()]
    assert [act.subject for act in acts[:6]] == ["r-1", "r-1", "r-2", "r-2", "r-2", "r-3"]
    assert [(act.kind, act.by, act.channel) for act in acts[6:]] == [
        ("released", "grace", "api"),
        ("locked", "ada", "cli"),
        ("unlocked", "grace", "cli"),
        ("down", "ada", "cli"),
    ]
    assert "a false alarm" in acts[6].text
    assert await store.head() == (await store.audit())[-1].head
    assert examine(*(await audited(store))).troubles == ()


async def audited(store: Store) -> tuple[tuple[audit.Row, ...], tuple[()], tuple[Act, ...]]:
    rows, journal = await store.audited()
    return rows, (), journal


async def test_both_stores_seal_the_same_history_alike(tmp_path: Path) -> None:
    here, there = MemoryStore(), SQLite(tmp_path / "state.db")
    await everything(here)
    await everything(there)
    assert await here.head() == await there.head()
    there.close()


async def test_a_write_that_fails_leaves_no_row(store: Store) -> None:
    await store.begin(rollout("r-1"), entry("begun"))
    before = await store.head()
    with pytest.raises(KeyError):
        await store.note("r-9", (entry("?"),))
    assert not await store.release("shop", "unknown", "ada", "", at(1))
    assert await store.unlock("shop", "ada", at(1)) is None
    assert await store.head() == before


async def test_rows_are_read_from_any_number_on(store: Store) -> None:
    await everything(store)
    assert [row.number for row in await store.audit(after=3, limit=2)] == [4, 5]


async def test_a_journal_that_is_forgotten_is_not_missed_and_its_rows_stay(store: Store) -> None:
    for number in (1, 2, 3):
        id = f"r-{number}"
        await store.begin(rollout(id, run=id), entry("begun", number))
        await store.save(over(rollout(id, run=id)), await store.claim(id, "k"), (entry("done", number),))
    assert await store.prune(1, 0) == ("r-2", "r-1")
    rows, _, journal = await audited(store)
    assert [act.subject for act in journal] == ["r-3", "r-3"]
    assert (len(rows), rows[-1].act.kind, rows[-1].act.data) == (7, "forgot", {"rollouts": ["r-2", "r-1"]})
    assert examine(rows, (), journal).troubles == ()
    await store.note("r-3", (entry("goes on", 700),))
    assert examine(*(await audited(store))).troubles == ()


async def test_a_lock_is_kept_replaced_and_taken_away(store: Store) -> None:
    assert await store.locked("shop") is None
    first, second = Lock("shop", "ada", at(1), "one"), Lock("shop", "grace", at(2), "two", at(60))
    await store.lock(first)
    await store.lock(second)
    assert await store.locked("shop") == second
    assert second.holds(at(59)) and not second.holds(at(60)) and first.holds(at(9_999_999))
    assert await store.unlock("shop", "ada", at(3)) == second
    assert await store.locked("shop") is None


def test_a_record_that_nobody_touched_is_whole(written: Path) -> None:
    it = examined(written, examined(written).head)
    assert (it.rows, it.troubles) == (10, ())


@pytest.mark.parametrize("change", ["UPDATE audit SET record = '{}'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_what_was_written(written: Path, change: str) -> None:
    with closing(sqlite3.connect(written)) as db, pytest.raises(sqlite3.DatabaseError, match="only ever added to"):
        db.execute(change)


EDIT = "UPDATE audit SET record = replace(record, 'a false alarm', 'well founded') WHERE number = 7;"


def test_an_edit_is_found_at_its_row(written: Path) -> None:
    tampered(written, EDIT)
    assert "row 7 is not what was written: it was changed or moved" in said(written)


def test_an_edit_that_seals_its_row_anew_is_found_at_the_next(written: Path) -> None:
    tampered(written, EDIT)
    seal_again(written, 7, 7)
    assert said(written) == (
        "row 8 was written after another row 7 than this one, which was rewritten, moved or put in"
    )


@pytest.mark.parametrize(
    ("which", "found"), [("= 4", "row 4 was taken out"), ("IN (4, 5, 6)", "row 4 to 6 was taken out")]
)
def test_a_cut_is_found(written: Path, which: str, found: str) -> None:
    tampered(written, f"DELETE FROM audit WHERE number {which};")
    assert found in said(written)


def test_a_cut_that_closes_the_gap_is_found(written: Path) -> None:
    tampered(written, "DELETE FROM audit WHERE number = 8; UPDATE audit SET number = number - 1 WHERE number > 8;")
    assert "row 8 is not what was written" in said(written)
    assert "row 8 was written after another row 7" in said(written)


def test_a_cut_at_the_beginning_is_found(written: Path) -> None:
    tampered(written, "DELETE FROM audit WHERE number = 1;")
    assert "row 2 follows row 0: row 1 was taken out" in said(written)


def test_an_insertion_is_found(written: Path) -> None:
    tampered(
        written,
        "UPDATE audit SET number = -number - 1 WHERE number > 6; UPDATE audit SET number = -number WHERE number < 0;"
        "INSERT INTO audit SELECT 7, before, record, hash FROM audit WHERE number = 6;",
    )
    assert "row 7 is not what was written" in said(written)


def test_two_rows_that_changed_places_are_found(written: Path) -> None:
    swap = "UPDATE audit SET number = CASE number WHEN -8 THEN 9 ELSE 8 END WHERE number IN (-8, -9);"
    tampered(written, f"UPDATE audit SET number = -number WHERE number IN (8, 9); {swap}")
    assert "row 8 is not what was written" in said(written)
    assert "row 9 is not what was written" in said(written)


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_published(written: Path) -> None:
    head = examined(written).head
    tampered(written, "DELETE FROM audit WHERE number > 8;")
    assert said(written) == "", "what nothing refers to cannot be missed"
    assert said(written, head) == "row 10 was published, and the record ends with row 8: it was cut"
    assert "the record was cut before it, or written anew" in said(written, Head(0, head.hash))


def test_an_end_that_was_cut_off_is_found_by_the_journals_too(written: Path) -> None:
    tampered(written, "DELETE FROM audit WHERE number > 5;")
    assert "line 1 in the journal of r-3 is in no row" in said(written)


def test_a_record_that_was_written_anew_is_found_by_an_older_head(written: Path) -> None:
    old = examined(written).head
    tampered(written, EDIT)
    newest = seal_again(written, 7, 10)
    assert said(written) == "", "it agrees with itself"
    assert said(written, newest) == ""
    assert f"row 10 was published with the hash {old.hash}" in said(written, old)
    assert "row 10 was published" in said(written, head_of(f"10:{old.hash[:12]}"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE entries SET text = 'nothing bad' WHERE rollout = 'r-2' AND seq = 2", "row 4: line 2 in the journal"),
        ("UPDATE entries SET data = '{}' WHERE rollout = 'r-2' AND seq = 2", "row 4: line 2 in the journal of r-2 was"),
        ("UPDATE entries SET at = 'noon' WHERE rollout = 'r-2' AND seq = 2", "row 4: line 2 in the journal of r-2 was"),
        ("DELETE FROM entries WHERE rollout = 'r-2' AND seq = 2", "row 4: the journal of r-2 has lost its line 2"),
        (
            "INSERT INTO entries SELECT rollout, 9, at, kind, text, data FROM entries WHERE rollout = 'r-2' LIMIT 1",
            "line 9 in the journal of r-2 is in no row",
        ),
    ],
)
def test_a_journal_that_was_changed_is_found_by_the_record(written: Path, change: str, found: str) -> None:
    tampered(written, f"{change};")
    assert said(written).startswith(found)


def test_a_row_that_is_no_record_is_found(written: Path) -> None:
    tampered(written, "UPDATE audit SET record = 'gone' WHERE number = 9;")
    assert "row 9 cannot be read" in said(written)


def seal_again(path: Path, first: int, last: int) -> Head:
    """Rewrite the chain as somebody who knows how would."""
    with closing(sqlite3.connect(path)) as db, db:
        before = db.execute("SELECT before FROM audit WHERE number = ?", (first,)).fetchone()[0]
        for number in range(first, last + 1):
            (record,) = db.execute("SELECT record FROM audit WHERE number = ?", (number,)).fetchone()
            hash = audit.seal(number, before, record)
            db.execute("UPDATE audit SET before = ?, hash = ? WHERE number = ?", (before, hash, number))
            before = hash
    return Head(last, before)


async def test_what_was_on_record_before_there_was_an_audit_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((RECORDS / "schema-1.sql").read_text())
        db.execute("INSERT INTO released VALUES (1, 'shop', 'abc', '{}', 'ada', 'fine', ?)", (at(600).isoformat(),))
        db.commit()
    store = SQLite(path)
    acts = [row.act for row in await store.audit()]
    assert sorted(act.at for act in acts) == [act.at for act in acts]
    assert (acts[-1].kind, acts[-1].by) == ("released", "ada")
    assert len(acts) == 7
    assert examine(*(await audited(store))).troubles == ()
    await store.note("r-3", (entry("goes on", 700),))
    assert examine(*(await audited(store))).troubles == ()
    store.close()


async def test_an_old_line_that_cannot_be_read_keeps_no_database_closed(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((RECORDS / "schema-1.sql").read_text())
        db.execute("UPDATE entries SET at = 'noon' WHERE rollout = 'r-2' AND seq = 2")
        db.commit()
    store = SQLite(path)
    texts = [trouble.text for trouble in examine(*(await audited(store))).troubles]
    assert texts == ["line 2 in the journal of r-2 is in no row: it was put in, or its row taken out"]
    store.close()


async def test_an_act_is_refused_where_nothing_can_be_written() -> None:
    store = MemoryStore()
    store.failing = True
    for write in (store.act(Act(at(0), "x", "y", "z")), store.lock(Lock("shop", "a", at(0)))):
        with pytest.raises(StoreError):
            await write


@pytest.mark.parametrize("text", ["", "57:", "abc", "57:zz", "57:" + "g" * 64, "x" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a head such as"):
        head_of(text)


def test_heads_are_found_in_whatever_text_they_stand() -> None:
    first, second = Head(3, "a" * 64), Head(57, "0123456789abcdef" * 4)
    text = f"- Audit: `{first}`, later <b>{second}</b>, and {first} again; 12:30:00 is none"
    assert list(published_in(text)) == [first, second]
    assert head_of(str(second)) == second
