"""When has a watch seen enough?"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from interlock.core.criteria import WithoutProof
from interlock.core.events import Done, Observed
from interlock.core.judge import Verdict
from interlock.core.judge.words import count
from interlock.core.record import plain
from interlock.core.rollout import Rollout
from interlock.core.steps import Until, Watch, spell
from interlock.core.watching import Unproven, lacking, without_proof
from interlock.engine.ports import Deadline
from interlock.engine.scene import Outcome, Scene

HELD_AT_THE_END = timedelta(hours=24)
"""With all the traffic on a release that is well, an incident elsewhere takes nothing back: the old one stays warm."""


def longest(step: Watch) -> timedelta:
    """Return how long a watch may take at most."""
    return step.duration + (max(step.patience, HELD_AT_THE_END) if step.last else step.patience)


async def watch(scene: Scene, step: Watch) -> Outcome:
    """Observe until time is up and the evidence suffices; hold when it does not; end when patience does."""
    sentinel = scene.sentinel
    judged = sentinel.judged
    counted = sentinel.tally.canary.completed
    seen, said = _seen_so_far(scene), ""
    looked = scene.ports.clock.monotonic()
    deadline, at_the_end = scene.deadline(step.duration + step.patience), scene.deadline(longest(step))
    while True:
        await _news(scene)
        now = _seen_so_far(scene)
        if now > seen:
            # A sample may cover time before this step began: only what passed since the last one counts.
            passed = timedelta(seconds=scene.ports.clock.monotonic() - looked)
            scene.tell(Observed(scene.ports.clock.now(), scene.rollout().index, min(now - seen, passed)))
            seen, looked = now, scene.ports.clock.monotonic()
            await asyncio.sleep(0)
        if scene.rollout().observed < step.duration and not deadline.over:
            continue
        missing = _missing(scene, step)
        if missing is None:
            await scene.guard.renew()
            missing = scene.guard.closed or None
        if missing is None:
            requests = sentinel.tally.canary.completed - counted
            if step.until is Until.PROVEN and sentinel.judgement.synthetic:
                return _proven_by_load(scene, step, requests)
            return scene.done(
                f"{step}: {_verdict_in_words(scene, step, requests)}", {"judgement": plain(sentinel.judgement)}
            )
        # What to do without proof is for a want of proof: a gate that has closed is waited for, whatever is proven.
        policy = WithoutProof.HOLD if scene.guard.closed or not judged else sentinel.criteria.without_proof
        elsewhere = step.last and missing == scene.guard.closed
        over = (at_the_end if elsewhere else deadline).over
        follows = without_proof(policy, over=over, good=_seen_good(scene))
        if follows is Unproven.ADVANCES:
            return _unproven(scene, step, missing)
        if follows is Unproven.FAILS:
            proven = {"judgement": plain(sentinel.judgement)} if judged else {}
            return scene.failed(f"{step}: no proof in time: {missing}", data=proven)
        if missing != said:
            said = missing
            at_most = HELD_AT_THE_END if elsewhere else step.patience
            scene.hold(f"holds, at most {spell(at_most)}: {missing}")


def _missing(scene: Scene, step: Watch) -> str | None:
    """Say what the watch still lacks to end well; None when nothing."""
    sentinel = scene.sentinel
    if unsure := scene.unsure():
        return unsure
    if scene.rollout().observed < step.duration:
        return f"only {spell(scene.rollout().observed)} of {spell(step.duration)} could be observed"
    if not sentinel.judged:
        return None
    return lacking(step, sentinel.evidence, sentinel.judgement)


def _seen_good(scene: Scene) -> bool:
    """Whether only proof is missing: what is seen now is seen well, and nothing condemns the release."""
    sentinel, step = scene.sentinel, scene.rollout().next_step
    watched = isinstance(step, Watch) and scene.rollout().observed >= step.duration
    sees = not (sentinel.trouble or sentinel.unseen or sentinel.judgement.blind)
    return watched and sees and sentinel.judgement.verdict is not Verdict.FAIL


def _seen_so_far(scene: Scene) -> timedelta:
    return scene.sentinel.observed if scene.sentinel.judged else scene.sentinel.seen


def _verdict_in_words(scene: Scene, step: Watch, requests: float) -> str:
    if not scene.sentinel.judged:
        return "healthy all the time"
    if requests == 0:
        return "healthy by its probes; no requests came, so traffic has proven nothing"
    verdict = "proven" if scene.sentinel.judgement.verdict is Verdict.PASS else "nothing bad found"
    return f"{verdict} on {requests:.0f} requests"


def _proven_by_load(scene: Scene, step: Watch, requests: float) -> Outcome:
    tried = scene.sentinel.synthetic.step.canary
    ours = f"{count(tried.failed)} of {count(tried.started)} synthetic requests failed"
    by = f"proven by synthetic load, not by users: {ours}; users sent {count(requests)}"
    said = f"step {scene.rollout().index + 1} ({step}) {by}"
    done = Done(scene.ports.clock.now(), scene.rollout().index, f"{step}: {by}", synthetic=said)
    return Outcome(done, {"judgement": plain(scene.sentinel.judgement)})


def _unproven(scene: Scene, step: Watch, missing: str) -> Outcome:
    said = f"step {scene.rollout().index + 1} ({step}) advanced unproven by policy: {missing}"
    done = Done(scene.ports.clock.now(), scene.rollout().index, said, unproven=said)
    return Outcome(done, {"judgement": plain(scene.sentinel.judgement)})


async def recover(scene: Scene, step: Watch) -> Outcome:
    """Verify that all is well again: instances whole and the error rate within the limit, for the stated time.

    That is the old revision after a rollback, the new one where only its flags were taken back.
    """
    retracting = scene.rollout().retracting
    if retracting:
        scene.sentinel.begin_anew()
    deadline = Deadline.after(scene.ports.clock, step.duration + step.patience)
    scene.counted_from = scene.sentinel.samples
    good, last = timedelta(0), scene.ports.clock.monotonic()
    while good < step.duration:
        await _news(scene)
        now = scene.ports.clock.monotonic()
        bad = _not_recovered(scene)
        good = timedelta(0) if bad else good + timedelta(seconds=min(now - last, 5.0))
        last = now
        if deadline.over:
            return scene.failed(f"{step}: {bad or 'not long enough'}", quarantine=retracting)
    return scene.done(
        f"{step}: healthy, {_carrier_in_words(scene)}", {"points": [plain(p) for p in scene.sentinel.points][-12:]}
    )


def _not_recovered(scene: Scene) -> str | None:
    sentinel = scene.sentinel
    if sentinel.trouble or (sentinel.judged and sentinel.unseen):
        return sentinel.trouble or sentinel.unseen
    if scene.rollout().retracting and (closed := scene.guard.closed):
        return closed
    requests, failed = _carrier_since(scene, 6)
    if requests >= 20 and failed / requests > sentinel.criteria.error_rate:
        which = "revision" if _is_the_new_one(scene.rollout()) else "old revision"
        return f"error rate {failed / requests:.2%} on the {which}, limit {sentinel.criteria.error_rate:.2%}"
    return None


def _is_the_new_one(rollout: Rollout) -> bool:
    """Whether it is the revision of the plan that is to be well again: its flags went back, not its code."""
    return not rollout.going_back or rollout.stage.flag_alone


def _carrier_since(scene: Scene, samples: int) -> tuple[float, float]:
    """Return the requests and failures, in the last samples since the recovery is watched, of whoever has the traffic.

    Samples are counted, not dated: the wall clock may jump.
    """
    new = min(samples, scene.sentinel.samples - scene.counted_from)
    recent = list(scene.sentinel.points)[-new:] if new else []
    new_one = _is_the_new_one(scene.rollout())
    sides = [point.canary if new_one else point.stable for point in recent]
    return sum(side[0] for side in sides), sum(side[0] * (side[1] or 0.0) for side in sides)


def _carrier_in_words(scene: Scene) -> str:
    requests, failed = _carrier_since(scene, 240)
    return f"{failed:.0f} of {requests:.0f} requests failed" if requests else "no requests came"


async def await_person(scene: Scene, step: Watch) -> Outcome:
    await scene.ports.clock.sleep(scene.left(step.patience))
    return scene.failed(f"nobody approved within {spell(step.patience)}")


async def _news(scene: Scene) -> None:
    """Wait for the sentinel's next look, a few seconds at most: one that is stuck must not stop the clock."""
    news = asyncio.ensure_future(scene.sentinel.news.wait())
    timer = asyncio.ensure_future(scene.ports.clock.sleep(timedelta(seconds=5)))
    try:
        await asyncio.wait({news, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        news.cancel()
        timer.cancel()
