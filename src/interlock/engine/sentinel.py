"""Is the release still safe? Asked as long as the rollout lives: during steps, and while people are waited for.

The sentinel only looks and tells. What it finds goes to the rollout's loop as `Unsafe`; what it has seen is there for
the step that watches, for the report and for every surface.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from interlock.core.criteria import Criteria
from interlock.core.interlocks import World
from interlock.core.judge import Evidence, Judgement, Verdict, begin, decode, encode, judge, observe, step
from interlock.core.judge.baseline import History
from interlock.core.record import plain, restore
from interlock.core.rollout import Rollout, Unsafe
from interlock.core.sample import Reading, Sample, difference
from interlock.core.tally import Tally
from interlock.core.weight import ALL, NONE, WHOLE, Weight
from interlock.engine.ports import Ports, look
from interlock.ports.metrics import MetricsError
from interlock.ports.store import StoreError
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

LOOK_EVERY = timedelta(seconds=1)
CHECKPOINT_EVERY = timedelta(seconds=30)
TOO_MANY_RESTARTS = 2
BLIND_FROM = Weight(500)
LEAST_CONTROL = Weight(100)


@dataclass(frozen=True, slots=True)
class Point:
    """One sample as a person reads it: requests, error rate (0 to 1) and p99 (milliseconds) of both sides."""

    at: datetime
    seconds: float
    canary: tuple[float, float | None, float | None]
    stable: tuple[float, float | None, float | None]


class Sentinel:
    """Looks at health once a second and takes a sample every few; keeps the evidence and what the report counts."""

    def __init__(self, ports: Ports, rollout: Callable[[], Rollout], epoch: int, history: History) -> None:
        self._ports, self._rollout, self._epoch = ports, rollout, epoch
        stage = rollout().stage
        self.criteria = stage.criteria or Criteria()
        self.judged = stage.criteria is not None
        planned = stage.shortest / self.criteria.sample_every
        self.history = history
        self.evidence: Evidence = begin(self.criteria, max(1, round(planned)), history=history.baseline)
        self.judgement: Judgement = judge(self.evidence)
        self.tally = Tally(before=history.baseline)
        self.points: deque[Point] = deque(maxlen=240)
        self.world: World | None = None
        self.trouble = ""
        self.unseen = ""
        self.seen = timedelta(0)
        self.observed = timedelta(0)
        self.healthy_for = timedelta(0)
        self.news = asyncio.Event()
        self._reading: Reading | None = None
        self._sampled = self._looked = self._kept = ports.clock.monotonic()
        self._begun = ports.clock.monotonic()
        self._short: dict[str, int] = {}
        self._restarts: dict[tuple[str, int], int] = {}

    async def recover(self) -> None:
        """Take up the evidence and the counters where the last owner left them, so that a gap is counted once."""
        kept = await self._ports.store.last_checkpoint(self._rollout().id)
        if kept is None:
            return
        self.evidence = decode(kept["evidence"])
        self.tally = restore(Tally, kept["tally"])
        self._reading = restore(Reading, kept["reading"]) if kept["reading"] is not None else None
        self.judgement = judge(self.evidence)

    async def run(self, tell: Callable[[Unsafe], None]) -> None:
        """Look for ever; `tell` what is unsafe. Telemetry that fails is blindness, never an end of looking."""
        while True:
            await self.look_once(tell)
            await self._ports.clock.sleep(LOOK_EVERY)

    async def look_once(self, tell: Callable[[Unsafe], None]) -> None:
        """Look at health, and take a sample when one is due."""
        rollout = self._rollout()
        await self._look_at_health(rollout, tell)
        if self._ports.clock.monotonic() - self._sampled >= self.criteria.sample_every.total_seconds() - 0.05:
            await self._take_sample(rollout, tell)
        await self._checkpoint(rollout)

    def stepped(self) -> None:
        """Tell the judge of a new weight: what speaks against the release is kept, what speaks for it starts again."""
        self.evidence = step(self.evidence)
        self.judgement = judge(self.evidence)

    def checkpoint(self) -> dict[str, Any]:
        """Return the judge's state and the last raw counters, which only make sense together."""
        return {
            "evidence": encode(self.evidence),
            "reading": plain(self._reading),
            "tally": plain(self.tally),
            "observed": self._rollout().observed.total_seconds(),
        }

    async def _look_at_health(self, rollout: Rollout, tell: Callable[[Unsafe], None]) -> None:
        now = self._ports.clock.monotonic()
        span, self._looked = timedelta(seconds=min(now - self._looked, 2 * LOOK_EVERY.total_seconds())), now
        try:
            self.world = await look(self._ports, rollout.stage)
        except (TrafficError, WorkloadError) as error:
            self.world, self.trouble = None, str(error)
            self.healthy_for = timedelta(0)
            return
        found = await self._unhealthy(rollout, self.world)
        self.trouble = found or ""
        self.healthy_for = timedelta(0) if found else self.healthy_for + span
        if found is None:
            self.seen += span
        elif not rollout.going_back:
            tell(Unsafe(self._ports.clock.now(), found, quarantine=True))
        self._tell_news()

    async def _unhealthy(self, rollout: Rollout, world: World) -> str | None:
        """Say what is wrong with the revision that users are on: seen twice in a row, because one look can err."""
        revision = _carrier(rollout)
        if revision is None or (rollout.weight == NONE and not rollout.going_back):
            return None
        name = revision.name
        share = world.route.share(name) if world.route is not None else NONE
        needed = max(1, share.needs(revision.release.configuration.instances)) if share != NONE else 0
        looping = await self._crash_loop(name)
        if world.ready(name) >= needed and looping is None:
            self._short[name] = 0
            return None
        self._short[name] = self._short.get(name, 0) + 1
        if looping is None and self._short[name] < 2:
            return None
        why = await self._why_not_ready(name)
        return (
            looping or f"health: {name} carries {share} with {world.ready(name)} ready instances, {needed} needed{why}"
        )

    async def _crash_loop(self, revision: str) -> str | None:
        for instance in await self._ports.workload.instances(revision):
            before = self._restarts.setdefault((revision, instance.slot), instance.restarts)
            if instance.restarts - before >= TOO_MANY_RESTARTS:
                times = instance.restarts - before
                return f"health: instance {instance.slot} of {revision} crashed {times} times ({instance.reason})"
        return None

    async def _why_not_ready(self, revision: str) -> str:
        reasons = [
            f"instance {one.slot}: {one.reason or 'not healthy at the data plane'}"
            for one in await self._ports.workload.instances(revision)
            if not (one.alive and one.ready)
        ]
        return f" ({'; '.join(reasons)})" if reasons else ""

    async def _take_sample(self, rollout: Rollout, tell: Callable[[Unsafe], None]) -> None:
        stage = rollout.stage
        stable = stage.replaces.name if stage.replaces else None
        names = tuple(name for name in (stage.revision.name, stable) if name is not None)
        try:
            reading = await self._ports.metrics.read(names)
        except MetricsError as error:
            self.unseen = str(error)
            self._judge_blindness(rollout, tell)
            return
        sample = difference(self._reading, reading, stage.revision.name, stable)
        self._reading, self._sampled, self.unseen = reading, self._ports.clock.monotonic(), ""
        if sample is not None:
            self._accept(rollout, sample, tell)
        self._judge_blindness(rollout, tell)

    def _accept(self, rollout: Rollout, sample: Sample, tell: Callable[[Unsafe], None]) -> None:
        weight = NONE if rollout.going_back else rollout.weight
        whole = weight == ALL
        at = self._ports.clock.now()
        self.tally = self.tally.add(sample, at, whole=whole)
        self.points.append(_point(at, sample))
        if sample.stable is not None and (rollout.going_back or weight.rest >= LEAST_CONTROL):
            self.history = self.history.add(sample.stable, sample.covers)
        if sample.canary is not None:
            self.observed += min(sample.covers, 2 * self.criteria.sample_every)
        if weight != NONE:
            concurrent = rollout.stage.replaces is not None and weight.points <= WHOLE - LEAST_CONTROL.points
            self.evidence = observe(self.evidence, sample, concurrent=concurrent)
            self.judgement = judge(self.evidence)
        if self.judged and self.judgement.verdict is Verdict.FAIL and not rollout.going_back:
            tell(Unsafe(at, _accusation(self.judgement), quarantine=True))
        self._tell_news()

    def _judge_blindness(self, rollout: Rollout, tell: Callable[[Unsafe], None]) -> None:
        if not self.judged or rollout.going_back or rollout.weight < BLIND_FROM:
            return
        seconds = self._ports.clock.monotonic() - max(self._sampled, self._begun)
        if seconds > self.criteria.blind_at_most.total_seconds():
            reason = f"blind for {seconds:.0f} s with {rollout.weight} of the traffic on {rollout.stage.revision.name}"
            tell(Unsafe(self._ports.clock.now(), f"{reason}: {self.unseen}", quarantine=False))

    async def _checkpoint(self, rollout: Rollout) -> None:
        now = self._ports.clock.monotonic()
        if now - self._kept < CHECKPOINT_EVERY.total_seconds():
            return
        self._kept = now
        try:
            await self._ports.store.checkpoint(rollout.id, self._epoch, self.checkpoint())
        except StoreError as error:
            self.unseen = str(error)

    def _tell_news(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


def _carrier(rollout: Rollout) -> Any:
    return rollout.stage.replaces if rollout.going_back else rollout.stage.revision


def _accusation(judgement: Judgement) -> str:
    return "; ".join(finding.text for finding in judgement.findings if finding.verdict is Verdict.FAIL)


def _point(at: datetime, sample: Sample) -> Point:
    sides = []
    for side in (sample.canary, sample.stable):
        sides.append((0.0, None, None) if side is None else (side.completed, side.error_rate, side.quantile(0.99)))
    return Point(at, sample.covers.total_seconds(), sides[0], sides[1])


def live(sentinel: Sentinel) -> Mapping[str, Any]:
    """Return what the sentinel sees now, for the surfaces: judgement, points, strength."""
    return {
        "judgement": plain(sentinel.judgement),
        "points": [plain(point) for point in sentinel.points],
        "strength": {} if sentinel.world is None else plain(sentinel.world.strength),
        "tally": plain(sentinel.tally),
        "trouble": sentinel.trouble or sentinel.unseen,
    }
