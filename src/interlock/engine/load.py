"""How are both sides tried on requests of our own, and when is that enough, or too much?"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from interlock.core.events import Done
from interlock.core.judge import Verdict
from interlock.core.judge.words import count, percent
from interlock.core.load import Tried
from interlock.core.record import plain
from interlock.core.sample import Side
from interlock.core.steps import Load, spell
from interlock.engine.ports import Deadline
from interlock.engine.scene import Outcome, Scene
from interlock.engine.sentinel import accusation
from interlock.ports.metrics import MetricsError

UNSEEN_AT_MOST = 3
"""So many readings may fail one after the other: whoever does not see what a load does must not send one."""

LATE = "late"
_HURT = 5
_COUNTED_AFTER = timedelta(seconds=2)  # what a proxy shows of latency is up to a second old
_SOME_MORE = 3


async def load(scene: Scene, step: Load) -> Outcome:
    """Send what is left of the load, look at what it does, and stop at once when it has shown enough or does harm.

    What was counted before we were stopped is not sent again.
    """
    synthetic = scene.sentinel.synthetic
    synthetic.begin(scene.rollout())
    await _look(scene, step)
    await scene.sentinel.keep()  # from these counters on a successor counts
    sides = ((step.revision, synthetic.step.canary), (step.beside, synthetic.step.stable))
    senders = [asyncio.create_task(_send(scene, step, name, so_far)) for name, so_far in sides]
    try:
        trouble = await _until_sent(scene, step, senders)
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    for sender in senders:
        if not sender.cancelled() and (error := sender.exception()) is not None:
            return scene.failed(f"{step}: {error}")
    outcome = _ended(scene, step, trouble)
    await scene.sentinel.keep()  # only now, or a successor would not know that it proves nothing
    return outcome


async def _send(scene: Scene, step: Load, revision: str, so_far: Side) -> None:
    rest = max(0, step.requests - round(so_far.started))
    criteria = scene.sentinel.criteria
    # Longer than a request may hang, or it would be given up before it counts as one without an answer.
    patience = criteria.hang_after + _SOME_MORE * criteria.sample_every
    if rest:
        preview = scene.ports.traffic.preview(revision)
        await scene.ports.load.send(preview, step, rest, patience)


async def _until_sent(scene: Scene, step: Load, senders: list[asyncio.Task[None]]) -> str:
    """Take samples until all is sent and counted; return why it was stopped before, "" when it was not."""
    every = scene.sentinel.criteria.sample_every.total_seconds()
    deadline = scene.deadline(step.within)
    unseen = 0
    while True:
        _, under_way = await asyncio.wait(senders, timeout=every)
        if not under_way:
            await scene.ports.clock.sleep(_COUNTED_AFTER)
        unseen = 0 if await _look(scene, step) else unseen + 1
        if scene.sentinel.judgement.verdict is Verdict.FAIL:
            return "stopped"
        if trouble := _trouble(scene, step, deadline, unseen, over=not under_way):
            return trouble
        if not under_way:
            return ""


def _trouble(scene: Scene, step: Load, deadline: Deadline, unseen: int, *, over: bool) -> str:
    """Say why no more of it is to be sent."""
    if hurt := _hurt(scene, step):
        return hurt
    if unseen >= UNSEEN_AT_MOST or (over and unseen):
        return "its requests were not counted"
    return LATE if deadline.over and not over else ""


def _hurt(scene: Scene, step: Load) -> str:
    """Say that stable itself fails what it is asked: it must not be harmed, and beside it nothing can be proven."""
    evidence, criteria = scene.sentinel.synthetic.evidence, scene.sentinel.criteria
    assert evidence is not None
    recent = evidence.errors.stable_recent
    if recent.bad < _HURT or recent.bad <= criteria.margin * criteria.error_rate * recent.requests:
        return ""
    asked = " and ".join(f"{step.method} {path}" for path in step.paths)
    return f"{step.beside} itself fails {percent(recent.rate)} of it; is {asked} what it can be asked {step.rate:g}/s?"


async def _look(scene: Scene, step: Load) -> bool:
    """Read the counters of both previews, and judge; say whether they could be read."""
    try:
        reading = await scene.ports.metrics.read_previews((step.revision, step.beside))
    except MetricsError:
        return False
    synthetic = scene.sentinel.synthetic
    anew = synthetic.step == Tried()
    if (sample := synthetic.take(reading)) is not None:
        scene.sentinel.recorder.loaded(scene.rollout(), sample, anew=anew)
    scene.sentinel.rejudge()
    return len(reading.revisions) == len({step.revision, step.beside})


def _ended(scene: Scene, step: Load, trouble: str) -> Outcome:
    sentinel, tried = scene.sentinel, scene.sentinel.synthetic.step
    counted = f"{_counted(tried.canary)} of {step.revision}, {_counted(tried.stable)} of {step.beside}"
    data = {"judgement": plain(sentinel.judgement), "load": plain(tried)}
    if sentinel.judgement.verdict is Verdict.FAIL:
        return scene.failed(accusation(sentinel.judgement), data, quarantine=True)
    if not trouble:
        return scene.done(f"{step}: {counted}", data)
    if trouble == LATE:
        return scene.done(f"{step}: no more was sent after {spell(step.within)}: {counted}", data)
    sentinel.synthetic.void()
    sentinel.recorder.voided(scene.rollout())
    sentinel.rejudge()
    said = f"stopped, as {trouble}; it proves nothing ({counted})"
    at, index = scene.ports.clock.now(), scene.rollout().index
    return Outcome(Done(at, index, f"{step}: {said}", unproven=f"step {index + 1} ({step}) {said}"), data)


def _counted(side: Side) -> str:
    return f"{count(side.failed)} of {count(side.started)} synthetic requests failed"
