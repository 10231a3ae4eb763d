"""Which revisions should run here, as recorded, whatever the file says of environments by now?"""

from __future__ import annotations

from interlock.adapters.workload.process import record
from interlock.app.state import StateDirectory
from interlock.core.release import Revision


def running(state: StateDirectory) -> tuple[Revision, ...]:
    """Return them; raise WorkloadError when a record cannot be read, as then it is not known what it needs."""
    paths = sorted((state.instances / "revisions").glob("*.json"))
    return tuple(record.parse(path, path.read_bytes()).revision for path in paths)
