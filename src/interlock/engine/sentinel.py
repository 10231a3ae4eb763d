"""Is the release still safe? Asked as long as the rollout lives: during steps, and while people are waited for.

The sentinel only looks and tells. What it finds goes to the rollout's loop as `Unsafe`; what it has seen is there for
the step that watches, for the report and for every surface.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from interlock.core.criteria import Criteria
from interlock.core.events import Unsafe
from interlock.core.interlocks import World
from interlock.core.judge import Evidence, Judgement, Verdict, begin, decode, encode, judge_both, observe, step
from interlock.core.judge.baseline import History
from interlock.core.patience import given_up
from interlock.core.phase import Phase
from interlock.core.record import plain, restore
from interlock.core.release import Revision, StickyBy
from interlock.core.rollout import Rollout
from interlock.core.sample import Reading, Sample, Side, carried, difference
from interlock.core.share import Share
from interlock.core.stay import Stay
from interlock.core.steps import Gate, SetWeight, Start
from interlock.core.tally import Tally
from interlock.core.watching import BLIND_FROM, compared
from interlock.core.weight import ALL, NONE, Weight
from interlock.engine.claim import Claim
from interlock.engine.exposed import Exposed
from interlock.engine.ports import Ports, look
from interlock.engine.recorder import Recorder
from interlock.engine.synthetic import Synthetic
from interlock.ports.metrics import MetricsError
from interlock.ports.store import Fenced, StoreError
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

LATELY = timedelta(minutes=1)
KEYS_WITHIN = timedelta(seconds=4)
LOOK_EVERY = timedelta(seconds=1)
LOOK_WITHIN = timedelta(seconds=10)
CHECKPOINT_EVERY = timedelta(seconds=30)
TOO_MANY_RESTARTS = 2


@dataclass(frozen=True, slots=True)
class Point:
    """One sample as a person reads it: requests, error rate (0 to 1) and p99 (milliseconds) of both sides."""

    at: datetime
    seconds: float
    canary: tuple[float, float | None, float | None]
    stable: tuple[float, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the last owner wrote of the present step: how much of it was seen, how long it (or its pause) lasted."""

    observed: timedelta = timedelta(0)
    stay: Stay | None = None


