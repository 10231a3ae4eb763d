"""How do a revision's instances get up, and in at the data plane, and stay there?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from interlock.core.plan import Stage
from interlock.core.release import Instance, Revision
from interlock.engine.ports import Ports

TEND_EVERY = timedelta(seconds=1)
TEND_WITHIN = timedelta(seconds=10)

log = logging.getLogger(__name__)


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


async def put_in_front(ports: Ports, revision: Revision) -> None:
    """Have the endpoints where the ready instances are: one that came back on another port is let in again.

    Nobody who is in is sent away but those that are no more.
    """
    running = await ports.workload.instances(revision.name)
    if not running:
        return
    healthy = await ports.traffic.healthy(revision.name)
    ready = {one.address for one in running if one.alive and one.ready}
    if ready - healthy:
        await ports.traffic.admit(revision, tuple(one.address for one in running if one.address in ready | healthy))


@asynccontextmanager
async def kept_in_front(ports: Ports, stage: Stage, owned: Callable[[], bool]) -> AsyncIterator[None]:
    """Tend both sides' endpoints while the block lasts: the step in it must change neither them nor the weight."""
    tending = asyncio.create_task(_tend(ports, stage, owned))
    try:
        yield
    finally:
        tending.cancel()
        await asyncio.wait({tending})


async def _tend(ports: Ports, stage: Stage, owned: Callable[[], bool]) -> None:
    while True:
        await ports.clock.sleep(TEND_EVERY)
        for revision in (stage.revision, stage.replaces):
            if revision is None or not owned():
                continue
            try:
                async with asyncio.timeout(TEND_WITHIN.total_seconds()):
                    await put_in_front(ports, revision)
            except Exception as error:  # whatever an adapter raises: seen again in a second, and by the sentinel
                log.debug("%s: its endpoints could not be tended: %s", revision.name, error)


def _reasons(instances: tuple[Instance, ...]) -> str:
    reasons = [f"instance {one.slot}: {one.reason}" for one in instances if one.reason]
    return f" ({'; '.join(reasons)})" if reasons else ""
