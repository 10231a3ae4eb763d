"""What changed anything here, in which order, and is that record still what was written?

Each row holds the hash of the row before it, so that no row can be changed, taken out, put in or moved without a trace.
Who can write the database can write all of it anew; that is found by a *head*, the hash of the last row, which every
report and notification carries out of the database.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from interlock.core.lock import Lock
from interlock.core.record import plain, restore

BEGINNING = "0" * 64
"""What the first row has in place of the hash of the row before."""

_HEAD = re.compile(r"(?:(\d+):)?([0-9a-f]{12,64})")
_PUBLISHED = re.compile(r"\b(\d+):([0-9a-f]{64})\b")


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that changed something. `subject` is the rollout's id, or what else it was about.

    `by` and `channel` say who wanted it and by which surface; empty where nobody did, as for a finding of safety. `seq`
    is the journal's line that says the same, `digest` names that line's data; 0 and empty for what is in no journal.
    """

    at: datetime
    kind: str
    subject: str
    text: str
    by: str = ""
    channel: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of the record at some moment, as it is published: ``57:3f9a…``. `number` 0: it is not known."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}" if self.number else self.hash


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is stored: its number from 1, the hash of the row before, the act as canonical JSON, its hash."""

    number: int
    before: str
    record: str
    hash: str

    @property
    def head(self) -> Head:
        """This row as the last one."""
        return Head(self.number, self.hash)

    @property
    def act(self) -> Act:
        """What it says; raises ValueError when it cannot be read."""
        return restore(Act, json.loads(self.record))


EMPTY = Head(0, BEGINNING)
"""The head of a record in which nothing stands yet."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong, at the row with this number; 0 when it is at no row."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Examined:
    """What an examination found: so many rows up to `head`, and all that is wrong with them."""

    rows: int
    head: Head
    troubles: tuple[Trouble, ...]


def canonical(value: object) -> str:
    """Write a value as the one JSON text that it has: keys in order, no blanks, every sign in ASCII."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"))


def after(last: Head, act: Act) -> Row:
    """Return the row that this act has after the last one."""
    record = canonical(act)
    return Row(last.number + 1, last.hash, record, seal(last.number + 1, last.hash, record))


def seal(number: int, before: str, record: str) -> str:
    """Return a row's hash: SHA-256 over its number, the hash before it, and its record, with line feeds between."""
    return hashlib.sha256(f"{number}\n{before}\n{record}".encode()).hexdigest()


def of_line(subject: str, seq: int, at: datetime, kind: str, text: str, data: Mapping[str, Any]) -> Act:
    """Return what the audit says of a journal's line; who did it is in the line's data, as `by` and `channel`."""
    by, channel = str(data.get("by", "")), str(data.get("channel", ""))
    digest = hashlib.sha256(canonical(data).encode()).hexdigest()
    return Act(at, kind, subject, text, by, channel, {}, seq, digest)


def released(service: str, identity: str, by: str, reason: str, at: datetime, channel: str) -> Act:
    """Return what the audit says of a release that was let out of quarantine."""
    text = f"{identity} released from quarantine by {by}: {reason}"
    return Act(at, "released", service, text, by, channel, {"identity": identity, "reason": reason})


def locked(lock: Lock, channel: str) -> Act:
    """Return what the audit says of a lock."""
    return Act(lock.since, "locked", lock.service, f"{lock.service} {lock}", lock.by, channel)


def unlocked(lock: Lock, by: str, at: datetime, channel: str) -> Act:
    """Return what the audit says of a lock that was taken away."""
    return Act(at, "unlocked", lock.service, f"{lock.service} unlocked by {by}; it was {lock}", by, channel)


def built(image: str, digest: str, what: str, by: str, at: datetime, channel: str) -> Act:
    """Return what the audit says of an image that was built, or got another tag; `what` says which of it."""
    text = f"{what} by {by}" + (f": {digest}" if digest else "")
    return Act(at, "built", image, text, by, channel, {"digest": digest})


def stopped(service: str, what: Iterable[str], by: str, at: datetime, channel: str) -> Act:
    """Return what the audit says of `interlock down`."""
    found = list(what)
    text = f"everything stopped by {by}: {', '.join(found) or 'nothing ran'}"
    return Act(at, "down", service, text, by, channel, {"stopped": found})


