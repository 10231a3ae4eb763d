"""How is a release's migration run once in a container, and its end known to whoever comes?

The engine keeps a container that has ended, with its status, until somebody removes it: that is done when the status
and the end of its log are in files of ours. A container is made and then started, and never started twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from interlock.adapters.secrets import kept
from interlock.adapters.workload.containers.containers import ContainerRuntime
from interlock.adapters.workload.containers.engine import Engine, EngineError
from interlock.adapters.workload.containers.engine import Seen as SeenContainer
from interlock.adapters.workload.containers.spec import ENVIRONMENT, REVISION, SLOT, STATE, Spec
from interlock.adapters.workload.slots import log
from interlock.core.container import Reach
from interlock.core.hooks import variables
from interlock.core.migration import Migration, Seen, Standing
from interlock.core.record import plain, restore
from interlock.core.release import Revision, fingerprint
from interlock.core.secrecy import hidden
from interlock.ports.clock import Clock
from interlock.ports.host import Host, HostError
from interlock.ports.workload import WorkloadError

SCHEMA = 1
LINES = 20
_KEPT_LINES = 2000
_NAME = "migration"


@dataclass(frozen=True, slots=True)
class Begun:
    """What is on disk of a migration: by which rollout, when, in which container of which engine.

    It is `made` once the container is there; what is made and gone later may have run. `status` is how it ended.
    """

    revision: str
    rollout: str
    attempt: int
    at: datetime
    command: tuple[str, ...]
    engine: str
    container: str
    made: bool = False
    status: int | None = None
    schema: int = SCHEMA


class ContainerMigrations:
    """Migrations as containers, beside those of `runtime`, in the same directory."""

    def __init__(self, runtime: ContainerRuntime, host: Host, directory: Path, clock: Clock, secrets: Path) -> None:
        self._runtime, self._host, self._clock, self._secrets = runtime, host, clock, secrets
        self._records, self._logs = directory / "migrations", directory / "logs"

    async def look(self, revision: Revision, migration: Migration) -> Seen:
        """Return how far it is; raise WorkloadError when the record of it cannot be read.

        While its engine does not answer it is taken to run: what has ended is known, and this is not.
        """
        begun = self._begun(revision, migration)
        if begun is None:
            return Seen()
        known = Seen(Standing.RUNNING, begun.attempt, begun.rollout, begun.at, lines=self._lines(begun.revision))
        if begun.status is not None:
            return replace(known, standing=Standing.ENDED, status=begun.status)
        engine = self._runtime.engines.at(begun.engine)
        try:
            container = await engine.inspect(begun.container)
            if container is not None and container.running:
                written = await engine.log(begun.container, LINES)
                return replace(known, lines=log.shown(written, LINES, kept(self._secrets)))
        except EngineError:
            return known
        if container is None and begun.made:
            return replace(known, standing=Standing.LOST)
        if container is None or not container.started:
            return replace(known, standing=Standing.NEW, attempt=begun.attempt - 1)
        return await self._ended(revision, migration, begun, engine, container)

    async def begin(
        self, revision: Revision, migration: Migration, rollout: str, attempt: int, facts: Mapping[str, Any]
    ) -> None:
        """Begin it; that it is begun is recorded first. Raises WorkloadError."""
        seen = await self.look(revision, migration)
        if seen.standing is Standing.RUNNING or seen.attempt >= attempt:
            return
        spec = self._runtime.spec(revision)
        engine, name = self._runtime.engines.of(spec.container), spec.name(f"{_NAME}-{attempt}")
        now = self._clock.now()
        begun = Begun(revision.name, rollout, attempt, now, migration.command, engine.address, name)
        try:
            await self._runtime.fetch(revision)
            self._write(revision, migration, begun)
            await self._make(engine, spec, name, migration, facts)
            self._write(revision, migration, replace(begun, made=True))
            await self._start(engine, name, revision, migration, begun)
        except (HostError, WorkloadError) as problem:
            raise WorkloadError(f"migration of {revision.name}: {problem}") from problem

    async def end(self, revision: Revision, migration: Migration) -> None:
        """End it; raise WorkloadError when it cannot be ended."""
        begun = self._begun(revision, migration)
        if begun is not None and begun.status is None:
            engine = self._runtime.engines.at(begun.engine)
            if await engine.inspect(begun.container) is not None:
                await engine.stop(begun.container, revision.release.configuration.stop_within)
                await self.look(revision, migration)

    async def clear(self, within: timedelta = timedelta(seconds=10)) -> list[str]:
        """End whatever migration runs; return their labels."""
        ended = []
        for engine in self._runtime.engines.used():
            for raw in await engine.labelled(STATE, self._runtime.state):
                labels = raw.get("Labels") or {}
                if labels.get(SLOT) == _NAME and raw.get("State") == "running":
                    await engine.stop(raw["Id"], within)
                    ended.append(f"{labels.get(ENVIRONMENT)}/{labels.get(REVISION)}/{_NAME}")
        return ended

    async def _make(
        self, engine: Engine, spec: Spec, name: str, migration: Migration, facts: Mapping[str, Any]
    ) -> None:
        told = {**variables(facts), "INTERLOCK_FACTS": json.dumps(facts, ensure_ascii=False)}
        on_host = spec.container.reach is Reach.HOST
        if not on_host:
            await self._runtime.network(engine).made()
        spec.hand_out()
        await engine.create(name, spec.once(_NAME, migration.command, told))
        for network in () if on_host else spec.container.networks:
            await engine.join(network, name)

    async def _start(self, engine: Engine, name: str, revision: Revision, migration: Migration, begun: Begun) -> None:
        """Start it; what cannot even be started never began."""
        try:
            await engine.start(name)
        except EngineError as error:
            if error.status:
                await engine.remove(name)
                self._write(revision, migration, begun)
            raise

    async def _ended(
        self, revision: Revision, migration: Migration, begun: Begun, engine: Engine, container: SeenContainer
    ) -> Seen:
        """Write down how it ended, and only then leave nothing of it at the engine."""
        status = 128 - container.status if 128 < container.status < 128 + 65 else container.status
        seen = Seen(Standing.ENDED, begun.attempt, begun.rollout, begun.at, status)
        try:
            written = hidden(await engine.log(begun.container, _KEPT_LINES), kept(self._secrets))
            self._host.write(self._log(begun.revision), written.encode(), mode=0o600)
            self._write(revision, migration, replace(begun, made=True, status=status))
            await engine.remove(begun.container)
        except (HostError, EngineError):  # it stays, and is looked at again
            return seen
        return replace(seen, lines=self._lines(begun.revision))

    def _log(self, revision: str) -> Path:
        return self._logs / f"{revision}-{_NAME}.log"

    def _lines(self, revision: str) -> tuple[str, ...]:
        return log.tail(self._log(revision), LINES, kept(self._secrets))

    def _path(self, revision: Revision, migration: Migration) -> Path:
        """Name a release's migration: the same one of the same release, whichever revision it runs as."""
        command = fingerprint(list(migration.command))[:8]
        return self._records / f"{revision.environment}-{revision.release.identity}-{command}.json"

    def _begun(self, revision: Revision, migration: Migration) -> Begun | None:
        path = self._path(revision, migration)
        content = self._host.read(path)
        if content is None:
            return None
        try:
            return restore(Begun, json.loads(content))
        except (ValueError, TypeError, AttributeError) as problem:
            raise WorkloadError(f"cannot read {path}: {problem}; which version of interlock wrote it?") from problem

    def _write(self, revision: Revision, migration: Migration, begun: Begun) -> None:
        content = json.dumps(plain(begun), indent=1).encode()
        self._host.write(self._path(revision, migration), content, mode=0o600, durable=True)
