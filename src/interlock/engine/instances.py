"""How do a revision's instances get up, and in at the data plane?"""

from __future__ import annotations

from interlock.core.release import Instance, Revision
from interlock.engine.ports import Ports


async def bring_up(ports: Ports, revision: Revision, instances: int) -> str | None:
    """Have the instances running and admitted; say what is missing, None when all are healthy."""
    running = await ports.workload.instances(revision.name)
    if len(running) < instances:
        await ports.workload.ensure(revision, instances)
        running = await ports.workload.instances(revision.name)
    addresses = tuple(one.address for one in running)
    ready = tuple(one.address for one in running if one.alive and one.ready)
    healthy = await ports.traffic.healthy(revision.name)
    if not set(ready) <= healthy:
        # Who is in stays in: an instance that just missed one of our probes may have requests under way.
        await ports.traffic.admit(revision, tuple(a for a in addresses if a in healthy or a in ready))
        healthy = await ports.traffic.healthy(revision.name)
    up = len(healthy & set(ready))
    return None if up >= instances else f"{up} of {instances} instances ready{_reasons(running)}"


def _reasons(instances: tuple[Instance, ...]) -> str:
    reasons = [f"instance {one.slot}: {one.reason}" for one in instances if one.reason]
    return f" ({'; '.join(reasons)})" if reasons else ""
