"""What must whatever runs instances be able to do, so that their revisions can be kept?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from interlock.adapters.workload.slots.record import Place
from interlock.core import release
from interlock.core.health import Answer, Probe
from interlock.core.release import Revision
from interlock.ports.workload import WorkloadError

Check = Callable[[Probe, str, Path, Mapping[str, str], release.Protocol], Awaitable[Answer]]
"""Asks one probe of the instance at an address, with the directory and environment that a command probe needs, and what
the instance speaks."""


class PlaceTaken(WorkloadError):
    """An instance could not be started where it was to listen, for something else listens there."""


@dataclass(frozen=True, slots=True)
class Autopsy:
    """How a life ended, in words; `place_taken` when it seems to have ended as something else listens at its place."""

    reason: str
    place_taken: bool = False


class Life(Protocol):
    """One life of an instance, from its start to its end. Its verbs raise HostError or WorkloadError."""

    @property
    def handle(self) -> object:
        """What its runtime knows it by."""

    @property
    def word(self) -> str:
        """What it is for a person: ``pid 4711``."""

    async def gone(self, within: timedelta) -> bool:
        """Wait until it has ended, at most `within`; say whether it has. What cannot be known has not."""

    async def halt(self, within: timedelta) -> bool:
        """End it (TERM, grace, KILL); say whether it had to be killed."""

    async def trouble(self) -> str | None:
        """Say why it must be ended whatever its probes say; None when nothing is wrong."""

    async def ask(self, probe: Probe) -> Answer:
        """Ask it one probe."""

    async def autopsy(self, *, was_ready: bool) -> Autopsy:
        """Say how it ended, and end what it left behind."""


@dataclass(frozen=True, slots=True)
class Found:
    """An instance that is there, whoever started it, by what its runtime knows it by; or the remains of one."""

    environment: str
    revision: str
    slot: int
    handle: object | None
    alive: bool = True


class Runtime(Protocol):
    """Runs instances. It keeps none alive, and remembers none: that is done by who uses it."""

    def runs(self, revision: Revision) -> bool:
        """Say whether it is this runtime that runs the revision."""

    async def fetch(self, revision: Revision) -> None:
        """Have at hand all that an instance needs, however long that takes. Raises WorkloadError."""

    async def launchable(self, revision: Revision) -> None:
        """Launch nothing; raise WorkloadError when an instance could not be launched now."""

    async def place(self, revision: Revision, taken: Collection[Place]) -> Place:
        """Return where one more instance could listen."""

    async def start(self, revision: Revision, slot: int, place: Place) -> Life:
        """Have the instance running, and return its life. Raises PlaceTaken, WorkloadError, HostError."""

    def life(self, revision: Revision, slot: int, place: Place, handle: object | None) -> Life:
        """Return the life of an instance that was found; without a handle, the one that a recorded instance most
        probably has while nobody can tell.
        """

    async def find(self) -> tuple[Found, ...]:
        """Return every instance that is there, as far as that can be seen, oldest first."""

    def sure(self, revision: Revision) -> bool:
        """Say whether the revision's instances would have been among those found last: nothing kept us from seeing."""

    async def retire(self, found: Found, within: timedelta) -> bool:
        """End an instance and leave nothing of it but its log; say whether it had to be killed."""

    async def forget(self, revision: str) -> None:
        """Forget what was kept for the instances of a revision that has none any more."""

    async def tails(self, revision: str, lines: int) -> Mapping[str, tuple[str, ...]]:
        """Return the last lines that the revision's instances wrote, by slot, of those whose logs are in no file."""
