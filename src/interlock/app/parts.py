"""Which adapters does this machine's keeper use?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.fleet import Far, Fleet, ManyMetrics, ManyProber, ManyTraffic, ManyWorkload, Member
from interlock.adapters.host.local import LocalHost
from interlock.adapters.load import LoopbackLoader
from interlock.adapters.metrics.envoy import EnvoyMetrics
from interlock.adapters.metrics.exposed import ExposedMetrics
from interlock.adapters.metrics.prometheus import PrometheusMetrics
from interlock.adapters.metrics.together import MetricsTogether
from interlock.adapters.probe.network import NetworkProber
from interlock.adapters.recordings.files import RecordingFiles
from interlock.adapters.signatures.ssh import SshSignatures
from interlock.adapters.store.place import refuse_network_file_system
from interlock.adapters.store.sqlite import SQLite
from interlock.adapters.traffic.envoy import Envoy, SharedFront
from interlock.adapters.workload.containers import ContainerRuntime
from interlock.adapters.workload.slots import Revisions
from interlock.app.flag_sources import flag_sources
from interlock.app.instances import EitherMigrations, containers, instances
from interlock.app.outside import surroundings
from interlock.app.readers import readers
from interlock.app.road import Road, home
from interlock.app.state import StateDirectory
from interlock.app.verbs import LeftRunning
from interlock.engine.courier import Courier
from interlock.engine.ports import Ports
from interlock.ports.workload import WorkloadError


@dataclass(frozen=True, slots=True)
class Parts:
    """The adapters of one state directory, as the engine's ports and as what the keeper must keep going."""

    ports: Ports
    instances: Revisions
    envoy: Envoy
    courier: Courier
    migrations: EitherMigrations | None = None
    containers: ContainerRuntime | None = None
    fleet: Fleet | None = None
    roads: Mapping[str, Road] = field(default_factory=dict)

    async def stop_all(self) -> list[str]:
        """Stop every instance and Envoy; return what was stopped, in words. One that does not stop holds up none.

        Raises LeftRunning when not everything could be stopped.
        """
        running = [
            revision.name
            for environment in await self.instances.environments()
            for revision in await self.instances.revisions(environment)
        ]
        done = await asyncio.gather(*(_tried(name, self._stop(name)) for name in running))
        done += await self._end_migrations()
        done += await self._stop_others()
        done.append(await _tried("Envoy", self._close()))
        await self._leave_engines()
        stopped = [what for what, trouble in done if not trouble]
        if left := [trouble for _, trouble in done if trouble]:
            raise LeftRunning(_left(stopped, left))
        return stopped

    async def _stop_others(self) -> list[tuple[str, str]]:
        """Stop what this project runs on other machines."""
        if self.fleet is None:
            return []
        others = [one.name for one in self.fleet.all() if one is not self.fleet.own]
        return await asyncio.gather(*(_tried(name, self._stop_on(name)) for name in others))

    async def _stop_on(self, name: str) -> str:
        return f"{name}: {await self.roads[name].down()}"

    async def _stop(self, revision: str) -> str:
        slots = tuple(one.slot for one in await self.instances.instances(revision))
        await self.instances.stop(revision, slots)
        return f"{revision}: {len(slots)} instances"

    async def _end_migrations(self) -> list[tuple[str, str]]:
        if self.migrations is None:
            return []
        try:
            return [(label, "") for label in await self.migrations.clear()]
        except Exception as problem:
            return [("migrations", f"a migration could not be ended: {problem}")]

    async def prune_migrations(self) -> tuple[str, ...]:
        """Keep of the migrations of forgotten rollouts only that they are done. Raises StoreError, OSError."""

        async def recorded(rollout: str) -> bool:
            return await self.ports.store.rollout(rollout) is not None

        return await self.migrations.prune(recorded) if self.migrations is not None else ()

    async def prune_images(self, keep: Collection[str]) -> tuple[str, ...]:
        """Remove the images that we pulled, but for these digests; return what went. Raises WorkloadError."""
        return await self.containers.prune(keep) if self.containers is not None else ()

    async def _leave_engines(self) -> None:
        """Leave no network at an engine; that one does not answer has been said of its containers already."""
        if self.containers is not None:
            with contextlib.suppress(WorkloadError):
                await self.containers.close()

    async def _close(self) -> str:
        await self.envoy.close(timedelta(seconds=5))
        return "Envoy"


def _left(stopped: Sequence[str], left: Sequence[str]) -> str:
    but = f"Stopped were {', '.join(stopped)}" if stopped else "Nothing was stopped"
    return (
        f"{'; '.join(left)}. {but}. The keeper goes on with the rest, rollouts too. See `interlock doctor`, then try "
        "again: interlock down"
    )


async def _tried(name: str, stop: Coroutine[Any, Any, str]) -> tuple[str, str]:
    """Return what was stopped, and why it was not."""
    try:
        return await stop, ""
    except Exception as problem:  # whatever an adapter raises: the others are stopped all the same
        return name, f"{name} could not be stopped: {problem}"


def assemble(state: StateDirectory, *, retries: bool = True) -> Parts:
    """Wire the adapters of this machine; `retries` off is for benchmarks, where a retry would hide a failure."""
    refuse_network_file_system(state.path)
    host, clock = LocalHost(), SystemClock()
    runtime = containers(state, host)
    running = instances(state, host, clock, runtime)
    front = SharedFront(host, *state.shared, clock)
    envoy = Envoy(host, state.envoy, state.runtime, clock, f"{state.label}/envoy", retries=retries, front=front)
    collected = PrometheusMetrics(lambda name: (state.secrets / name).read_text().strip(), clock)
    metrics = MetricsTogether(
        EnvoyMetrics(envoy.socket, clock), ExposedMetrics(running), collected, elsewhere=collected
    )
    prober = NetworkProber(state.artefacts, state.secrets)
    store, recordings = SQLite(state.database), RecordingFiles(state.recordings)
    courier = Courier(store, clock, lambda plan: readers(state, store, clock, plan))
    load, outside = LoopbackLoader(), surroundings(state)
    migrations = EitherMigrations(state, host, clock, runtime)
    kept = (recordings, outside, SshSignatures(), migrations, flag_sources(state))
    roads: dict[str, Road] = {}
    own = Member("", envoy, running, metrics, prober)
    fleet = Fleet(host, state.path / "fleet.json", own, lambda: home(state), lambda name: _far(state, name, roads))
    many = (ManyWorkload(fleet), ManyTraffic(fleet), ManyMetrics(fleet), ManyProber(fleet))
    ports = Ports(many[0], many[1], many[2], many[3], store, clock, load, *kept)
    return Parts(ports, running, envoy, courier, migrations, runtime, fleet, roads)


def _far(state: StateDirectory, address: str, roads: dict[str, Road]) -> Member:
    """Return another machine of this project, by the keeper that it has there under the same name."""
    road = roads[address] = Road(state, state.path.name, address)
    return Far(address, road).member()
