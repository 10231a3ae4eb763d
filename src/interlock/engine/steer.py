"""How is traffic moved, and how is it taken back?"""

from __future__ import annotations

from datetime import timedelta

from interlock.core import interlocks
from interlock.core.plan import Stage
from interlock.core.route import Route
from interlock.core.steps import Settle, SetWeight
from interlock.core.weight import NONE
from interlock.engine.instances import bring_up
from interlock.engine.ports import Deadline, look
from interlock.engine.scene import LATER, SOON, Outcome, Scene, bounded
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

SETTLE_WITHIN = timedelta(seconds=60)
HOLD_AT_MOST = timedelta(minutes=30)


async def set_weight(scene: Scene, step: SetWeight) -> Outcome:
    stage = scene.rollout().stage
    await until_open(scene)
    deadline = Deadline.after(scene.ports.clock, step.within)
    while (unsure := scene.unsure()) and not deadline.over:
        scene.trouble = f"no more traffic while it is not known whether all is well: {unsure}"
        await scene.ports.clock.sleep(SOON)
    note = None if unsure else await _steer(scene, stage.route(step.weight), deadline)
    if note is None:
        return scene.failed(f"{step}: {scene.trouble}")
    scene.sentinel.stepped()
    return scene.done(f"{step}: {note}")


def held_at_most(stage: Stage) -> timedelta:
    """Return how long an advance may wait for the world around."""
    return HOLD_AT_MOST if stage.criteria is None else stage.criteria.hold_at_most


async def until_open(scene: Scene) -> None:
    """Wait while the world around says no, as long as a hold may last: that is no trouble of the step's own."""
    await scene.guard.renew()
    said, deadline = "", scene.deadline(held_at_most(scene.rollout().stage))
    while (closed := scene.guard.closed) and not deadline.over:
        if closed != said:
            said = closed
            scene.hold(closed)
        await scene.ports.clock.sleep(LATER)


async def _steer(scene: Scene, route: Route, deadline: Deadline) -> str | None:
    """Put a route in force and observe it at the data plane; None when the deadline came first (see `trouble`)."""
    while True:
        try:
            if (note := await bounded(_steer_once(scene, route))) is not None:
                return note
        except TrafficError as error:
            scene.trouble = str(error)
        if deadline.over:
            return None
        await scene.ports.clock.sleep(SOON)


async def _steer_once(scene: Scene, route: Route) -> str | None:
    refusal = interlocks.steer(await look(scene.ports, scene.rollout().stage), route)
    if refusal is not None:
        scene.trouble = refusal
        return None
    await scene.ports.traffic.steer(route)
    return await _verified(scene, route)


async def _verified(scene: Scene, route: Route) -> str | None:
    """Say how the route was observed at the data plane, None when it was not (see `trouble`)."""
    verified = await scene.ports.traffic.verify(route)
    scene.trouble = verified.reason
    return _observed(route, verified.probes, verified.on_canary) if verified.ok else None


async def take_back(scene: Scene, step: SetWeight) -> Outcome:
    """Give the new revision nothing: one rename where the old one is whole, else as much as it can carry."""
    stage = scene.rollout().stage
    deadline = Deadline.after(scene.ports.clock, step.within)
    while not deadline.over:
        try:
            if await bounded(retreat(scene)):
                note = await bounded(_verified(scene, stage.retreat))
                if note is not None:
                    return scene.done(f"traffic back on {stage.replaces.name if stage.replaces else '503'}: {note}")
            elif stage.replaces is not None:
                await bounded(bring_up(scene.ports, stage.replaces, stage.replaces.release.configuration.instances))
        except (TrafficError, WorkloadError) as error:
            scene.trouble = str(error)
        await scene.ports.clock.sleep(SOON)
    return scene.failed(f"traffic could not be taken back: {scene.trouble}")


async def retreat(scene: Scene) -> bool:
    """Take back as much as the old revision can carry; say whether that is everything."""
    stage = scene.rollout().stage
    world = await look(scene.ports, stage, back=True)
    if world.route == stage.retreat:
        return True
    target = interlocks.retreat(world, stage)
    if target is None:
        scene.trouble = f"{stage.replaces.name if stage.replaces else 'nothing'} has too few ready instances"
        return False
    if target != stage.retreat or stage.replaces is None:
        await scene.ports.traffic.steer(target)
    else:
        await _fall_back(scene)
    return target == stage.retreat


async def _fall_back(scene: Scene) -> None:
    """Rename the way back into force; when none was written, or another one, write it now."""
    stage = scene.rollout().stage
    try:
        if await scene.ports.traffic.fall_back(stage.environment) == stage.retreat:
            return
    except TrafficError as error:
        scene.trouble = str(error)
    await scene.ports.traffic.steer(stage.retreat)


async def settle(scene: Scene, step: Settle) -> Outcome:
    route = scene.rollout().stage.settled(step.revision)
    note = await _steer(scene, route, Deadline.after(scene.ports.clock, SETTLE_WITHIN))
    return scene.done(str(step)) if note is not None else scene.failed(f"{step}: {scene.trouble}")


def _observed(route: Route, probes: int, on_canary: int) -> str:
    if not probes:
        return "observed at the data plane"
    if route.weight == NONE:
        return (
            f"observed, none of {probes} probes reached the new revision"
            if route.canary
            else f"observed with {probes} probes"
        )
    return f"observed, {on_canary} of {probes} probes answered by the new revision"
