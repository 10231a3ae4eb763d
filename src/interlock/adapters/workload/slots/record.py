"""What must be on disk before an instance starts, so that the next keeper knows what should run, and where?"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from interlock.core.record import plain, restore
from interlock.core.release import Revision
from interlock.ports.host import Host
from interlock.ports.workload import WorkloadError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where the instance of one slot listens, and how often it had to be started again."""

    port: int
    restarts: int = 0
    host: str = "127.0.0.1"

    @property
    def address(self) -> str:
        """Where it is asked, as host:port."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Record:
    """A revision and the slots that should run."""

    revision: Revision
    slots: Mapping[int, Place] = field(default_factory=dict)
    schema: int = SCHEMA


def write(host: Host, path: PurePath, record: Record) -> None:
    """Replace the record on disk and wait for the disk; raise HostError."""
    host.write(path, json.dumps(plain(record), indent=1).encode(), mode=0o600, durable=True)


def parse(path: PurePath, content: bytes) -> Record:
    """Read a record; raise WorkloadError when it cannot be understood: then nothing it names may be touched."""
    try:
        record = restore(Record, json.loads(content))
    except (ValueError, TypeError, AttributeError) as problem:
        raise WorkloadError(f"cannot read {path}: {problem}; which version of interlock wrote it?") from problem
    if record.schema > SCHEMA:
        raise WorkloadError(f"{path} was written by a newer interlock (schema {record.schema}, known {SCHEMA})")
    return record


def bindable(port: int, *, reuse: bool) -> bool:
    """Say whether an instance could listen there; without `reuse` as strictly as a program that sets no option."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
