"""How do instances get up, ready, healthy at the data plane, and tested?"""

from __future__ import annotations

from datetime import timedelta

from interlock.core.release import Revision
from interlock.core.steps import Smoke, Start, spell
from interlock.engine.instances import bring_up
from interlock.engine.ports import Deadline
from interlock.engine.scene import SOON, Outcome, Scene, bounded
from interlock.engine.steer import retreat
from interlock.ports.traffic import TrafficError

CRASHES_BEFORE_READY = 3
PREPARED_WITHIN = timedelta(minutes=15)


async def start(scene: Scene, step: Start) -> Outcome:
    revision = scene.rollout().stage.known(step.revision)
    if not scene.rollout().going_back:  # to pull an image is no slow start; and what is gone back to is here
        await scene.ports.workload.fetch(revision)
    deadline = Deadline.after(scene.ports.clock, step.within)
    while True:
        if scene.rollout().going_back:
            await _retreating(scene)
        missing = await _missing_instances(scene, revision, step.instances)
        if missing is None:
            return scene.done(f"{step}: ready and healthy at the data plane")
        looping = None if scene.rollout().going_back else await _never_ready(scene, step.revision)
        if deadline.over or looping:
            return await _not_started(scene, step, looping or f"after {spell(step.within)}: {missing}")
        await scene.ports.clock.sleep(SOON)


async def _retreating(scene: Scene) -> None:
    """Take back what can be taken back already; what cannot yet, the next step takes back, or says so."""
    try:
        await bounded(retreat(scene))
    except TrafficError as error:
        scene.trouble = str(error)


async def _missing_instances(scene: Scene, revision: Revision, instances: int) -> str | None:
    """Bring instances up; say what is missing, also when the proxy does not answer: it may soon."""
    try:
        return await bounded(bring_up(scene.ports, revision, instances))
    except TrafficError as error:
        return str(error)


async def _never_ready(scene: Scene, revision: str) -> str | None:
    for one in await scene.ports.workload.instances(revision):
        if not one.ready and one.restarts >= CRASHES_BEFORE_READY:
            return f"instance {one.slot} ended {one.restarts} times before it was ready ({one.reason})"
    return None


async def _not_started(scene: Scene, step: Start, reason: str) -> Outcome:
    if scene.rollout().going_back:
        return scene.done(f"{step}: {reason}; going back as far as it can carry")
    tail = await scene.ports.workload.log_tail(step.revision, 5)
    return scene.failed(f"{step}: {reason}" + (f"; last lines: {' | '.join(tail)}" if tail else ""))


async def smoke(scene: Scene, step: Smoke) -> Outcome:
    revision = scene.rollout().stage.known(step.revision)
    preview = scene.ports.traffic.preview(step.revision)
    answer = await scene.ports.prober.identify(revision, preview)
    if not answer.ok:
        return scene.failed(f"{step}: {answer.reason}", quarantine=False)
    tests = revision.release.configuration.smoke_tests
    for test in tests:
        answer = await scene.ports.prober.smoke(test, revision, preview)
        if not answer.ok:
            return scene.failed(f"smoke test {test.name!r} of {step.revision}: {answer.reason}", quarantine=True)
    passed = f"{len(tests)} passed" if tests else "none configured; the preview answers"
    return scene.done(f"{step}: {passed}")
