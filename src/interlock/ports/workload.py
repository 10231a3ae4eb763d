"""What may we ask of whatever runs the instances of a revision?"""

from __future__ import annotations

from typing import Protocol

from interlock.core.release import Instance, Revision


class WorkloadError(Exception):
    """The instances could not be brought to the state asked for; the message says which and why."""


class Workload(Protocol):
    """Runs revisions. It keeps what it was asked to run alive, restarting with back-off, until told otherwise."""

    async def fetch(self, revision: Revision) -> None:
        """Have at hand all that instances need (an image is pulled), however long that takes; launch nothing.

        Cancelling does not undo it, and asking again goes on with it. Raises WorkloadError.
        """

    async def ensure(self, revision: Revision, instances: int) -> None:
        """Have at least `instances` copies running; return as soon as they are launched, ready or not.

        Raises WorkloadError when one cannot even be launched (no such program, artefact missing).
        """

    async def launchable(self, revision: Revision) -> None:
        """Launch nothing; raise WorkloadError when an instance could not be launched now (artefact, secret missing)."""

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        """Return the revision's instances by slot, as last observed (at most about a second ago)."""

    async def environments(self) -> tuple[str, ...]:
        """Return every environment in which a revision runs or should run."""

    async def revisions(self, environment: str) -> tuple[Revision, ...]:
        """Return every revision of the environment that runs or should run."""

    async def stop(self, revision: str, slots: tuple[int, ...]) -> tuple[int, ...]:
        """Stop these instances (TERM, grace, KILL) and forget them; return the slots that had to be killed."""

    async def log_tail(self, revision: str, lines: int) -> tuple[str, ...]:
        """Return the last lines that the revision's instances wrote."""
