"""How are rollouts, plans and proofs kept in one SQLite file, so that what was said to be written is?

All work on the file is done by one thread of its own, so that no fsync holds up the event loop. A caller that is
cancelled leaves its transaction whole: either all of it is written, or none.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from interlock.adapters.store.prune import mentioned, prune
from interlock.core import audit
from interlock.core.audit import Act, Head, Row
from interlock.core.lock import Lock
from interlock.core.plan import Plan
from interlock.core.record import plain, restore
from interlock.core.rollout import Rollout
from interlock.ports.store import Busy, Entry, Fenced, Proof, Quarantined, StoreError

T = TypeVar("T")
_Database = sqlite3.Connection
_Work = Callable[[_Database], T]

BUSY_SECONDS = 5.0
# Room that is kept in the write-ahead log and in the file itself, so that a verdict can still be written when the disk
# is full. The log is emptied into the file before it outgrows its room: pages are of 4 KiB.
RESERVE_BYTES = 1 << 20
CHECKPOINT_PAGES = 200

# One tuple of statements leads from each version of the schema to the next; a released one is never changed.
# The number of a row is the order in which it came; clocks jump.
SCHEMAS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE plans (hash TEXT PRIMARY KEY, record TEXT NOT NULL)",
        """CREATE TABLE rollouts (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL,
            service TEXT NOT NULL, environment TEXT NOT NULL, phase TEXT NOT NULL, over INTEGER NOT NULL,
            epoch INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '',
            record TEXT NOT NULL, started TEXT NOT NULL, updated TEXT NOT NULL)""",
        "CREATE UNIQUE INDEX one_active ON rollouts (service, environment) WHERE NOT over",
        "CREATE INDEX rollouts_of_a_run ON rollouts (run)",
        """CREATE TABLE entries (
            rollout TEXT NOT NULL REFERENCES rollouts (id), seq INTEGER NOT NULL, at TEXT NOT NULL,
            kind TEXT NOT NULL, text TEXT NOT NULL, data TEXT NOT NULL,
            PRIMARY KEY (rollout, seq)) WITHOUT ROWID""",
        "CREATE TABLE checkpoints (rollout TEXT PRIMARY KEY REFERENCES rollouts (id), record TEXT NOT NULL)",
        """CREATE TABLE proofs (
            number INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, environment TEXT NOT NULL,
            subject TEXT NOT NULL, rollout TEXT NOT NULL, record TEXT NOT NULL,
            UNIQUE (service, environment, subject, rollout))""",
        """CREATE TABLE quarantine (
            number INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, identity TEXT NOT NULL,
            record TEXT NOT NULL, UNIQUE (service, identity))""",
        """CREATE TABLE released (
            number INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, identity TEXT NOT NULL,
            record TEXT NOT NULL, released_by TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL)""",
        "CREATE TABLE environments (name TEXT PRIMARY KEY, record TEXT NOT NULL)",
        "CREATE TABLE numbers (service TEXT PRIMARY KEY, last INTEGER NOT NULL)",
        "CREATE TABLE reserve (filler BLOB)",
    ),
    (  # the audit, and locks; `_take_over` then adds what was on record before
        """CREATE TABLE audit (
            number INTEGER PRIMARY KEY, before TEXT NOT NULL, record TEXT NOT NULL, hash TEXT NOT NULL)""",
        """CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END""",
        """CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit is only ever added to'); END""",
        "CREATE TABLE locks (service TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID",
    ),
    (  # who has been told what; not in the audit, for it changes nothing
        """CREATE TABLE told (
            reader TEXT NOT NULL, rollout TEXT NOT NULL REFERENCES rollouts (id), seq INTEGER NOT NULL,
            PRIMARY KEY (reader, rollout)) WITHOUT ROWID""",
    ),
)
SCHEMA = len(SCHEMAS)
AUDITED_SINCE = 2
UNREADABLE = "unreadable"


