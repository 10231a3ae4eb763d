"""Which runtimes run the instances of a state directory, and their migrations: processes, and containers?

A release says itself how it runs, so both are here side by side: a service moves from one to the other by a rollout.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from interlock.adapters.probe.network import check
from interlock.adapters.registry.v2 import found
from interlock.adapters.workload.containers import ContainerMigrations, ContainerRuntime
from interlock.adapters.workload.process import Migrations as ProcessMigrations
from interlock.adapters.workload.process import ProcessRuntime
from interlock.adapters.workload.slots import Revisions
from interlock.app.state import StateDirectory
from interlock.core.migration import Migration, Seen
from interlock.core.release import Revision
from interlock.ports.clock import Clock
from interlock.ports.host import Host
from interlock.ports.migrations import Migrations


def containers(state: StateDirectory, host: Host) -> ContainerRuntime:
    """Return what runs containers of this state directory."""
    return ContainerRuntime(host, state.instances, state.name, state.secrets, check, found)


def instances(state: StateDirectory, host: Host, clock: Clock, runtime: ContainerRuntime) -> Revisions:
    """Return the revisions of this state directory, whatever runs them."""
    process = ProcessRuntime(host, state.instances, state.label, state.artefacts, state.secrets, check)
    return Revisions(host, state.instances, clock, state.secrets, (process, runtime))


class EitherMigrations:
    """Migrations as the release's instances run: as processes, or as containers."""

    def __init__(self, state: StateDirectory, host: Host, clock: Clock, runtime: ContainerRuntime) -> None:
        self._process = ProcessMigrations(host, state.instances, clock, state.label, state.artefacts, state.secrets)
        self._container = ContainerMigrations(runtime, host, state.instances, clock, state.secrets)

    async def look(self, revision: Revision, migration: Migration) -> Seen:
        return await self._of(revision).look(revision, migration)

    async def begin(
        self, revision: Revision, migration: Migration, rollout: str, attempt: int, facts: Mapping[str, Any]
    ) -> None:
        await self._of(revision).begin(revision, migration, rollout, attempt, facts)

    async def end(self, revision: Revision, migration: Migration) -> None:
        await self._of(revision).end(revision, migration)

    async def clear(self) -> list[str]:
        """End whatever migration runs; return their labels."""
        return [*await self._process.clear(), *await self._container.clear()]

    async def prune(self, recorded: Callable[[str], Awaitable[bool]]) -> tuple[str, ...]:
        """Forget of what was done by rollouts that are on record no more all but that it is done; return what went."""
        return await self._process.prune(recorded)

    def _of(self, revision: Revision) -> Migrations:
        return self._process if revision.release.configuration.container is None else self._container
