"""How are rollouts, plans and proofs kept in one SQLite file, so that what was said to be written is?

All work on the file is done by one thread of its own, so that no fsync holds up the event loop. A caller that is
cancelled leaves its transaction whole: either all of it is written, or none.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from interlock.adapters.store import schema
from interlock.adapters.store.prune import mentioned, prune
from interlock.adapters.store.records import Records, first, patiently
from interlock.core import audit
from interlock.core.audit import Act, Head, Row
from interlock.core.lock import Lock
from interlock.core.plan import Plan
from interlock.core.record import plain
from interlock.core.rollout import Rollout
from interlock.ports.store import Busy, Entry, Fenced, Proof, Quarantined, StoreError

T = TypeVar("T")
_Database = sqlite3.Connection
_Work = Callable[[_Database], T]

# Room that is kept in the write-ahead log and in the file itself, so that a verdict can still be written when the disk
# is full. The log is emptied into the file before it outgrows its room: pages are of 4 KiB.
RESERVE_BYTES = 1 << 20
CHECKPOINT_PAGES = 200

UNREADABLE = "unreadable"


class SQLite:
    """A store in one file. It opens at once, in some ms; raises StoreError when it cannot."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._thread = ThreadPoolExecutor(1, "store")
        try:
            self._records = self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise
        self._db = self._records.db

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
        return await self._call("read", lambda: self._records.plan(hash))

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
        return await self._call("read", lambda: self._records.last_checkpoint(id))

    async def note(self, id: str, entries: tuple[Entry, ...]) -> None:
        lines = _lines(entries)

        def write(db: _Database) -> None:
            if not db.execute("SELECT 1 FROM rollouts WHERE id = ?", (id,)).fetchone():
                raise KeyError(f"no rollout {id}")
            _append(db, id, lines)

        await self._write(write)

    async def rollout(self, id: str) -> Rollout | None:
        return await self._call("read", lambda: self._records.rollout(id))

    async def run(self, run: str) -> tuple[Rollout, ...]:
        return await self._call("read", lambda: self._records.run(run))

    async def heard(self, key: str) -> Rollout | None:
        which = "WHERE instr(record, ?) ORDER BY number"
        found = await self._call("read", lambda: self._records.rollouts_where(which, json.dumps(key)))
        return next((one for one in found if key in one.heard), None)

    async def active(self) -> tuple[Rollout, ...]:
        return await self._call("read", lambda: self._records.rollouts_where("WHERE NOT over ORDER BY number"))

    async def under_way(self) -> tuple[str, ...]:
        question = "SELECT id FROM rollouts WHERE NOT over ORDER BY number"
        return await self._call("read", lambda: tuple(str(id) for (id,) in self._db.execute(question).fetchall()))

    async def rollouts(self, limit: int) -> tuple[Rollout, ...]:
        return await self._call("read", lambda: self._records.rollouts(limit))

    async def entries(self, id: str, after: int = 0) -> tuple[Entry, ...]:
        return await self._call("read", lambda: self._records.entries(id, after))

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
            lock = self._records.restored(Lock, row[0], f"the lock of {service}")
            db.execute("DELETE FROM locks WHERE service = ?", (service,))
            _seal(db, audit.unlocked(lock, by, at, channel))
            return lock

        return await self._write(write)

    async def locked(self, service: str) -> Lock | None:
        question = "SELECT record, service FROM locks WHERE service = ?"
        return first(await self._all(Lock, "the lock of", question, service))

    async def remember(self, environment: str, data: Mapping[str, Any]) -> None:
        row = (environment, _json(data))
        await self._write(lambda db: db.execute("INSERT OR REPLACE INTO environments VALUES (?, ?)", row))

    async def recall(self, environment: str) -> Mapping[str, Any] | None:
        question = "SELECT record, name FROM environments WHERE name = ?"
        return first(await self._all(dict[str, Any], "what is known of", question, environment))

    async def prune(self, runs: int, proofs: int) -> tuple[str, ...]:
        def write(db: _Database) -> tuple[str, ...]:
            gone = prune(db, runs, proofs)
            if gone:
                _seal(db, audit.forgot(gone, datetime.now(UTC)))
            return gone

        return await self._write(write)

    async def mentions(self, name: str) -> bool:
        return await self._call("read", lambda: mentioned(self._db, name))

    async def _all(self, kind: type[T], what: str, question: str, *values: object) -> tuple[T, ...]:
        """Return the values of all rows of (record, its name); restored on the thread too, for it takes as long."""
        return await self._call("read", lambda: self._records.all(kind, what, question, *values))

    async def _write(self, work: _Work[T]) -> T:
        return await self._call("write", lambda: _transact(self._db, work))

    async def _call(self, verb: str, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._records.named, verb, work)

    def _open(self) -> Records:
        records = Records(self.path, read_only=self._read_only)
        if self._read_only:
            return records
        try:
            records.named("open", lambda: patiently(lambda: self._prepare(records)))
        except BaseException:
            records.db.close()
            raise
        return records

    def _prepare(self, records: Records) -> None:
        db, version = records.db, records.version()
        if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StoreError(f"cannot open {self.path}: its file system bears no write-ahead log; use another --state")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if version < schema.SCHEMA:
            _transact(db, lambda _: self._migrate(records))
        self._reserve(db)

    def _migrate(self, records: Records) -> None:
        db, now = records.db, records.version()
        for version, statements in enumerate(schema.SCHEMAS[now:], now + 1):
            for statement in statements:
                db.execute(statement)
            if version == schema.AUDITED_SINCE:
                self._take_over(db)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(schema.SCHEMA),))

    def _take_over(self, db: _Database) -> None:
        """Put what was on record before there was an audit into it, in the order in which it happened."""
        acts = [act for act in _journals(db, "at, rollout, seq") if act.digest != UNREADABLE]
        for service, identity, by, reason, at in db.execute(
            "SELECT service, identity, released_by, reason, at FROM released"
        ):
            acts.append(audit.released(service, identity, by, reason, datetime.fromisoformat(at), ""))
        for act in sorted(acts, key=lambda act: act.at):
            _seal(db, act)

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
            raise Busy(self._records.restored(Rollout, row[0], f"rollout {row[1]}"))


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


def _updated(rollout: Rollout, entries: tuple[Entry, ...]) -> str:
    return max(rollout.since, rollout.step_since, *(entry.at for entry in entries)).isoformat()


def _json(value: object) -> str:
    return json.dumps(plain(value), separators=(",", ":"))


def _text(text: str) -> str:
    """Write out what is not Unicode: arguments and output of programs may hold bytes that SQLite cannot keep."""
    return text.encode(errors="backslashreplace").decode()
