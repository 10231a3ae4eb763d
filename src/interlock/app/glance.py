"""How does a run stand, for somebody who asks again and again? As `view`, and a hundred times a second if need be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from interlock.adapters.inquiry import Rejected, Unreachable
from interlock.adapters.line import ask
from interlock.adapters.store.remembered import RememberedRecords
from interlock.app import view as look
from interlock.app.state import StateDirectory
from interlock.app.view import View
from interlock.core.record import restore
from interlock.core.rollout import Rollout

FRESH_FOR = timedelta(milliseconds=250)
"""What the keeper told is as good as new for so long: it looks at health every second, and samples less often."""


_MOST = 16


class Glance:
    """Views of one state directory."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._records: RememberedRecords | None = None
        self._file = 0
        self._told: Mapping[str, Any] | None = None
        self._told_at = -1.0
        self._rollouts: dict[str, tuple[Any, Rollout]] = {}

    async def view(self, run: str | None = None) -> View:
        """Return one run, the newest when none is named; accepts a rollout's id too.

        Raises NoSuchRollout, or StoreError when the records cannot be read.
        """
        told = await self._live()
        return look.seen(self._open(), run, told, self._as_told)

    def newest(self, limit: int) -> tuple[Rollout, ...]:
        """Return the newest rollouts, newest first; none where nothing was ever deployed."""
        return self._open().rollouts(limit) if self._state.database.exists() else ()

    def forget(self) -> None:
        """Ask the keeper anew the next time: somebody has just changed something."""
        self._told_at = -1.0

    def close(self) -> None:
        """Let go of the records."""
        if self._records is not None:
            self._records.db.close()
            self._records = None

    def _open(self) -> RememberedRecords:
        """Return the records; opened anew when the file is another one by now."""
        try:
            file = self._state.database.stat().st_ino
        except OSError:
            file = 0
        if self._records is None or self._file != file:
            self.close()
            self._records, self._file = RememberedRecords(self._state.database), file
        return self._records

    async def _live(self) -> Mapping[str, Any] | None:
        if time.monotonic() - self._told_at >= FRESH_FOR.total_seconds():
            try:
                self._told = await ask(self._state.socket, look.LIVE, {}, look.ANSWERS_WITHIN)
            except (Unreachable, Rejected):
                self._told = None
            self._told_at = time.monotonic()
        return self._told

    def _as_told(self, told: Mapping[str, Any]) -> Rollout:
        """Return a rollout as the keeper has it; one of which it tells the same as before is not read again."""
        record = told["rollout"]
        before, rollout = self._rollouts.pop(record["id"], (None, None))
        if rollout is None or before != record:
            rollout = restore(Rollout, record)
        self._rollouts[record["id"]] = (record, rollout)
        if len(self._rollouts) > _MOST:
            self._rollouts.pop(next(iter(self._rollouts)))
        return rollout
