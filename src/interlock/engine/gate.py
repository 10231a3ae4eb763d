"""How is a gate asked, and how is the rollback proven executable before step 1?"""

from __future__ import annotations

from typing import Any

from interlock.core import gates
from interlock.core.plan import Stage
from interlock.core.record import plain
from interlock.core.steps import Gate, GateName
from interlock.engine.instances import bring_up
from interlock.engine.ports import Ports, look
from interlock.engine.scene import LATER, Outcome, Scene, bounded
from interlock.ports.workload import WorkloadError


async def gate(scene: Scene, step: Gate) -> Outcome:
    deadline = scene.deadline(step.patience)
    said = ""
    while True:
        answer = await _answered(scene, step.name)
        if answer.open:
            return scene.done(f"{step}: {answer.reason}", _said(step, answer))
        if answer.final or deadline.over:
            return scene.failed(f"{step}: {answer.reason}", _said(step, answer))
        if answer.reason != said:
            said = answer.reason
            scene.hold(answer.reason)
        await scene.ports.clock.sleep(LATER)


async def _answered(scene: Scene, name: GateName) -> gates.Answer:
    """Ask our own records and proxy within a few seconds; whoever is outside has a time of their own."""
    asked = _evaluate(scene, name)
    return await (asked if name in scene.rollout().stage.conditions.gates else bounded(asked))


def _said(step: Gate, answer: gates.Answer) -> dict[str, Any]:
    return {"gate": step.name.value, "answer": plain(answer)}


async def _evaluate(scene: Scene, name: GateName) -> gates.Answer:
    stage = scene.rollout().stage
    release = stage.revision.release
    match name:
        case GateName.NOT_QUARANTINED:
            quarantine = await scene.ports.store.quarantine(release.service)
            return gates.not_quarantined(release, [(one.identity, one.rollout, one.reason) for one in quarantine])
        case GateName.STAGING:
            proofs = await scene.ports.store.proofs(release.service, stage.proven_in)
            found = [(proof.subject, proof.rollout, proof.at) for proof in proofs]
            return gates.staging(release, stage.proven_in, found, scene.ports.clock.now(), stage.proof_valid_for)
        case GateName.ROLLBACK_READY:
            if stage.flags and not scene.rollout().flags:
                return gates.Answer(False, "how the flags stand has not been captured")
            return await rollback_ready(scene.ports, stage)
        case GateName.TESTS | GateName.NO_INCIDENT | GateName.WINDOW | GateName.ON_CALL | GateName.IMAGE:
            return await scene.guard.paced(name)
        case GateName.BEFORE_START | GateName.BEFORE_TRAFFIC | GateName.BEFORE_PROMOTION:
            return gates.Answer(False, f"{name.value} is asked of hooks (engine.hooks)")


async def rollback_ready(ports: Ports, stage: Stage) -> gates.Answer:
    """Prove the rollback by doing its harmless half: the old revision whole and in front, the way back written."""
    await ports.traffic.open(stage.environment, stage.entrance)
    if stage.replaces is None:
        return gates.Answer(True, "nothing to go back to: this is the first release; going back stops it")
    old, size = stage.replaces, stage.replaces.release.configuration.instances
    try:
        await ports.workload.launchable(old)  # also where it stands whole: an instance may die on the way
    except WorkloadError as error:
        again = f"pack it again with: interlock plan {old.release.version}"
        return gates.Answer(False, f"the rollback's target could not be started again: {error}; {again}")
    missing = await bring_up(ports, old, size)
    if missing is not None:
        return gates.Answer(False, f"the rollback's target {old.name} is not whole: {missing}")
    if (await look(ports, stage)).route != stage.retreat:  # after a rollback that failed, or a lost route
        await ports.traffic.steer(stage.retreat)
    await ports.traffic.prepare(stage.retreat)
    return gates.Answer(
        True, f"{old.name} ({old.release.version}) is ready with {size} instances, the way back is written"
    )
