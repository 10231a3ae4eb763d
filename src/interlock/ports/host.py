"""What may we ask of the machine that runs our processes and holds our files?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from signal import Signals
from typing import Protocol


class HostError(Exception):
    """The host could not do what was asked; the message says what, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start: built as a value in one place, run in another.

    `label` marks the process as ours, in its environment, so that it is found again by whoever comes after us.
    Standard output and error are appended to the file `log`. `environment` is the whole environment.
    """

    label: str
    argv: tuple[str, ...]
    directory: PurePath
    log: PurePath
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for another: a pid alone is re-used, pid + start time + boot id is not."""

    pid: int
    started: int
    boot: str
    label: str


class Host(Protocol):
    """One machine. Every verb is idempotent; none waits longer than it says."""

    async def start(self, command: Command) -> Process:
        """Start a process in a session of its own, that outlives us; raise HostError when it cannot be started."""

    async def find(self, label: str) -> tuple[Process, ...]:
        """Return the living processes whose label begins with `label`, whoever started them, oldest first."""

    async def alive(self, process: Process) -> bool:
        """Say whether exactly this process runs; a zombie does not."""

    async def exit_status(self, process: Process) -> int | None:
        """Return how the process ended: its exit status, or minus the number of the signal that ended it.

        None while it runs, and when nobody can know any more because another started it.
        """

    async def signal(self, process: Process, signal: Signals, *, group: bool = False) -> None:
        """Send a signal to exactly this process (or its whole group); nothing happens when it is gone."""

    async def gone(self, process: Process, within: timedelta) -> bool:
        """Wait until the process has ended, at most `within`; say whether it has."""

    async def memory(self, process: Process) -> int | None:
        """Return the resident memory of the process in bytes, None when it is gone."""

    async def free_port(self) -> int:
        """Return a TCP port on 127.0.0.1 that nothing listens on now."""

    def write(self, path: PurePath, content: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
        """Replace a file in one step (write beside it, rename); `durable` also waits for the disk. Raise HostError."""

    def read(self, path: PurePath) -> bytes | None:
        """Return a file's content, None when there is no such file."""

    def rename(self, old: PurePath, new: PurePath) -> None:
        """Rename a file over another in one step: works on a full disk."""

    def remove(self, path: PurePath) -> None:
        """Remove a file or a directory with all that is in it; nothing happens when it is not there."""