class Sentinel:
    """Looks at health once a second and takes a sample every few; keeps the evidence and what the report counts."""

    def __init__(self, ports: Ports, rollout: Callable[[], Rollout], claim: Claim, history: History) -> None:
        self._ports, self._rollout, self._claim = ports, rollout, claim
        stage = rollout().stage
        self.criteria = stage.criteria or Criteria()
        self.judged = stage.criteria is not None
        self._planned = max(1, round(stage.watched / self.criteria.sample_every))
        self.history = history
        # The last hour is the proxy's count. Where somebody else counts, it is another stream, and speaks for nothing.
        self._known = history if self.criteria.counted is None else History()
        self.evidence: Evidence = begin(self.criteria, self._planned, history=self._known.baseline)
        self.synthetic = Synthetic(stage, self.criteria)
        self.exposed = Exposed(self.criteria, self._planned)
        self.judgement: Judgement = judge_both(self.evidence, self.synthetic.evidence)
        self.tally = Tally(before=self._known.baseline)
        self.recorder = Recorder(ports, rollout(), self.evidence, lambda: self.tally.stable)
        self.points: deque[Point] = deque(maxlen=240)
        self._lately: deque[Side] = deque(maxlen=max(1, round(LATELY / self.criteria.sample_every)))
        self.share = self._share_at(rollout().weight)
        self._keys: asyncio.Task[None] | None = None
        self.world: World | None = None
        self.trouble = ""
        self.unseen = ""
        self.unwritten = ""
        self.samples = 0
        self.seen = timedelta(0)
        self.observed = timedelta(0)
        self.healthy_for = timedelta(0)
        self.news = asyncio.Event()
        self._counting = asyncio.Lock()
        self._reading: Reading | None = None
        self._sampled: float | None = None
        self._looked = self._kept = self._blind_since = ports.clock.monotonic()
        self._proving, self._straddles = NONE, False
        self._short: dict[str, int] = {}
        self._restarts: dict[tuple[str, int], int] = {}

    @property
    def lasted(self) -> timedelta:
        """How long the rollout has stood at its present step, or has been paused there, whoever drove it."""
        stay, clock = self._rollout().stay, self._ports.clock
        return timedelta(0) if stay is None else stay.lasted(clock.boot, clock.monotonic())

    def _stay(self) -> Stay | None:
        """Return the present stay as it is now, to be taken over from."""
        stay, clock = self._rollout().stay, self._ports.clock
        now = clock.monotonic()
        return stay and replace(stay, boot=clock.boot, since=now, before=stay.lasted(clock.boot, now))

    async def recover(self) -> Recalled:
        """Take up the evidence and the counters where the last owner left them, so that a gap is counted once.

        Return how long the present step had lasted by then, and how much of it a watch had seen. What spoke for the
        release at another weight speaks for nothing now.
        """
        rollout = self._rollout()
        kept = await self._ports.store.last_checkpoint(rollout.id)
        if kept is None:
            self.recorder.resumed(rollout, None, rollout.weight, rollout.observed)
            return Recalled()
        recalled = _recalled(kept, rollout)
        try:
            self.synthetic.recover(kept.get("load"))
            self.exposed.recover(kept.get("cohort"))
            self.evidence, self.tally, self._reading = _evidence(kept, self.criteria)
        except (KeyError, ValueError):  # written by another version: to look afresh is better than not to look
            self.recorder.resumed(rollout, None, rollout.weight, rollout.observed)
            return replace(recalled, observed=timedelta(0))
        self._proving = Weight(kept["weight"])
        observed = max(rollout.observed, recalled.observed)
        self.recorder.resumed(rollout, self.evidence, self._proving, observed, self.synthetic.evidence)
        if self._proving != rollout.weight:
            self.stepped()
        self.rejudge()
        return recalled

    async def run(self, tell: Callable[[Unsafe], None]) -> None:
        """Look for ever; `tell` what is unsafe. Telemetry that fails is blindness, never an end of looking."""
        while True:
            await self.look_once(tell)
            await self._ports.clock.sleep(LOOK_EVERY)

    async def look_once(self, tell: Callable[[Unsafe], None]) -> None:
        """Look at health, and take a sample when one is due. A look that breaks is trouble, never an end of looking."""
        try:
            async with asyncio.timeout(LOOK_WITHIN.total_seconds()):
                await self._look(tell)
        except Fenced:
            raise
        except TimeoutError:
            self._saw_nothing(f"no answer within {LOOK_WITHIN.total_seconds():g} s when asked for health")
        except Exception as error:  # whatever an adapter raises: not to look any more would be worse
            self._saw_nothing(f"health could not be seen: {error!r}")
        self._judge_blindness(self._rollout(), tell)

    async def _look(self, tell: Callable[[Unsafe], None]) -> None:
        rollout, now = self._rollout(), self._ports.clock.monotonic()
        await self._look_at_health(rollout, tell)
        if self._sampled is None or now - self._sampled >= self.criteria.sample_every.total_seconds() - 0.05:
            await self._take_sample(rollout, tell)
        await self._checkpoint(rollout)

    async def count(self) -> None:
        """Take a sample at once: what is not counted before the proxy forgets a revision never is. Raises nothing."""
        with suppress(Exception):
            async with asyncio.timeout(LOOK_WITHIN.total_seconds()):
                await self._take_sample(self._rollout(), lambda _: None)

    async def keep(self) -> None:
        """Write the last checkpoint, from which the report is made; a store that is full costs only that."""
        with suppress(StoreError):
            await self._ports.store.checkpoint(self._rollout().id, await self._claim.epoch(), self.checkpoint())

    def stepped(self) -> None:
        """Tell the judge of a new weight: what speaks against the release is kept, what speaks for it starts again.

        The next sample is taken at once. It began at the weight before, so it still speaks for nothing at this one.
        """
        self.evidence = step(self.evidence)
        self.synthetic.stepped(self._rollout())
        self.exposed.stepped()
        self.rejudge()
        self._proving, self._straddles, self._sampled = self._rollout().weight, True, None
        self.share = self._share_at(self._proving)
        self.recorder.weighted(self._rollout())

    def begin_anew(self) -> None:
        """Judge from here on only: what was seen before was the work of a flag that nobody has any more."""
        self.evidence = begin(self.criteria, self._planned, history=self._known.baseline)
        self.exposed.begin_anew()
        self._lately.clear()
        self._sampled, self._straddles = None, True
        self.rejudge()

    def rejudge(self) -> None:
        """Judge again, after there is more evidence."""
        self.judgement = judge_both(self.evidence, self.synthetic.evidence)

    def _share_at(self, weight: Weight) -> Share:
        return Share(weight, self._rollout().stage.entrance.sticky.by is not StickyBy.NOTHING)

    def checkpoint(self) -> dict[str, Any]:
        """Return the judge's state and the last raw counters, which only make sense together."""
        rollout = self._rollout()
        return {
            "evidence": encode(self.evidence),
            "reading": plain(self._reading),
            "tally": plain(self.tally),
            "load": self.synthetic.record(),
            "cohort": self.exposed.record(),
            "observed": rollout.observed.total_seconds(),
            "stay": plain(self._stay()),
            "step_since": rollout.step_since.isoformat(),
            "paused_since": _paused_since(rollout),
            "weight": self._proving.points,
        }

    async def _look_at_health(self, rollout: Rollout, tell: Callable[[Unsafe], None]) -> None:
        now = self._ports.clock.monotonic()
        span, self._looked = timedelta(seconds=min(now - self._looked, 2 * LOOK_EVERY.total_seconds())), now
        try:
            self.world = await look(self._ports, rollout.stage)
            found = await self._unhealthy(rollout, self.world)
        except (TrafficError, WorkloadError) as error:
            self._saw_nothing(str(error))
            return
        self.trouble = found or ""
        self.healthy_for = timedelta(0) if found else self.healthy_for + span
        if found is None:
            self.seen += span
        elif not rollout.going_back:
            tell(Unsafe(self._ports.clock.now(), found, quarantine=True))
        self._tell_news()

    def _saw_nothing(self, why: str) -> None:
        self.world, self.trouble, self.healthy_for = None, why, timedelta(0)

    async def _unhealthy(self, rollout: Rollout, world: World) -> str | None:
        """Say what is wrong with the revision that users are on, or will be: seen twice in a row, as one look can err.

        While instances are being started their step says what is wrong; once they stood ready they must stay so.
        """
        revision = _carrier(rollout)
        if revision is None:
            return None
        name = revision.name
        if rollout.weight == NONE and not rollout.going_back:
            return None if isinstance(rollout.next_step, (Gate, Start)) else await self._crash_loop(name)
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
        healthy = await self._ports.traffic.healthy(revision)
        reasons = [
            f"instance {one.slot}: {one.reason or 'not healthy at the data plane'}"
            for one in await self._ports.workload.instances(revision)
            if not (one.alive and one.ready and one.address in healthy)
        ]
        return f" ({'; '.join(reasons)})" if reasons else ""

    async def _take_sample(self, rollout: Rollout, tell: Callable[[Unsafe], None]) -> None:
        async with self._counting:
            await self._read_counters(rollout, tell)

    async def _read_counters(self, rollout: Rollout, tell: Callable[[Unsafe], None]) -> None:
        stage = rollout.stage
        stable = stage.replaces.name if stage.replaces and not stage.flag_alone else None
        names = tuple(name for name in (stage.revision.name, stable) if name is not None)
        try:
            metrics = (*self.criteria.metrics, *self.exposed.metrics)
            reading = await self._ports.metrics.read(names, metrics, self.criteria.counted)
        except MetricsError as error:
            self.unseen = str(error)
            self._weigh(rollout, Sample(self._ports.clock.monotonic(), LOOK_EVERY, None, None))
            return
        sample = difference(self._reading, reading, stage.revision.name, stable)
        self._reading, self._sampled = carried(self._reading, reading), self._ports.clock.monotonic()
        self.unseen = self._uncounted(rollout, reading)
        if stage.revision.name in reading.revisions:
            self._blind_since = self._sampled
        if sample is not None:
            self._accept(rollout, self.exposed.take(rollout, sample), tell)

    def _uncounted(self, rollout: Rollout, reading: Reading) -> str:
        """Say which revision with traffic nobody counts: that is blindness, not silence."""
        carrier = _carrier(rollout)
        weighs = rollout.going_back or rollout.weight != NONE
        return f"{carrier.name} is not counted" if weighs and carrier and carrier.name not in reading.revisions else ""

    def _accept(self, rollout: Rollout, sample: Sample, tell: Callable[[Unsafe], None]) -> None:
        weight = NONE if rollout.going_back else rollout.weight
        whole = weight == ALL
        at = self._ports.clock.now()
        self.samples += 1
        self.tally = self.tally.add(sample, at, whole=whole, back=_returned(rollout))
        self.points.append(_point(at, sample))
        proxys = self.criteria.counted is None
        if proxys and sample.stable is not None and (rollout.going_back or compared(weight)):
            self.history = self.history.add(sample.stable, sample.covers)
        if sample.canary is not None:
            self.observed += min(sample.covers, 2 * self.criteria.sample_every)
        if proxys and not (self._straddles or rollout.going_back or isinstance(rollout.next_step, SetWeight)):
            self.share = self.share.add(sample)  # others count our probes too
            self._count_keys(rollout)
        self._weigh(rollout, sample)
        if self.judged and self.judgement.verdict is Verdict.FAIL and not rollout.going_back:
            tell(Unsafe(at, accusation(self.judgement), quarantine=True))
        elif self.judged and not rollout.going_back and (bad := self.exposed.accusation):
            tell(Unsafe(at, bad, quarantine=True))
        if sample.canary is not None and weight != NONE:
            self._lately.append(sample.canary)
            if self.judged and (gone := given_up(self._lately, self.tally.stable)):
                tell(Unsafe(at, gone, quarantine=True))
        self._tell_news()

    def _count_keys(self, rollout: Rollout) -> None:
        """Ask how many users there are when none of so many requests reached the canary: it may be a single one."""
        if self.share.keys_wanted and (self._keys is None or self._keys.done()):
            self._keys = asyncio.create_task(self._add_keys(rollout.stage.environment, self.share.weight))

    async def _add_keys(self, environment: str, weight: Weight) -> None:
        with suppress(TrafficError):
            keys = await self._ports.traffic.keys(environment, within=KEYS_WITHIN)
            if weight == self.share.weight:
                self.share = self.share.of(keys)

    def _weigh(self, rollout: Rollout, sample: Sample) -> None:
        """Give the judge a sample, or what it could not see, while users are on the new revision."""
        weight = NONE if rollout.going_back else rollout.weight
        if weight == NONE:
            return
        concurrent = rollout.stage.replaces is not None and compared(weight)
        if not rollout.retracting:  # a recording ends with the verdict
            self.recorder.sampled(rollout, weight, sample, concurrent=concurrent)
        self.evidence = observe(self.evidence, sample, concurrent=concurrent)
        if self._straddles and sample.canary is not None:
            self.evidence, self._straddles = step(self.evidence), False
        self.rejudge()

    def _judge_blindness(self, rollout: Rollout, tell: Callable[[Unsafe], None]) -> None:
        now = self._ports.clock.monotonic()
        if not self.judged or rollout.going_back or rollout.weight < BLIND_FROM:
            self._blind_since = now
            return
        seconds = now - self._blind_since
        if seconds > self.criteria.blind_at_most.total_seconds():
            reason = f"blind for {seconds:.0f} s with {rollout.weight} of the traffic on {rollout.stage.revision.name}"
            tell(Unsafe(self._ports.clock.now(), f"{reason}: {self.unseen or self.trouble}", quarantine=False))

    async def _checkpoint(self, rollout: Rollout) -> None:
        now = self._ports.clock.monotonic()
        if now - self._kept < CHECKPOINT_EVERY.total_seconds():
            return
        self._kept = now
        try:
            await self._ports.store.checkpoint(rollout.id, await self._claim.epoch(), self.checkpoint())
            self.unwritten = ""
        except StoreError as error:
            self.unwritten = str(error)

    def _tell_news(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


def _recalled(kept: Mapping[str, Any], rollout: Rollout) -> Recalled:
    """Return what was written of the step the rollout stands at; nothing when it was of another one."""
    if kept.get("step_since") != rollout.step_since.isoformat():
        return Recalled()
    same = kept.get("stay") and kept.get("paused_since") == _paused_since(rollout)
    return Recalled(timedelta(seconds=kept["observed"]), restore(Stay, kept["stay"]) if same else None)


def _paused_since(rollout: Rollout) -> str | None:
    return rollout.since.isoformat() if rollout.phase is Phase.PAUSED else None


def _evidence(kept: Mapping[str, Any], criteria: Criteria) -> tuple[Evidence, Tally, Reading | None]:
    reading = restore(Reading, kept["reading"]) if kept["reading"] is not None else None
    return decode(kept["evidence"], criteria), restore(Tally, kept["tally"]), reading


def _returned(rollout: Rollout) -> bool:
    """Say whether the old revision has been given all the traffic again."""
    return rollout.going_back and any(isinstance(step, SetWeight) for step in rollout.way_back[: rollout.index])


def _carrier(rollout: Rollout) -> Revision | None:
    return rollout.stage.replaces if rollout.going_back else rollout.stage.revision


def accusation(judgement: Judgement) -> str:
    """Say by what the release is condemned."""
    return "; ".join(finding.text for finding in judgement.findings if finding.verdict is Verdict.FAIL)


def _point(at: datetime, sample: Sample) -> Point:
    sides = []
    for side in (sample.canary, sample.stable):
        sides.append((0.0, None, None) if side is None else (side.completed, side.error_rate, side.quantile(0.99)))
    return Point(at, sample.covers.total_seconds(), sides[0], sides[1])


def live(sentinel: Sentinel) -> Mapping[str, Any]:
    """Return what the sentinel sees now, for the surfaces: judgement, points, strength, the route in force."""
    world = sentinel.world
    return {
        "judgement": plain(sentinel.judgement),
        "points": [plain(point) for point in sentinel.points],
        "strength": {} if world is None else plain(world.strength),
        "route": None if world is None or world.route is None else plain(world.route),
        "tally": plain(sentinel.tally),
        "load": sentinel.synthetic.live(),
        "cohort": sentinel.exposed.live(),
        "share": {"canary": sentinel.share.canary, "stable": sentinel.share.stable},
        "trouble": sentinel.trouble or sentinel.unseen or sentinel.unwritten,
    }