class SQLite:
    """A store in one file. It opens at once, in some ms; raises StoreError when it cannot."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._thread = ThreadPoolExecutor(1, "store")
        try:
            self._db = self._thread.submit(self._named, "open", self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def close(self) -> None:
        """Finish what is under way and let go of the file."""
        with suppress(RuntimeError):  # closed already
            self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    async def number(self, service: str) -> int:
        def write(db: _Database) -> int:
            db.execute(
                "INSERT INTO numbers VALUES (?, 1) ON CONFLICT (service) DO UPDATE SET last = last + 1", (service,)
            )
            return int(db.execute("SELECT last FROM numbers WHERE service = ?", (service,)).fetchone()[0])

        return await self._write(write)

    async def add_plan(self, plan: Plan) -> None:
        row = (plan.hash, _json(plan))
        await self._write(lambda db: db.execute("INSERT OR IGNORE INTO plans VALUES (?, ?)", row))

    async def plan(self, hash: str) -> Plan | None:
        return _first(await self._all(Plan, "plan", "SELECT record, hash FROM plans WHERE hash = ?", hash))

    async def begin(self, rollout: Rollout, entry: Entry) -> None:
        release = rollout.stage.revision.release
        row = (
            *(rollout.id, rollout.run, release.service, rollout.stage.environment),
            *(rollout.phase.value, rollout.over, _json(rollout)),
            *(rollout.started.isoformat(), _updated(rollout, (entry,))),
        )
        lines = _lines((entry,))

        def write(db: _Database) -> None:
            try:
                db.execute(
                    "INSERT INTO rollouts (id, run, service, environment, phase, over, record, started, updated) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
            except sqlite3.IntegrityError:
                self._refuse_second(db, rollout)
                raise ValueError(f"{rollout.id} was begun already, and is over") from None
            _append(db, rollout.id, lines)

        await self._write(write)

    async def claim(self, id: str, owner: str) -> int:
        def write(db: _Database) -> int:
            db.execute("UPDATE rollouts SET epoch = epoch + 1, owner = ? WHERE id = ?", (owner, id))
            row = db.execute("SELECT epoch FROM rollouts WHERE id = ?", (id,)).fetchone()
            if row is None:
                raise KeyError(f"no rollout {id}")
            return int(row[0])

        return await self._write(write)

    async def save(
        self,
        rollout: Rollout,
        epoch: int,
        entries: tuple[Entry, ...] = (),
        proof: Proof | None = None,
        quarantined: Quarantined | None = None,
    ) -> None:
        row = (rollout.phase.value, rollout.over, _json(rollout), _updated(rollout, entries), rollout.id, epoch)
        lines = _lines(entries)

        def write(db: _Database) -> None:
            try:
                changed = db.execute(
                    "UPDATE rollouts SET phase = ?, over = ?, record = ?, updated = ? WHERE id = ? AND epoch = ?", row
                ).rowcount
            except sqlite3.IntegrityError:
                # A failed rollout goes back once more, and another has begun since.
                self._refuse_second(db, rollout)
                raise
            if not changed:
                raise Fenced(_fenced(db, rollout.id, epoch))
            _append(db, rollout.id, lines)
            if proof is not None:
                _prove(db, proof)
            if quarantined is not None:
                _quarantine(db, quarantined)

        await self._write(write)

    async def checkpoint(self, id: str, epoch: int, data: Mapping[str, Any]) -> None:
        record = _json(data)

        def write(db: _Database) -> None:
            if not db.execute("SELECT 1 FROM rollouts WHERE id = ? AND epoch = ?", (id, epoch)).fetchone():
                raise Fenced(_fenced(db, id, epoch))
            db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (id, record))

        await self._write(write)

    async def last_checkpoint(self, id: str) -> Mapping[str, Any] | None:
        question = "SELECT record, rollout FROM checkpoints WHERE rollout = ?"
        return _first(await self._all(dict[str, Any], "the checkpoint of rollout", question, id))

    async def note(self, id: str, entries: tuple[Entry, ...]) -> None:
        lines = _lines(entries)

        def write(db: _Database) -> None:
            if not db.execute("SELECT 1 FROM rollouts WHERE id = ?", (id,)).fetchone():
                raise KeyError(f"no rollout {id}")
            _append(db, id, lines)

        await self._write(write)

    async def rollout(self, id: str) -> Rollout | None:
        return _first(await self._rollouts("WHERE id = ?", id))

    async def run(self, run: str) -> tuple[Rollout, ...]:
        return await self._rollouts("WHERE run = ? ORDER BY number", run)

    async def active(self) -> tuple[Rollout, ...]:
        return await self._rollouts("WHERE NOT over ORDER BY number")

    async def under_way(self) -> tuple[str, ...]:
        question = "SELECT id FROM rollouts WHERE NOT over ORDER BY number"
        return await self._call("read", lambda: tuple(str(id) for (id,) in self._db.execute(question).fetchall()))

    async def rollouts(self, limit: int) -> tuple[Rollout, ...]:
        return await self._rollouts("ORDER BY number DESC LIMIT ?", limit)

    async def entries(self, id: str, after: int = 0) -> tuple[Entry, ...]:
        question = "SELECT at, kind, text, data, seq FROM entries WHERE rollout = ? AND seq > ? ORDER BY seq"

        def read() -> tuple[Entry, ...]:
            rows = self._db.execute(question, (id, after)).fetchall()
            return tuple(self._readable(partial(_entry, *row), f"line {row[-1]} of rollout {id}") for row in rows)

        return await self._call("read", read)

    async def journals(self, limit: int) -> tuple[tuple[str, int], ...]:
        question = (
            "SELECT id, (SELECT ifnull(max(seq), 0) FROM entries WHERE rollout = id) FROM rollouts "
            "ORDER BY number DESC LIMIT ?"
        )
        return await self._call(
            "read", lambda: tuple((str(id), int(seq)) for id, seq in self._db.execute(question, (limit,)).fetchall())
        )

    async def told(self, reader: str, id: str) -> int:
        question = "SELECT seq FROM told WHERE reader = ? AND rollout = ?"
        row = await self._call("read", lambda: self._db.execute(question, (reader, id)).fetchone())
        return 0 if row is None else int(row[0])

    async def tell(self, reader: str, id: str, seq: int) -> None:
        write = (
            "INSERT INTO told VALUES (?, ?, ?) ON CONFLICT (reader, rollout) DO UPDATE SET seq = max(seq, excluded.seq)"
        )
        await self._write(lambda db: db.execute(write, (reader, id, seq)))

    async def proofs(self, service: str, environment: str) -> tuple[Proof, ...]:
        question = "SELECT record, rollout FROM proofs WHERE service = ? AND environment = ? ORDER BY number DESC"
        return await self._all(Proof, "the proof by rollout", question, service, environment)

    async def quarantine(self, service: str) -> tuple[Quarantined, ...]:
        question = "SELECT record, identity FROM quarantine WHERE service = ? ORDER BY number DESC"
        return await self._all(Quarantined, "the quarantine of", question, service)

    async def release(self, service: str, identity: str, by: str, reason: str, at: datetime, channel: str = "") -> bool:
        said = (_text(by), _text(reason), at.isoformat())
        act = audit.released(service, identity, said[0], said[1], at, channel)

        def write(db: _Database) -> bool:
            which = (service, identity)
            row = db.execute("SELECT record FROM quarantine WHERE service = ? AND identity = ?", which).fetchone()
            if row is None:
                return False
            db.execute("DELETE FROM quarantine WHERE service = ? AND identity = ?", which)
            db.execute(
                "INSERT INTO released (service, identity, record, released_by, reason, at) VALUES (?, ?, ?, ?, ?, ?)",
                (*which, row[0], *said),
            )
            _seal(db, act)
            return True

        return await self._write(write)

    async def act(self, act: Act) -> None:
        await self._write(lambda db: _seal(db, act))

    async def audit(self, after: int = 0, limit: int = 10_000) -> tuple[Row, ...]:
        which = "WHERE number > ? ORDER BY number LIMIT ?"
        return await self._call("read", lambda: _rows(self._db, which, after, limit))

    async def head(self) -> Head:
        return await self._call("read", lambda: _head(self._db))

    async def audited(self) -> tuple[tuple[Row, ...], tuple[Act, ...]]:
        def read() -> tuple[tuple[Row, ...], tuple[Act, ...]]:
            self._db.execute("BEGIN")
            try:
                return _rows(self._db, "ORDER BY number"), tuple(_journals(self._db, "rollout, seq"))
            finally:
                self._db.execute("COMMIT")

        return await self._call("read", read)

    async def lock(self, lock: Lock, channel: str = "") -> None:
        act = audit.locked(lock, channel)

        def write(db: _Database) -> None:
            db.execute("INSERT OR REPLACE INTO locks VALUES (?, ?)", (lock.service, _json(lock)))
            _seal(db, act)

        await self._write(write)

    async def unlock(self, service: str, by: str, at: datetime, channel: str = "") -> Lock | None:
        def write(db: _Database) -> Lock | None:
            row = db.execute("SELECT record FROM locks WHERE service = ?", (service,)).fetchone()
            if row is None:
                return None
            lock = self._restored(Lock, row[0], f"the lock of {service}")
            db.execute("DELETE FROM locks WHERE service = ?", (service,))
            _seal(db, audit.unlocked(lock, by, at, channel))
            return lock

        return await self._write(write)

    async def locked(self, service: str) -> Lock | None:
        question = "SELECT record, service FROM locks WHERE service = ?"
        return _first(await self._all(Lock, "the lock of", question, service))

    async def remember(self, environment: str, data: Mapping[str, Any]) -> None:
        row = (environment, _json(data))
        await self._write(lambda db: db.execute("INSERT OR REPLACE INTO environments VALUES (?, ?)", row))

    async def recall(self, environment: str) -> Mapping[str, Any] | None:
        question = "SELECT record, name FROM environments WHERE name = ?"
        return _first(await self._all(dict[str, Any], "what is known of", question, environment))

    async def prune(self, runs: int, proofs: int) -> tuple[str, ...]:
        def write(db: _Database) -> tuple[str, ...]:
            gone = prune(db, runs, proofs)
            if gone:
                _seal(db, audit.forgot(gone, datetime.now(UTC)))
            return gone

        return await self._write(write)

    async def mentions(self, name: str) -> bool:
        return await self._call("read", lambda: mentioned(self._db, name))

    async def _rollouts(self, which: str, *values: object) -> tuple[Rollout, ...]:
        return await self._all(Rollout, "rollout", f"SELECT record, id FROM rollouts {which}", *values)

    async def _all(self, kind: type[T], what: str, question: str, *values: object) -> tuple[T, ...]:
        """Return the values of all rows of (record, its name); restored on the thread too, for it takes as long."""

        def read() -> tuple[T, ...]:
            rows = self._db.execute(question, values).fetchall()
            return tuple(self._restored(kind, record, f"{what} {name}") for record, name in rows)

        return await self._call("read", read)

    async def _write(self, work: _Work[T]) -> T:
        return await self._call("write", lambda: _transact(self._db, work))

    async def _call(self, verb: str, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._named, verb, work)

    def _named(self, verb: str, work: Callable[[], T]) -> T:
        """Do it; turn what SQLite says into what a person can act upon."""
        try:
            return work()
        except (sqlite3.Error, OSError) as problem:
            raise StoreError(f"cannot {verb} {self.path}: {problem}. {self._advice(problem)}") from problem

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

    def _open(self) -> _Database:
        if self._read_only and not self.path.exists():
            raise StoreError(self._nothing_yet())
        mode = "ro" if self._read_only else "rwc"
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        db = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _patiently(lambda: self._prepare(db))
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: _Database) -> None:
        version = self._version(db)
        if self._read_only:
            self._refuse_old(version)
            return
        if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StoreError(f"cannot open {self.path}: its file system bears no write-ahead log; use another --state")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if version < SCHEMA:
            _transact(db, self._migrate)
        self._reserve(db)

    def _version(self, db: _Database) -> int:
        """Return the schema's version, 0 for a new file; raise StoreError when it is not ours or newer than we are."""
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return 0
        row = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if "meta" in tables else None
        if row is None:
            raise StoreError(f"{self.path} is a database of something else than Interlock: use another --state")
        if int(row[0]) > SCHEMA:
            raise StoreError(
                f"{self.path} was written by a newer Interlock (schema {row[0]}, this one knows {SCHEMA}): "
                "upgrade, or use another --state"
            )
        return int(row[0])

    def _migrate(self, db: _Database) -> None:
        for version, statements in enumerate(SCHEMAS[self._version(db) :], self._version(db) + 1):
            for statement in statements:
                db.execute(statement)
            if version == AUDITED_SINCE:
                self._take_over(db)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))

    def _take_over(self, db: _Database) -> None:
        """Put what was on record before there was an audit into it, in the order in which it happened."""
        acts = [act for act in _journals(db, "at, rollout, seq") if act.digest != UNREADABLE]
        for service, identity, by, reason, at in db.execute(
            "SELECT service, identity, released_by, reason, at FROM released"
        ):
            acts.append(audit.released(service, identity, by, reason, datetime.fromisoformat(at), ""))
        for act in sorted(acts, key=lambda act: act.at):
            _seal(db, act)

    def _refuse_old(self, version: int) -> None:
        if version == 0:
            raise StoreError(self._nothing_yet())
        if version < SCHEMA:
            raise StoreError(
                f"{self.path} was written by an older Interlock (schema {version}, this one writes {SCHEMA}), and "
                "reading does not change it: the next interlock deploy brings it up"
            )

    def _nothing_yet(self) -> str:
        return (
            f"nothing has been deployed from here yet: there is no {self.path}. "
            "Begin with: interlock deploy VERSION; or name the state directory with --state"
        )

    def _reserve(self, db: _Database) -> None:
        """Grow the log and the file now, while there is room.

        What is written and deleted leaves free pages in the file and a log of that length. Measured: 6 ms, once; on a
        full disk some thousand transactions then still fit, where none did.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        pages = RESERVE_BYTES // int(db.execute("PRAGMA page_size").fetchone()[0])
        free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
        if free >= pages and log.exists() and log.stat().st_size >= RESERVE_BYTES:
            return

        def write(db: _Database) -> None:
            db.execute("INSERT INTO reserve VALUES (zeroblob(?))", (RESERVE_BYTES,))
            db.execute("DELETE FROM reserve")

        with suppress(sqlite3.OperationalError):  # a disk that is full already must not forbid reading
            _transact(db, write)
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _refuse_second(self, db: _Database, rollout: Rollout) -> None:
        """Raise Busy with the rollout that is active where this one wants to be, when there is one."""
        row = db.execute(
            "SELECT record, id FROM rollouts WHERE service = ? AND environment = ? AND NOT over",
            (rollout.stage.revision.release.service, rollout.stage.environment),
        ).fetchone()
        if row is not None:
            raise Busy(self._restored(Rollout, row[0], f"rollout {row[1]}"))

    def _restored(self, kind: type[T], record: str, what: str) -> T:
        return self._readable(lambda: restore(kind, json.loads(record)), what)

    def _readable(self, build: Callable[[], T], what: str) -> T:
        try:
            return build()
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise StoreError(
                f"{self.path}: the record of {what} cannot be read: {problem}. Upgrade when a newer Interlock wrote "
                "it; else put a copy of the file back, or use another --state"
            ) from problem


def _transact(db: _Database, work: _Work[T]) -> T:
    """Do all of it or nothing. IMMEDIATE: a transaction that begins by reading could not be upgraded when another
    process writes meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        db.execute("COMMIT")
        return result
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back when the disk is full
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise


