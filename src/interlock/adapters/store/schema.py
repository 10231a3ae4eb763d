"""Of which tables is the file made, and how did it come to have them?"""

from __future__ import annotations

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
