"""How is a release's migration run once as a process, kept track of whoever dies, and its end known to whoever comes?

A small shell is the command's parent: it marks that it was begun (a mark that only one can make), and writes down how
it ended. So the next keeper knows, whatever became of the last one. The shell leads a session of its own and carries a
label, as instances do; a keeper that comes finds it by that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from signal import Signals
from typing import Any

from interlock.adapters.secrets import kept
from interlock.adapters.workload.process.launch import Launch
from interlock.adapters.workload.slots import log
from interlock.core.hooks import variables
from interlock.core.migration import Migration, Seen, Standing
from interlock.core.record import plain, restore
from interlock.core.release import Revision, fingerprint
from interlock.ports.clock import Clock
from interlock.ports.host import Command, Host, HostError, Process
from interlock.ports.workload import WorkloadError

SCHEMA = 1
LINES = 20
_DIES_WITHIN = timedelta(seconds=5)
_NAME = "migration"

# `trap :` keeps the shell alive through the TERM that its group gets, so that it can still say how the command ended.
# The mark is made with O_EXCL (`set -C`): of two shells for one attempt the second does nothing.
_SHELL = """
set -C; true >"$INTERLOCK_MARK.begun" || exit 75; set +C
mark=$INTERLOCK_MARK; unset INTERLOCK_MARK
trap : TERM INT HUP
"$@"
status=$?
echo "$status" >"$mark.ended.part" && mv "$mark.ended.part" "$mark.ended"
exit "$status"
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """What is on disk of a migration before its command starts: by which rollout, when, as what."""

    revision: str
    rollout: str
    attempt: int
    at: datetime
    command: tuple[str, ...]
    process: Process | None = None
    schema: int = SCHEMA


