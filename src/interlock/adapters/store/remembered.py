"""What is on record, for somebody who asks again and again? What has not changed is not read out of its JSON again."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, cast

from interlock.adapters.store.records import Records
from interlock.ports.store import Entry

T = TypeVar("T")

_MOST = 64


class RememberedRecords(Records):
    """Records that keep the newest values, by the text that they were read from: values never change."""

    def __init__(self, path: Path) -> None:
        self._values: dict[tuple[str, str], object] = {}
        self._lines: dict[str, tuple[Entry, ...]] = {}
        super().__init__(path)

    def restored(self, kind: type[T], record: str, what: str) -> T:
        key = (str(kind), record)
        if key not in self._values:
            self._values[key] = super().restored(kind, record, what)
            if len(self._values) > _MOST:
                self._values.pop(next(iter(self._values)))
        return cast(T, self._values[key])

    def entries(self, id: str, after: int = 0) -> tuple[Entry, ...]:
        """Return a journal; only what came since is read, for it is only ever added to."""
        known = self._lines.pop(id, ())
        known = (*known, *super().entries(id, known[-1].seq if known else 0))
        self._lines[id] = known
        if len(self._lines) > _MOST:
            self._lines.pop(next(iter(self._lines)))
        return tuple(one for one in known if one.seq > after) if after else known
