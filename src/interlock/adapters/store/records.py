"""What is on record in a SQLite file? Read on the caller's own thread: whoever only looks need start nothing for it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from interlock.adapters.store import schema
from interlock.core.plan import Plan
from interlock.core.record import restore
from interlock.core.rollout import Rollout
from interlock.ports.store import Entry, StoreError

T = TypeVar("T")

BUSY_SECONDS = 5.0


class Records:
    """The records in one file. Opens in a millisecond, for reading unless it is for the store; raises StoreError."""

    def __init__(self, path: Path, *, read_only: bool = True) -> None:
        self.path = path
        self._read_only = read_only
        self.named("open", self._open)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def plan(self, hash: str) -> Plan | None:
        return first(self.all(Plan, "plan", "SELECT record, hash FROM plans WHERE hash = ?", hash))

    def rollout(self, id: str) -> Rollout | None:
        return first(self.rollouts_where("WHERE id = ?", id))

    def run(self, run: str) -> tuple[Rollout, ...]:
        return self.rollouts_where("WHERE run = ? ORDER BY number", run)

    def rollouts(self, limit: int) -> tuple[Rollout, ...]:
        return self.rollouts_where("ORDER BY number DESC LIMIT ?", limit)

    def newest(self) -> str | None:
        """Return the newest run's id: to read whole records for it takes some ms."""
        row = first(tuple(self._rows("SELECT run FROM rollouts ORDER BY number DESC LIMIT 1")))
        return None if row is None else str(row[0])

    def entries(self, id: str, after: int = 0) -> tuple[Entry, ...]:
        question = "SELECT at, kind, text, data, seq FROM entries WHERE rollout = ? AND seq > ? ORDER BY seq"
        rows = self._rows(question, id, after)
        return tuple(self._readable(partial(_entry, *row), f"line {row[-1]} of rollout {id}") for row in rows)

    def last_checkpoint(self, id: str) -> Mapping[str, Any] | None:
        question = "SELECT record, rollout FROM checkpoints WHERE rollout = ?"
        return first(self.all(dict[str, Any], "the checkpoint of rollout", question, id))

    def rollouts_where(self, which: str, *values: object) -> tuple[Rollout, ...]:
        """Return the rollouts that the end of a SELECT chooses."""
        return self.all(Rollout, "rollout", f"SELECT record, id FROM rollouts {which}", *values)

    def all(self, kind: type[T], what: str, question: str, *values: object) -> tuple[T, ...]:
        """Return the values of all rows of (record, its name)."""
        return tuple(self.restored(kind, record, f"{what} {name}") for record, name in self._rows(question, *values))

    def restored(self, kind: type[T], record: str, what: str) -> T:
        """Return the value of a record; raise StoreError, with what it is of, when it cannot be read."""
        return self._readable(lambda: restore(kind, json.loads(record)), what)

    def version(self) -> int:
        """Return the schema's version, 0 for a new file; raise StoreError when it is not ours or newer than we are."""
        tables = {name for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return 0
        row = self.db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if "meta" in tables else None
        if row is None:
            raise StoreError(f"{self.path} is a database of something else than Interlock: use another --state")
        if int(row[0]) > schema.SCHEMA:
            raise StoreError(
                f"{self.path} was written by a newer Interlock (schema {row[0]}, this one knows {schema.SCHEMA}): "
                "upgrade, or use another --state"
            )
        return int(row[0])

    def named(self, verb: str, work: Callable[[], T]) -> T:
        """Do it; turn what SQLite says into what a person can act upon."""
        try:
            return work()
        except (sqlite3.Error, OSError) as problem:
            raise StoreError(f"cannot {verb} {self.path}: {problem}. {self._advice(problem)}") from problem

    def _open(self) -> None:
        if self._read_only and not self.path.exists():
            raise StoreError(self._nothing_yet())
        mode = "ro" if self._read_only else "rwc"
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        self.db = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        if self._read_only:
            try:
                patiently(lambda: self._refuse_old(self.version()))
            except BaseException:
                self.db.close()
                raise

    def _rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        return self.named("read", lambda: self.db.execute(question, values).fetchall())

    def _refuse_old(self, version: int) -> None:
        if version == 0:
            raise StoreError(self._nothing_yet())
        if version < schema.SCHEMA:
            raise StoreError(
                f"{self.path} was written by an older Interlock (schema {version}, this one writes {schema.SCHEMA}), "
                "and reading does not change it: the next interlock deploy brings it up"
            )

    def _nothing_yet(self) -> str:
        return (
            f"nothing has been deployed from here yet: there is no {self.path}. "
            "Begin with: interlock deploy VERSION; or name the state directory with --state"
        )

    def _advice(self, problem: Exception) -> str:
        match getattr(problem, "sqlite_errorcode", 0) & 0xFF:  # the low byte of an extended code is the plain one
            case sqlite3.SQLITE_FULL:
                return "Free space on its file system: writing then goes on by itself, nothing need be started again"
            case sqlite3.SQLITE_READONLY if self._read_only:
                return "It was opened for reading only"
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return "Its directory must exist and be writable for this user; or use another --state"
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return f"Another process has kept it locked for {BUSY_SECONDS:g} s; find it with: fuser {self.path}"
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return "The file is damaged, or is not Interlock's: put a copy back, or use another --state"
        return "Look at its disk (df, dmesg); until it is mended use another --state"

    def _readable(self, build: Callable[[], T], what: str) -> T:
        try:
            return build()
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise StoreError(
                f"{self.path}: the record of {what} cannot be read: {problem}. Upgrade when a newer Interlock wrote "
                "it; else put a copy of the file back, or use another --state"
            ) from problem


def patiently(work: Callable[[], None]) -> None:
    """Try again while the file is locked: SQLite's own patience does not cover two that turn it to WAL at once."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return work()
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def first(found: tuple[T, ...]) -> T | None:
    """Return the first, if there is one."""
    return found[0] if found else None


def _entry(at: str, kind: str, text: str, data: str, seq: int) -> Entry:
    return Entry(datetime.fromisoformat(at), kind, text, json.loads(data), seq)