class Migrations:
    """Migrations as processes; see `Processes`, beside which it works in the same directory."""

    def __init__(self, host: Host, directory: Path, clock: Clock, label: str, artefacts: Path, secrets: Path) -> None:
        self._host, self._clock, self._label = host, clock, label
        self._artefacts, self._secrets = artefacts, secrets
        self._records, self._logs = directory / "migrations", directory / "logs"

    async def look(self, revision: Revision, migration: Migration) -> Seen:
        """Return how far it is; raise WorkloadError when the record of it cannot be read."""
        begun = self._begun(revision, migration)
        if begun is None:
            return Seen()
        log.limit(self._log(begun.revision))
        process = await self._process(revision.environment, begun)
        alive = process is not None and await self._host.alive(process)
        known = Seen(Standing.RUNNING, begun.attempt, begun.rollout, begun.at, lines=self._lines(begun.revision))
        if alive:
            return known
        status = self._status(revision, migration, begun)
        if status is None and process is not None:
            status = await self._host.exit_status(process)
        if status is not None:
            return replace(known, standing=Standing.ENDED, status=status)
        if not self._mark(revision, migration, begun.attempt, "begun").exists():
            return replace(known, standing=Standing.NEW, attempt=begun.attempt - 1)
        return replace(known, standing=Standing.LOST)

    async def begin(
        self, revision: Revision, migration: Migration, rollout: str, attempt: int, facts: Mapping[str, Any]
    ) -> None:
        """Begin it; that it is begun is recorded first. Raises WorkloadError."""
        seen = await self.look(revision, migration)
        if seen.standing is Standing.RUNNING or seen.attempt >= attempt:
            return
        begun = Begun(revision.name, rollout, attempt, self._clock.now(), migration.command)
        try:
            command = self._command(revision, migration, attempt, facts)
            self._write(revision, migration, begun)
            process = await self._host.start(command)
            self._write(revision, migration, replace(begun, process=process))
        except HostError as problem:
            raise WorkloadError(f"migration of {revision.name}: {problem}") from problem

    async def end(self, revision: Revision, migration: Migration) -> None:
        """End it with its whole group; raise WorkloadError when it does not end."""
        begun = self._begun(revision, migration)
        process = await self._process(revision.environment, begun) if begun else None
        if process is not None:
            await self._halt(process, revision.release.configuration.stop_within)

    async def clear(self, within: timedelta = timedelta(seconds=10)) -> list[str]:
        """End whatever migration runs; return their labels."""
        found = [one for one in await self._host.find(f"{self._label}/") if one.label.endswith(f"/{_NAME}")]
        for process in found:
            await self._halt(process, within)
        return [one.label.removeprefix(f"{self._label}/") for one in found]

    async def prune(self, recorded: Callable[[str], Awaitable[bool]]) -> tuple[str, ...]:
        """Keep of the migrations of rollouts that are on record no more only that they are done; return the logs gone.

        That stays for good: the same release can be made of the same commit at any time, and must not do it again. Of
        one that is not done all stays, for whether it may be begun again depends on how it broke off.
        """
        gone = []
        for path in sorted(self._records.glob("*.json")):
            begun, name = self._ours(path), path.name.removesuffix(".json")
            if begun is None or self._ended_with(f"{name}-{begun.attempt}") != 0 or await recorded(begun.rollout):
                continue
            for mark in self._records.glob(f"{name}-*"):
                if mark.name != f"{name}-{begun.attempt}.ended":
                    self._host.remove(mark)
            if (log := self._log(begun.revision)).exists():
                self._host.remove(log)
                gone.append(log.name)
        return tuple(gone)

    async def _halt(self, process: Process, within: timedelta) -> None:
        """TERM to the group, as the shell waits for the command; grace; KILL."""
        await self._host.signal(process, Signals.SIGTERM, group=True)
        await self._host.gone(process, within)
        await self._host.signal(process, Signals.SIGKILL, group=True)
        if not await self._host.gone(process, _DIES_WITHIN):
            raise WorkloadError(f"{process.label}: pid {process.pid} was killed and does not end")

    async def _process(self, environment: str, begun: Begun) -> Process | None:
        """Return its process, also when the keeper died before it could record it."""
        if begun.process is not None:
            return begun.process
        found = await self._host.find(self._label_of(environment, begun.revision))
        return found[0] if found else None

    def _command(self, revision: Revision, migration: Migration, attempt: int, facts: Mapping[str, Any]) -> Command:
        launch = Launch(self._host, revision, self._label, self._artefacts, self._secrets, self._logs)
        environment = {
            **variables(facts),
            **launch.surroundings(),
            "INTERLOCK_FACTS": json.dumps(facts, ensure_ascii=False),
            "INTERLOCK_MARK": str(self._mark(revision, migration, attempt, "begun").with_suffix("")),
        }
        argv = ("/bin/sh", "-c", _SHELL, "migration", *migration.command)
        label = self._label_of(revision.environment, revision.name)
        return Command(label, argv, launch.present(), self._log(revision.name), environment)

    def _label_of(self, environment: str, revision: str) -> str:
        return f"{self._label}/{environment}/{revision}/{_NAME}"

    def _log(self, revision: str) -> Path:
        return self._logs / f"{revision}-{_NAME}.log"

    def _lines(self, revision: str) -> tuple[str, ...]:
        return log.tail(self._log(revision), LINES, kept(self._secrets))

    def _name(self, revision: Revision, migration: Migration) -> str:
        """Name a release's migration: the same one of the same release, whichever revision it runs as."""
        return f"{revision.environment}-{revision.release.identity}-{fingerprint(list(migration.command))[:8]}"

    def _mark(self, revision: Revision, migration: Migration, attempt: int, what: str) -> Path:
        return self._records / f"{self._name(revision, migration)}-{attempt}.{what}"

    def _begun(self, revision: Revision, migration: Migration) -> Begun | None:
        path = self._records / f"{self._name(revision, migration)}.json"
        content = self._host.read(path)
        if content is None:
            return None
        try:
            return restore(Begun, json.loads(content))
        except (ValueError, TypeError, AttributeError) as problem:
            raise WorkloadError(f"cannot read {path}: {problem}; which version of interlock wrote it?") from problem

    def _write(self, revision: Revision, migration: Migration, begun: Begun) -> None:
        path = self._records / f"{self._name(revision, migration)}.json"
        self._host.write(path, json.dumps(plain(begun), indent=1).encode(), mode=0o600, durable=True)

    def _ours(self, path: Path) -> Begun | None:
        """Read a record by its path; None for one of another kind, or that cannot be read: it is left alone."""
        try:
            return restore(Begun, json.loads(self._host.read(path) or b""))
        except (ValueError, TypeError, AttributeError):
            return None

    def _status(self, revision: Revision, migration: Migration, begun: Begun) -> int | None:
        return self._ended_with(f"{self._name(revision, migration)}-{begun.attempt}")

    def _ended_with(self, attempt: str) -> int | None:
        content = self._host.read(self._records / f"{attempt}.ended")
        text = (content or b"").decode(errors="replace").strip()
        return _as_python(int(text)) if re.fullmatch(r"\d{1,3}", text) else None


def _as_python(status: int) -> int:
    """A shell says 128 + n of a command that signal n ended."""
    return 128 - status if 128 < status < 128 + 65 else status
