"""What does the engine need of the world?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from interlock.core.interlocks import Strength, World
from interlock.core.plan import Stage
from interlock.core.release import Revision
from interlock.ports.calendar import Calendar
from interlock.ports.checks import Checks
from interlock.ports.clock import Clock
from interlock.ports.flags import Flags
from interlock.ports.hooks import Hooks
from interlock.ports.images import Verifier
from interlock.ports.incidents import Incidents
from interlock.ports.load import Loader
from interlock.ports.metrics import Metrics
from interlock.ports.migrations import Migrations
from interlock.ports.on_call import OnCall
from interlock.ports.probe import Prober
from interlock.ports.recordings import Recordings
from interlock.ports.signatures import Signatures
from interlock.ports.store import Store
from interlock.ports.traffic import Traffic, TrafficError
from interlock.ports.workload import Workload, WorkloadError


@dataclass(frozen=True, slots=True)
class Outside:
    """Whom the conditions are asked of, and the hooks."""

    checks: Checks
    incidents: Incidents
    on_call: OnCall
    calendar: Calendar
    hooks: Hooks | None = None
    images: Verifier | None = None


@dataclass(frozen=True, slots=True)
class Ports:
    """One adapter of each port; which ones they are is `app`'s business."""

    workload: Workload
    traffic: Traffic
    metrics: Metrics
    prober: Prober
    store: Store
    clock: Clock
    load: Loader
    recordings: Recordings | None = None
    outside: Outside | None = None
    signatures: Signatures | None = None
    migrations: Migrations | None = None
    flags: Flags | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which waiting ends."""

    clock: Clock
    until: float

    @classmethod
    def after(cls, clock: Clock, within: timedelta) -> Deadline:
        """Begin to wait, for at most `within`."""
        return cls(clock, clock.monotonic() + within.total_seconds())

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.clock.monotonic() >= self.until


async def look(ports: Ports, stage: Stage, *, back: bool = False) -> World:
    """Observe one environment now: the route in force, and how many instances of either revision can take requests.

    An instance counts when it lives, answers our readiness probe, and the data plane itself finds it healthy. On the
    way `back` a new side that cannot be seen, as on one of several machines, is taken to be whole: nothing of the way
    back may hang on it.
    """
    strength = {}
    for revision in (stage.revision, stage.replaces):
        if revision is None:
            continue
        full = revision.release.configuration.instances
        try:
            strength[revision.name] = Strength(await _ready(ports, revision), full)
        except (TrafficError, WorkloadError):
            if not back or revision is not stage.revision:
                raise
            strength[revision.name] = Strength(full, full)
    return World(await ports.traffic.route(stage.environment), strength)


async def _ready(ports: Ports, revision: Revision) -> int:
    healthy = await ports.traffic.healthy(revision.name)
    instances = await ports.workload.instances(revision.name)
    return sum(1 for one in instances if one.alive and one.ready and one.address in healthy)
