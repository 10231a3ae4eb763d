"""Which revisions should run here, as recorded, whatever the file says of environments by now?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from interlock.adapters.workload.slots import record
from interlock.app.state import StateDirectory
from interlock.core.release import Revision


def running(state: StateDirectory) -> tuple[Revision, ...]:
    """Return them; raise WorkloadError when a record cannot be read, as then it is not known what it needs."""
    return tuple(record.parse(path, content).revision for path, content in records(state))


def records(state: StateDirectory) -> Iterator[tuple[Path, bytes]]:
    """Yield the records themselves, readable or not; one that is retired meanwhile is none."""
    for path in sorted((state.instances / "revisions").glob("*.json")):
        with suppress(FileNotFoundError):
            yield path, path.read_bytes()
