"""Which rows of the past are no longer needed, and how do they go, all at once or none?"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

_MANY = 500
"""Values in one statement: SQLite allows at least 999."""


def prune(db: sqlite3.Connection, runs: int, proofs: int) -> tuple[str, ...]:
    """Forget old rollouts with journal, checkpoint, plan and proof, within the caller's transaction; return their ids.

    What stays: the newest `runs` runs, what is under way, the newest proofs of `proofs` releases in each environment,
    the releases in quarantine, and every run that one of these was made by, whole.
    """
    proven, past = _proofs(db, proofs)
    needed = {rollout for _, rollout in proven} | set(_quarantined(db))
    of_run: dict[str, list[tuple[str, bool]]] = {}
    for run, id, over in db.execute("SELECT run, id, over FROM rollouts ORDER BY number DESC"):
        of_run.setdefault(run, []).append((id, bool(over)))
    old = [one for run in list(of_run.values())[runs:] for one in _unless_needed(run, needed)]
    gone = [id for id, _ in old]
    plans = _plans(db, gone)
    for table, column in (("entries", "rollout"), ("checkpoints", "rollout"), ("told", "rollout"), ("rollouts", "id")):
        _delete(db, table, column, gone)
    _delete(db, "plans", "hash", [hash for hash in plans if not _mentioned(db, hash)])
    forgotten = set(gone)
    _delete(db, "proofs", "number", [str(number) for number, rollout in past if rollout in forgotten])
    return tuple(gone)


def mentioned(db: sqlite3.Connection, name: str) -> bool:
    """Say whether any rollout, plan or proof on record has this name in it, also in one that cannot be read."""
    tables = ("rollouts", "plans", "proofs")
    return any(db.execute(f"SELECT 1 FROM {t} WHERE instr(record, ?) LIMIT 1", (name,)).fetchone() for t in tables)


def _proofs(db: sqlite3.Connection, keep: int) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return the proofs (number, rollout) to be kept, the newest of each release, and the others."""
    kept: list[tuple[int, str]] = []
    past: list[tuple[int, str]] = []
    identities: dict[tuple[str, str], set[str]] = {}
    rows = db.execute("SELECT number, service, environment, rollout, record FROM proofs ORDER BY number DESC")
    for number, service, environment, rollout, record in rows.fetchall():
        known = identities.setdefault((service, environment), set())
        identity = _field(record, "identity") or f"unreadable {number}"
        new = identity not in known and len(known) < keep
        (kept if new or identity.startswith("unreadable") else past).append((number, rollout))
        known.add(identity)
    return kept, past


def _unless_needed(run: list[tuple[str, bool]], needed: set[str]) -> list[tuple[str, bool]]:
    """Return a run's rollouts when none of them is needed: what happened in staging belongs to what production runs."""
    return run if all(over and id not in needed for id, over in run) else []


def _quarantined(db: sqlite3.Connection) -> Iterator[str]:
    for (record,) in db.execute("SELECT record FROM quarantine").fetchall():
        yield _field(record, "rollout")


def _plans(db: sqlite3.Connection, gone: list[str]) -> set[str]:
    found = set()
    for part in _parts(gone):
        marks = ", ".join("?" * len(part))
        rows = db.execute(f"SELECT record FROM rollouts WHERE id IN ({marks})", part).fetchall()
        found |= {_field(record, "plan") for (record,) in rows}
    return found - {""}


def _mentioned(db: sqlite3.Connection, plan: str) -> bool:
    return db.execute("SELECT 1 FROM rollouts WHERE instr(record, ?) LIMIT 1", (plan,)).fetchone() is not None


def _delete(db: sqlite3.Connection, table: str, column: str, values: list[str]) -> None:
    for part in _parts(values):
        db.execute(f"DELETE FROM {table} WHERE {column} IN ({', '.join('?' * len(part))})", part)


def _parts(values: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(values), _MANY):
        yield values[first : first + _MANY]


def _field(record: str, name: str) -> str:
    """Return a field of a record; "" when it cannot be read."""
    try:
        return str(json.loads(record)[name])
    except (ValueError, TypeError, KeyError):
        return ""
