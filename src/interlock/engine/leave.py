"""How do instances leave without a request being lost?"""

from __future__ import annotations

from interlock.core import interlocks
from interlock.core.release import Instance
from interlock.core.steps import Drain, Retire
from interlock.engine.ports import Deadline, look
from interlock.engine.scene import SOON, Outcome, Scene
from interlock.ports.traffic import TrafficError

QUIET_POLLS = 5


async def drain(scene: Scene, step: Drain) -> Outcome:
    """Send the leaving endpoints nothing new; done after observed zero traffic, or at the stated deadline."""
    leaving, staying = await _split(scene, step.revision, step.keep)
    if not leaving:
        return scene.done(f"{step}: nothing is left to drain")
    ready = sum(1 for one in staying if one.alive and one.ready)
    refusal = interlocks.leave(await look(scene.ports, scene.rollout().stage), step.revision, ready)
    if refusal is not None:
        return scene.failed(f"{step}: {refusal}")
    addresses = tuple(one.address for one in leaving)
    began = scene.ports.clock.monotonic()
    deadline = Deadline.after(scene.ports.clock, step.within)
    await scene.ports.traffic.drain(step.revision, addresses)
    left = await _until_quiet(scene, step.revision, addresses, deadline)
    seconds = scene.ports.clock.monotonic() - began
    note = (
        f"{step}: quiet after {seconds:.1f} s"
        if not left
        else f"{step}: {left} requests still under way at its deadline"
    )
    return scene.done(note, {"drain_seconds": round(seconds, 3), "under_way": left})


async def _until_quiet(scene: Scene, revision: str, addresses: tuple[str, ...], deadline: Deadline) -> int:
    quiet = 0
    while True:
        flight = await scene.ports.traffic.in_flight(revision)
        under_way = sum(flight.get(address, 0) for address in addresses)
        quiet = 0 if under_way else quiet + 1
        if quiet >= QUIET_POLLS or deadline.over:
            return under_way
        await scene.ports.clock.sleep(SOON)


async def retire(scene: Scene, step: Retire) -> Outcome:
    leaving, _ = await _split(scene, step.revision, step.keep)
    if not step.keep:
        world = await look(scene.ports, scene.rollout().stage)
        refusal = interlocks.forget(world, step.revision)
        if refusal is not None:
            return scene.failed(f"{step}: {refusal}")
    killed, cut = await _stop(scene, step.revision, leaving) if leaving else ((), ())
    if not step.keep:
        await _end_migration(scene, step.revision)
        await scene.sentinel.count()
        await _forget(scene, step.revision)
    note = f"{step}: {len(leaving)} stopped" + (f", {len(killed)} killed after their grace" if killed else "")
    note += f", {len(cut)} requests cut: {', '.join(cut[:5])}" if cut else ""
    return scene.done(note, {"cut": list(cut), "killed": list(killed)})


async def _stop(scene: Scene, revision: str, leaving: tuple[Instance, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """End instances; return the slots that had to be killed, and the requests that were cut."""
    mark = scene.ports.clock.now()
    under_way = await scene.ports.traffic.dismiss(revision, tuple(one.address for one in leaving))
    killed = await scene.ports.workload.stop(revision, tuple(one.slot for one in leaving))
    return killed, await scene.ports.traffic.cut_since(revision, mark) if under_way else ()


async def _end_migration(scene: Scene, revision: str) -> None:
    """Leave nothing of a release running that goes: an abort may come in the middle of its migration."""
    stage, migrations = scene.rollout().stage, scene.ports.migrations
    if revision == stage.revision.name and stage.migration is not None and migrations is not None:
        await migrations.end(stage.revision, stage.migration)


async def _forget(scene: Scene, revision: str) -> None:
    """Have the proxy forget a revision; one that no user reached it may never have known, nor run at all."""
    try:
        await scene.ports.traffic.forget(revision)
    except TrafficError:
        if scene.rollout().exposed:
            raise


async def _split(scene: Scene, revision: str, keep: int) -> tuple[tuple[Instance, ...], tuple[Instance, ...]]:
    instances = sorted(await scene.ports.workload.instances(revision), key=lambda one: one.slot)
    return tuple(instances[keep:]), tuple(instances[:keep])
