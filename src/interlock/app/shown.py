"""Does what runs now show the metrics by which its successor is to be judged?"""

from __future__ import annotations

from interlock.adapters.workload.slots import record
from interlock.app.running import records
from interlock.app.state import StateDirectory
from interlock.core.criteria import Criteria
from interlock.core.release import Instance, Revision
from interlock.ports.workload import WorkloadError


class _Recorded:
    """The instances of a revision as they are on record: a plan asks them, and watches none."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        kept = (record.parse(path, content) for path, content in records(self._state))
        return tuple(
            Instance(revision, slot, place.address, alive=True, ready=True)
            for one in kept
            if one.revision.name == revision
            for slot, place in sorted(one.slots.items())
        )


async def _runs(stable: Revision, state: StateDirectory) -> bool:
    try:
        return bool(await _Recorded(state).instances(stable.name))
    except WorkloadError:  # what runs cannot be read: a rollout would say so
        return False


async def unshown(criteria: Criteria | None, stable: Revision | None, state: StateDirectory) -> tuple[str, ...]:
    """Say which metrics `stable` does not show, and what it shows instead: of most mistakes in a name or in an edge.

    It is no error, as the new release may be the first that shows them. Nothing is said where nothing runs.
    """
    metrics = tuple(one for one in criteria.metrics if one.source is None) if criteria else ()
    if not metrics or stable is None or not await _runs(stable, state):
        return ()
    from interlock.adapters.metrics.exposed import ExposedMetrics  # imported late: few files name a metric

    shown = await ExposedMetrics(_Recorded(state)).show(stable.name, metrics)
    return tuple(
        f"WARNING: {stable.release.version}, which runs now, does not show {name}: {why}. If the new release does not "
        "either, nothing can be proven"
        for name, why in shown.unseen.items()
    )
