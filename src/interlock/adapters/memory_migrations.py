"""How do migrations go in the world in memory? As `takes`, `status` and `lines` say; one may break off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from interlock.core.migration import Migration, Seen, Standing
from interlock.core.release import Revision
from interlock.ports.clock import Clock


@dataclass
class MemoryMigrations:
    """Remembers every run. `begun` has (environment, version, attempt) of each, `ended_by_us` those that were ended."""

    clock: Clock
    takes: timedelta = timedelta(seconds=5)
    status: int = 0
    lines: tuple[str, ...] = ("migrated",)
    begun: list[tuple[str, str, int]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    ended_by_us: list[str] = field(default_factory=list)
    before_call: Callable[[str], None] = lambda call: None
    _seen: dict[tuple[str, str, str], Seen] = field(default_factory=dict)
    _until: dict[tuple[str, str, str], float] = field(default_factory=dict)

    async def look(self, revision: Revision, migration: Migration) -> Seen:
        """Return how far it is by now."""
        self.before_call("look")
        key = _key(revision, migration)
        seen = self._seen.get(key, Seen())
        if seen.standing is Standing.RUNNING and self.clock.monotonic() >= self._until[key]:
            seen = self._seen[key] = replace(seen, standing=Standing.ENDED, status=self.status, lines=self.lines)
        return seen

    async def begin(
        self, revision: Revision, migration: Migration, rollout: str, attempt: int, facts: Mapping[str, Any]
    ) -> None:
        """Begin it, once an attempt."""
        self.before_call("begin")
        key, seen = _key(revision, migration), await self.look(revision, migration)
        if seen.standing is Standing.RUNNING or seen.attempt >= attempt:
            return
        self.begun.append((revision.environment, revision.release.version, attempt))
        self.told.append(dict(facts))
        self._seen[key] = Seen(Standing.RUNNING, attempt, rollout, self.clock.now())
        self._until[key] = self.clock.monotonic() + self.takes.total_seconds()

    async def end(self, revision: Revision, migration: Migration) -> None:
        """End it."""
        self.before_call("end")
        key, seen = _key(revision, migration), await self.look(revision, migration)
        if seen.standing is Standing.RUNNING:
            self.ended_by_us.append(revision.release.version)
            self._seen[key] = replace(seen, standing=Standing.ENDED, status=-15)

    def break_off(self) -> None:
        """Have whatever runs vanish, so that nobody knows how it ended."""
        for key, seen in self._seen.items():
            if seen.standing is Standing.RUNNING:
                self._seen[key] = replace(seen, standing=Standing.LOST)


def _key(revision: Revision, migration: Migration) -> tuple[str, str, str]:
    return revision.environment, revision.release.identity, str(migration)