def _patiently(work: Callable[[], None]) -> None:
    """Try again while the file is locked: SQLite's own patience does not cover two that turn it to WAL at once."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return work()
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _first(found: tuple[T, ...]) -> T | None:
    return found[0] if found else None


def _append(db: _Database, id: str, lines: tuple[tuple[str, str, str, str], ...]) -> None:
    last = int(db.execute("SELECT ifnull(max(seq), 0) FROM entries WHERE rollout = ?", (id,)).fetchone()[0])
    for seq, line in enumerate(lines, last + 1):
        db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", (id, seq, *line))
        _seal(db, _act(id, seq, *line))


def _seal(db: _Database, act: Act) -> None:
    """Add a row to the audit, in the transaction of what it tells."""
    row = audit.after(_head(db), act)
    db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (row.number, row.before, row.record, row.hash))


def _head(db: _Database) -> Head:
    row = db.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    return audit.EMPTY if row is None else Head(*row)


def _rows(db: _Database, which: str, *values: object) -> tuple[Row, ...]:
    rows = db.execute(f"SELECT number, before, record, hash FROM audit {which}", values).fetchall()
    return tuple(Row(int(number), str(before), str(record), str(hash)) for number, before, record, hash in rows)


def _journals(db: _Database, order: str) -> Iterator[Act]:
    """Yield what the audit must say of each line of each journal; one that cannot be read is like no row."""
    for id, seq, *line in db.execute(
        f"SELECT rollout, seq, at, kind, text, data FROM entries ORDER BY {order}"
    ).fetchall():
        try:
            yield _act(id, seq, *line)
        except (ValueError, TypeError, AttributeError):
            yield Act(datetime.min.replace(tzinfo=UTC), "", id, "", seq=seq, digest=UNREADABLE)


def _act(id: str, seq: int, at: str, kind: str, text: str, data: str) -> Act:
    return audit.of_line(id, seq, datetime.fromisoformat(at), kind, text, json.loads(data))


def _prove(db: _Database, proof: Proof) -> None:
    db.execute(
        "INSERT OR REPLACE INTO proofs (service, environment, subject, rollout, record) VALUES (?, ?, ?, ?, ?)",
        (proof.service, proof.environment, proof.subject, proof.rollout, _json(proof)),
    )


def _quarantine(db: _Database, quarantined: Quarantined) -> None:
    db.execute(
        "INSERT OR REPLACE INTO quarantine (service, identity, record) VALUES (?, ?, ?)",
        (quarantined.service, quarantined.identity, _json(quarantined)),
    )


def _fenced(db: _Database, id: str, epoch: int) -> str:
    row = db.execute("SELECT owner, epoch FROM rollouts WHERE id = ?", (id,)).fetchone()
    if row is None:
        return f"there is no rollout {id} any more: stop at once"
    return f"{id} was taken over by {row[0] or 'nobody'} (epoch {row[1]}, ours is {epoch}): stop at once"


def _lines(entries: tuple[Entry, ...]) -> tuple[tuple[str, str, str, str], ...]:
    return tuple((e.at.isoformat(), _text(e.kind), _text(e.text), _json(e.data)) for e in entries)


def _entry(at: str, kind: str, text: str, data: str, seq: int) -> Entry:
    return Entry(datetime.fromisoformat(at), kind, text, json.loads(data), seq)


def _updated(rollout: Rollout, entries: tuple[Entry, ...]) -> str:
    return max(rollout.since, rollout.step_since, *(entry.at for entry in entries)).isoformat()


def _json(value: object) -> str:
    return json.dumps(plain(value), separators=(",", ":"))


def _text(text: str) -> str:
    """Write out what is not Unicode: arguments and output of programs may hold bytes that SQLite cannot keep."""
    return text.encode(errors="backslashreplace").decode()