def forgot(rollouts: Iterable[str], at: datetime) -> Act:
    """Return what the audit says when old rollouts are forgotten, with their journals; their rows here stay."""
    ids = list(rollouts)
    return Act(at, "forgot", "", f"{len(ids)} old rollouts forgotten: {', '.join(ids)}", data={"rollouts": ids})


def head_of(text: str) -> Head:
    """Read a head as it is published, or its hash alone or shortened; raise ValueError when it is none."""
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f'expected a head such as 57:3f9a…, or at least twelve digits of its hash, found "{text}"')
    return Head(int(match[1] or 0), match[2])


def published_in(text: str) -> Iterator[Head]:
    """Yield every head that stands in a report or a notification."""
    yield from dict.fromkeys(Head(int(number), hash) for number, hash in _PUBLISHED.findall(text))


def examine(rows: Iterable[Row], published: Iterable[Head] = (), journal: Iterable[Act] = ()) -> Examined:
    """Compare the record with itself, with heads that were published of it, and with the journals it was made from."""
    known = list(rows)
    troubles = [
        *_unchained(known),
        *(trouble for head in published if (trouble := _unpublished(known, head)) is not None),
        *_unlike(known, journal),
    ]
    troubles.sort(key=lambda trouble: trouble.number)
    return Examined(len(known), known[-1].head if known else EMPTY, tuple(troubles))


def _unchained(rows: Iterable[Row]) -> Iterator[Trouble]:
    last = EMPTY
    for row in rows:
        if row.number != last.number + 1:
            gone = f"{last.number + 1}" if row.number == last.number + 2 else f"{last.number + 1} to {row.number - 1}"
            yield Trouble(row.number, f"row {row.number} follows row {last.number}: row {gone} was taken out")
        elif row.before != last.hash:
            yield Trouble(row.number, f"row {row.number} was written after another row {last.number} than this one, "
                          f"which was rewritten, moved or put in")  # fmt: skip
        if seal(row.number, row.before, row.record) != row.hash:
            yield Trouble(row.number, f"row {row.number} is not what was written: it was changed or moved")
        last = row.head


def _unpublished(rows: list[Row], head: Head) -> Trouble | None:
    """Say what is wrong when a head that was published is not, or no longer, the hash of its row."""
    if head.number == 0:
        if any(row.hash.startswith(head.hash) for row in rows):
            return None
        return Trouble(0, f"no row has the published hash {head.hash}: the record was cut before it, or written anew")
    found = next((row for row in rows if row.number == head.number), None)
    if found is None:
        last = rows[-1].number if rows else 0
        return Trouble(head.number, f"row {head.number} was published, and the record ends with row {last}: it was cut")
    if found.hash.startswith(head.hash):
        return None
    return Trouble(head.number, f"row {head.number} was published with the hash {head.hash}, and has {found.hash}: "
                   f"it, or what is before it, was written anew")  # fmt: skip


def _unlike(rows: Iterable[Row], journal: Iterable[Act]) -> Iterator[Trouble]:
    """Say where a journal, from which reports are told, differs from what the audit has of it."""
    written: dict[tuple[str, int], Row] = {}
    forgotten: set[str] = set()
    for row in rows:
        try:
            record = json.loads(row.record)
            if record["kind"] == "forgot" and not record["seq"]:
                forgotten.update(record["data"]["rollouts"])
            if record["seq"]:
                written[record["subject"], record["seq"]] = row
        except (ValueError, KeyError, TypeError) as problem:
            yield Trouble(row.number, f"row {row.number} cannot be read: {problem!r}")
    lines = {(line.subject, line.seq): line for line in journal}
    for place, row in written.items():
        line = lines.pop(place, None)
        if line is None and place[0] not in forgotten:
            yield Trouble(row.number, f"row {row.number}: the journal of {place[0]} has lost its line {place[1]}")
        elif line is not None and not _says(row, line):
            yield Trouble(row.number, f"row {row.number}: line {place[1]} in the journal of {place[0]} was changed")
    for subject, seq in sorted(lines):
        yield Trouble(0, f"line {seq} in the journal of {subject} is in no row: it was put in, or its row taken out")


def _says(row: Row, line: Act) -> bool:
    """Whether a row says this; one of an earlier version, which lacked a field, is read first."""
    try:
        return row.record == canonical(line) or row.act == line
    except ValueError:
        return False
