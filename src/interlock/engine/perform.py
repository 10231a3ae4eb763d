"""How is each kind of step carried out? One step, a few calls on ports, one outcome.

Every function reaches a state and may be repeated from the start; every wait has a deadline; being cancelled in the
middle loses nothing. What goes wrong is an outcome: ports raise, `perform` returns `Failed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from interlock.core import gates, interlocks
from interlock.core.criteria import WithoutProof
from interlock.core.judge import Verdict, odds_against
from interlock.core.record import plain
from interlock.core.release import Instance, Revision
from interlock.core.rollout import Done, Failed, Held, Observed, Rollout
from interlock.core.route import Route
from interlock.core.steps import (
    Drain,
    Gate,
    GateName,
    Retire,
    Settle,
    SetWeight,
    Smoke,
    Start,
    Step,
    Until,
    Watch,
    spell,
)
from interlock.core.weight import NONE
from interlock.engine.ports import Deadline, Ports, look
from interlock.engine.sentinel import Sentinel
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

T = TypeVar("T")

SOON = timedelta(milliseconds=50)
LATER = timedelta(milliseconds=500)
CALL_WITHIN = timedelta(seconds=15)
LEAVE_WITHIN = timedelta(seconds=60)
BACK_WITHIN = timedelta(minutes=10)
QUIET_POLLS = 5
CRASHES_BEFORE_READY = 3
SUSPICIOUS = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step, for the table (`event`) and for the journal (`data`)."""

    event: Done | Failed
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Performer:
    """Carries out the steps of one rollout. `tell` takes what happens on the way: waiting, time observed."""

    ports: Ports
    sentinel: Sentinel
    rollout: Callable[[], Rollout]
    tell: Callable[[Held | Observed], None]

    async def perform(self, step: Step) -> Outcome:
        """Carry out one step; return its outcome.

        What a port refuses on the way back, or when the new revision has been proven and only the old one is to leave,
        is asked again for a while: to give up there helps nobody.
        """
        deadline = Deadline.after(self.ports.clock, self._persists(step))
        while True:
            outcome = await self._attempt(step)
            if isinstance(outcome, Outcome):
                return outcome
            if deadline.over:
                return self._given_up(step, outcome)
            self._trouble = outcome
            await self.ports.clock.sleep(LATER)

    async def _attempt(self, step: Step) -> Outcome | str:
        """Carry out a step once; return its outcome, or what broke it."""
        try:
            async with asyncio.timeout(self._at_most(step).total_seconds()):
                return await self._verb(step)
        except TimeoutError:
            return f"{step}: not done, and no answer, within {spell(self._at_most(step))}"
        except (TrafficError, WorkloadError) as error:
            return str(error)
        except Exception as error:  # an adapter's own fault is no reason to stop going back
            return f"{step}: {error!r}"

    def _persists(self, step: Step) -> timedelta:
        match step:
            case Start(within=within) if self.rollout().going_back:
                return within
            case _ if self.rollout().going_back:
                return BACK_WITHIN
            case Settle() | Drain() | Retire():
                return LEAVE_WITHIN
        return timedelta(0)

    def _at_most(self, step: Step) -> timedelta:
        """How long one attempt may take: what the step allows itself, and some more to say so."""
        match step:
            case Smoke(within=within):
                return within
            case Start(within=within) | SetWeight(within=within) | Drain(within=within):
                return within + 2 * CALL_WITHIN
            case Gate(patience=patience):
                return patience + 2 * CALL_WITHIN
            case Watch(duration=duration, patience=patience):
                return duration + patience + 2 * CALL_WITHIN
            case Settle():
                return LEAVE_WITHIN + CALL_WITHIN
            case Retire(revision=name):
                return self.rollout().stage.known(name).release.configuration.stop_within + 4 * CALL_WITHIN

    def _given_up(self, step: Step, reason: str) -> Outcome:
        if isinstance(step, Start) and self.rollout().going_back:
            return self._done(f"{step}: {reason}; going back as far as it can carry")
        return self._failed(reason)

    def _verb(self, step: Step) -> Awaitable[Outcome]:
        match step:
            case Gate():
                return self._gate(step)
            case Start():
                return self._start(step)
            case Smoke():
                return self._smoke(step)
            case SetWeight() if self.rollout().going_back:
                return self._take_back(step)
            case SetWeight():
                return self._set_weight(step)
            case Watch(until=Until.APPROVED):
                return self._await_person(step)
            case Watch(until=Until.RECOVERED):
                return self._recover(step)
            case Watch():
                return self._watch(step)
            case Settle():
                return self._settle(step)
            case Drain():
                return self._drain(step)
            case Retire():
                return self._retire(step)

    # --- before step 1

    async def _gate(self, step: Gate) -> Outcome:
        deadline = Deadline.after(self.ports.clock, step.patience)
        said = ""
        while True:
            answer = await _bounded(self._evaluate(step.name))
            if answer.open:
                return self._done(f"{step}: {answer.reason}")
            if answer.final or deadline.over:
                return self._failed(f"{step}: {answer.reason}")
            if answer.reason != said:
                said = answer.reason
                self._hold(answer.reason)
            await self.ports.clock.sleep(LATER)

    async def _evaluate(self, name: GateName) -> gates.Answer:
        stage = self.rollout().stage
        release = stage.revision.release
        match name:
            case GateName.NOT_QUARANTINED:
                quarantine = await self.ports.store.quarantine(release.service)
                return gates.not_quarantined(release, [(one.identity, one.rollout, one.reason) for one in quarantine])
            case GateName.STAGING:
                proofs = await self.ports.store.proofs(release.service, stage.proven_in)
                found = [(proof.subject, proof.rollout, proof.at) for proof in proofs]
                return gates.staging(release, stage.proven_in, found, self.ports.clock.now(), stage.proof_valid_for)
            case GateName.ROLLBACK_READY:
                return await self._rollback_ready()

    async def _rollback_ready(self) -> gates.Answer:
        """Prove the rollback by doing its harmless half: the old revision whole and in front, the way back written."""
        stage = self.rollout().stage
        await self.ports.traffic.open(stage.environment, stage.entrance)
        if stage.replaces is None:
            return gates.Answer(True, "nothing to go back to: this is the first release; going back stops it")
        old, size = stage.replaces, stage.replaces.release.configuration.instances
        missing = await self._bring_up(old, size)
        if missing is not None:
            return gates.Answer(False, f"the rollback's target {old.name} is not whole: {missing}")
        if (await look(self.ports, stage)).route != stage.retreat:  # after a rollback that failed, or a lost route
            await self.ports.traffic.steer(stage.retreat)
        await self.ports.traffic.prepare(stage.retreat)
        return gates.Answer(
            True, f"{old.name} ({old.release.version}) is ready with {size} instances, the way back is written"
        )

    # --- instances

    async def _start(self, step: Start) -> Outcome:
        deadline = Deadline.after(self.ports.clock, step.within)
        revision = self.rollout().stage.known(step.revision)
        while True:
            if self.rollout().going_back:
                await _bounded(self._retreat())
            missing = await self._missing_instances(revision, step.instances)
            if missing is None:
                return self._done(f"{step}: ready and healthy at the data plane")
            looping = None if self.rollout().going_back else await self._never_ready(step.revision)
            if deadline.over or looping:
                return await self._not_started(step, looping or f"after {spell(step.within)}: {missing}")
            await self.ports.clock.sleep(SOON)

    async def _missing_instances(self, revision: Revision, instances: int) -> str | None:
        """Bring instances up; say what is missing, also when the proxy does not answer: it may soon."""
        try:
            return await _bounded(self._bring_up(revision, instances))
        except TrafficError as error:
            return str(error)

    async def _bring_up(self, revision: Revision, instances: int) -> str | None:
        """Have the instances running and admitted; say what is missing, None when all are healthy."""
        running = await self.ports.workload.instances(revision.name)
        if len(running) < instances:
            await self.ports.workload.ensure(revision, instances)
            running = await self.ports.workload.instances(revision.name)
        addresses = tuple(one.address for one in running)
        ready = tuple(one.address for one in running if one.alive and one.ready)
        healthy = await self.ports.traffic.healthy(revision.name)
        if not set(ready) <= healthy:
            # Who is in stays in: an instance that just missed one of our probes may have requests under way.
            await self.ports.traffic.admit(revision, tuple(a for a in addresses if a in healthy or a in ready))
            healthy = await self.ports.traffic.healthy(revision.name)
        up = len(healthy & set(ready))
        return None if up >= instances else f"{up} of {instances} instances ready{_reasons(running)}"

    async def _never_ready(self, revision: str) -> str | None:
        for one in await self.ports.workload.instances(revision):
            if not one.ready and one.restarts >= CRASHES_BEFORE_READY:
                return f"instance {one.slot} ended {one.restarts} times before it was ready ({one.reason})"
        return None

    async def _not_started(self, step: Start, reason: str) -> Outcome:
        if self.rollout().going_back:
            return self._done(f"{step}: {reason}; going back as far as it can carry")
        tail = await self.ports.workload.log_tail(step.revision, 5)
        return self._failed(f"{step}: {reason}" + (f"; last lines: {' | '.join(tail)}" if tail else ""))

    async def _smoke(self, step: Smoke) -> Outcome:
        revision = self.rollout().stage.known(step.revision)
        preview = self.ports.traffic.preview(step.revision)
        answer = await self.ports.prober.identify(revision, preview)
        if not answer.ok:
            return self._failed(f"{step}: {answer.reason}", quarantine=False)
        tests = revision.release.configuration.smoke_tests
        for test in tests:
            answer = await self.ports.prober.smoke(test, revision, preview)
            if not answer.ok:
                return self._failed(f"smoke test {test.name!r} of {step.revision}: {answer.reason}", quarantine=True)
        passed = f"{len(tests)} passed" if tests else "none configured; the preview answers"
        return self._done(f"{step}: {passed}")

    # --- traffic

    async def _set_weight(self, step: SetWeight) -> Outcome:
        stage = self.rollout().stage
        deadline = Deadline.after(self.ports.clock, step.within)
        while (unsure := self._unsure()) and not deadline.over:
            self._trouble = f"no more traffic while it is not known whether all is well: {unsure}"
            await self.ports.clock.sleep(SOON)
        note = None if unsure else await self._steer(stage.route(step.weight), deadline)
        if note is None:
            return self._failed(f"{step}: {self._trouble}")
        self.sentinel.stepped()
        return self._done(f"{step}: {note}")

    def _unsure(self) -> str:
        """Say what must be known, or be otherwise, before more traffic may go to the new revision."""
        sentinel = self.sentinel
        return sentinel.trouble or sentinel.share.impossible or (sentinel.unseen if sentinel.judged else "")

    _trouble: str = ""

    async def _steer(self, route: Route, deadline: Deadline) -> str | None:
        """Put a route in force and observe it at the data plane; None when the deadline came first (see `_trouble`)."""
        while True:
            try:
                if (note := await _bounded(self._steer_once(route))) is not None:
                    return note
            except TrafficError as error:
                self._trouble = str(error)
            if deadline.over:
                return None
            await self.ports.clock.sleep(SOON)

    async def _steer_once(self, route: Route) -> str | None:
        refusal = interlocks.steer(await look(self.ports, self.rollout().stage), route)
        if refusal is not None:
            self._trouble = refusal
            return None
        await self.ports.traffic.steer(route)
        return await self._verified(route)

    async def _verified(self, route: Route) -> str | None:
        """Say how the route was observed at the data plane, None when it was not (see `_trouble`)."""
        verified = await self.ports.traffic.verify(route)
        self._trouble = verified.reason
        return _observed(route, verified.probes, verified.on_canary) if verified.ok else None

    async def _take_back(self, step: SetWeight) -> Outcome:
        """Give the new revision nothing: one rename where the old one is whole, else as much as it can carry."""
        stage = self.rollout().stage
        deadline = Deadline.after(self.ports.clock, step.within)
        while not deadline.over:
            try:
                if await _bounded(self._retreat()):
                    note = await _bounded(self._verified(stage.retreat))
                    if note is not None:
                        return self._done(f"traffic back on {stage.replaces.name if stage.replaces else '503'}: {note}")
                elif stage.replaces is not None:
                    await _bounded(self._bring_up(stage.replaces, stage.replaces.release.configuration.instances))
            except (TrafficError, WorkloadError) as error:
                self._trouble = str(error)
            await self.ports.clock.sleep(SOON)
        return self._failed(f"traffic could not be taken back: {self._trouble}")

    async def _retreat(self) -> bool:
        """Take back as much as the old revision can carry; say whether that is everything."""
        stage = self.rollout().stage
        world = await look(self.ports, stage)
        if world.route == stage.retreat:
            return True
        target = interlocks.retreat(world, stage)
        if target is None:
            self._trouble = f"{stage.replaces.name if stage.replaces else 'nothing'} has too few ready instances"
            return False
        if target != stage.retreat or stage.replaces is None:
            await self.ports.traffic.steer(target)
        else:
            await self._fall_back()
        return target == stage.retreat

    async def _fall_back(self) -> None:
        """Rename the way back into force; when none was written, or another one, write it now."""
        stage = self.rollout().stage
        try:
            if await self.ports.traffic.fall_back(stage.environment) == stage.retreat:
                return
        except TrafficError as error:
            self._trouble = str(error)
        await self.ports.traffic.steer(stage.retreat)

    async def _settle(self, step: Settle) -> Outcome:
        route = self.rollout().stage.settled(step.revision)
        note = await self._steer(route, Deadline.after(self.ports.clock, LEAVE_WITHIN))
        return self._done(str(step)) if note is not None else self._failed(f"{step}: {self._trouble}")

    # --- leaving

    async def _drain(self, step: Drain) -> Outcome:
        """Send the leaving endpoints nothing new; done after observed zero traffic, or at the stated deadline."""
        leaving, staying = await self._split(step.revision, step.keep)
        if not leaving:
            return self._done(f"{step}: nothing is left to drain")
        ready = sum(1 for one in staying if one.alive and one.ready)
        refusal = interlocks.leave(await look(self.ports, self.rollout().stage), step.revision, ready)
        if refusal is not None:
            return self._failed(f"{step}: {refusal}")
        addresses = tuple(one.address for one in leaving)
        began = self.ports.clock.monotonic()
        deadline = Deadline.after(self.ports.clock, step.within)
        await self.ports.traffic.drain(step.revision, addresses)
        left = await self._until_quiet(step.revision, addresses, deadline)
        seconds = self.ports.clock.monotonic() - began
        note = (
            f"{step}: quiet after {seconds:.1f} s"
            if not left
            else f"{step}: {left} requests still under way at its deadline"
        )
        return self._done(note, {"drain_seconds": round(seconds, 3), "under_way": left})

    async def _until_quiet(self, revision: str, addresses: tuple[str, ...], deadline: Deadline) -> int:
        quiet = 0
        while True:
            flight = await self.ports.traffic.in_flight(revision)
            under_way = sum(flight.get(address, 0) for address in addresses)
            quiet = 0 if under_way else quiet + 1
            if quiet >= QUIET_POLLS or deadline.over:
                return under_way
            await self.ports.clock.sleep(SOON)

    async def _retire(self, step: Retire) -> Outcome:
        leaving, _ = await self._split(step.revision, step.keep)
        if not step.keep:
            world = await look(self.ports, self.rollout().stage)
            refusal = interlocks.forget(world, step.revision)
            if refusal is not None:
                return self._failed(f"{step}: {refusal}")
        killed, cut = await self._stop(step.revision, leaving) if leaving else ((), ())
        if not step.keep:
            await self._forget(step.revision)
        note = f"{step}: {len(leaving)} stopped" + (f", {len(killed)} killed after their grace" if killed else "")
        note += f", {len(cut)} requests cut: {', '.join(cut[:5])}" if cut else ""
        return self._done(note, {"cut": list(cut), "killed": list(killed)})

    async def _stop(self, revision: str, leaving: tuple[Instance, ...]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """End instances; return the slots that had to be killed, and the requests that were cut."""
        mark = self.ports.clock.now()
        under_way = await self.ports.traffic.dismiss(revision, tuple(one.address for one in leaving))
        killed = await self.ports.workload.stop(revision, tuple(one.slot for one in leaving))
        return killed, await self.ports.traffic.cut_since(revision, mark) if under_way else ()

    async def _forget(self, revision: str) -> None:
        """Have the proxy forget a revision; one that no user reached it may never have known, nor run at all."""
        try:
            await self.ports.traffic.forget(revision)
        except TrafficError:
            if self.rollout().exposed:
                raise

    async def _split(self, revision: str, keep: int) -> tuple[tuple[Instance, ...], tuple[Instance, ...]]:
        instances = sorted(await self.ports.workload.instances(revision), key=lambda one: one.slot)
        return tuple(instances[keep:]), tuple(instances[:keep])

    # --- watching

    async def _watch(self, step: Watch) -> Outcome:
        """Observe until time is up and the evidence suffices; hold when it does not; end when patience does."""
        sentinel = self.sentinel
        judged = sentinel.judged
        counted = sentinel.tally.canary.completed
        seen, said = self._seen_so_far(), ""
        looked = self.ports.clock.monotonic()
        rest = max(timedelta(0), step.duration - self.rollout().observed)
        deadline = Deadline.after(self.ports.clock, rest + step.patience)
        while True:
            await self._news()
            now = self._seen_so_far()
            if now > seen:
                # A sample may cover time before this step began: only what passed since the last one counts.
                passed = timedelta(seconds=self.ports.clock.monotonic() - looked)
                self.tell(Observed(self.ports.clock.now(), self.rollout().index, min(now - seen, passed)))
                seen, looked = now, self.ports.clock.monotonic()
                await asyncio.sleep(0)
            if self.rollout().observed < step.duration and not deadline.over:
                continue
            missing = self._missing(step)
            if missing is None:
                requests = sentinel.tally.canary.completed - counted
                return self._done(
                    f"{step}: {self._verdict_in_words(step, requests)}", {"judgement": plain(sentinel.judgement)}
                )
            policy = sentinel.criteria.without_proof if judged else WithoutProof.HOLD
            if policy is WithoutProof.ADVANCE and self._seen_good():
                return self._unproven(step, missing)
            if policy is WithoutProof.ROLL_BACK or deadline.over:
                return self._failed(f"{step}: no proof in time: {missing}")
            if missing != said:
                said = missing
                self._hold(f"holds, at most {spell(step.patience)}: {missing}")

    def _missing(self, step: Watch) -> str | None:
        """Say what the watch still lacks to end well; None when nothing."""
        sentinel = self.sentinel
        if unsure := self._unsure():
            return unsure
        if self.rollout().observed < step.duration:
            return f"only {spell(self.rollout().observed)} of {spell(step.duration)} could be observed"
        if not sentinel.judged:
            return None
        judgement = sentinel.judgement
        if judgement.blind:
            return "no telemetry: neither good nor bad is known"
        if step.until is Until.PROVEN and judgement.verdict is not Verdict.PASS:
            return judgement.missing or "the evidence does not suffice yet"
        if (odds := odds_against(sentinel.evidence)) >= SUSPICIOUS:
            return f"odds of {odds:.2g} to 1 against the release, which good requests must first outweigh"
        return None

    def _seen_good(self) -> bool:
        """Whether only proof is missing: what is seen now is seen well, and nothing condemns the release."""
        sentinel, step = self.sentinel, self.rollout().next_step
        watched = isinstance(step, Watch) and self.rollout().observed >= step.duration
        sees = not (sentinel.trouble or sentinel.unseen or sentinel.judgement.blind)
        return watched and sees and sentinel.judgement.verdict is not Verdict.FAIL

    def _seen_so_far(self) -> timedelta:
        return self.sentinel.observed if self.sentinel.judged else self.sentinel.seen

    def _verdict_in_words(self, step: Watch, requests: float) -> str:
        if not self.sentinel.judged:
            return "healthy all the time"
        if requests == 0:
            return "healthy by its probes; no requests came, so traffic has proven nothing"
        verdict = "proven" if self.sentinel.judgement.verdict is Verdict.PASS else "nothing bad found"
        return f"{verdict} on {requests:.0f} requests"

    def _unproven(self, step: Watch, missing: str) -> Outcome:
        said = f"step {self.rollout().index + 1} ({step}) advanced unproven by policy: {missing}"
        done = Done(self.ports.clock.now(), self.rollout().index, said, unproven=said)
        return Outcome(done, {"judgement": plain(self.sentinel.judgement)})

    async def _recover(self, step: Watch) -> Outcome:
        """Verify the rollback: the old revision whole and its error rate within the limit, for the stated time."""
        deadline = Deadline.after(self.ports.clock, step.duration + step.patience)
        self._counted_from = self.sentinel.samples
        good, last = timedelta(0), self.ports.clock.monotonic()
        while good < step.duration:
            await self._news()
            now = self.ports.clock.monotonic()
            bad = self._not_recovered()
            good = timedelta(0) if bad else good + timedelta(seconds=min(now - last, 5.0))
            last = now
            if deadline.over:
                return self._failed(f"{step}: {bad or 'not long enough'}")
        return self._done(
            f"{step}: healthy, {self._stable_in_words()}", {"points": [plain(p) for p in self.sentinel.points][-12:]}
        )

    def _not_recovered(self) -> str | None:
        sentinel = self.sentinel
        if sentinel.trouble or (sentinel.judged and sentinel.unseen):
            return sentinel.trouble or sentinel.unseen
        requests, failed = self._stable_since(6)
        if requests >= 20 and failed / requests > sentinel.criteria.error_rate:
            return f"error rate {failed / requests:.2%} on the old revision, limit {sentinel.criteria.error_rate:.2%}"
        return None

    _counted_from: int = 0

    def _stable_since(self, samples: int) -> tuple[float, float]:
        """Return the old revision's requests and failures in the last samples since its recovery is watched.

        Samples are counted, not dated: the wall clock may jump.
        """
        new = min(samples, self.sentinel.samples - self._counted_from)
        recent = list(self.sentinel.points)[-new:] if new else []
        return (
            sum(point.stable[0] for point in recent),
            sum(point.stable[0] * (point.stable[1] or 0.0) for point in recent),
        )

    def _stable_in_words(self) -> str:
        requests, failed = self._stable_since(240)
        return f"{failed:.0f} of {requests:.0f} requests failed" if requests else "no requests came"

    async def _await_person(self, step: Watch) -> Outcome:
        await self.ports.clock.sleep(step.patience)
        return self._failed(f"nobody approved within {spell(step.patience)}")

    async def _news(self) -> None:
        """Wait for the sentinel's next look, a few seconds at most: one that is stuck must not stop the clock."""
        news = asyncio.ensure_future(self.sentinel.news.wait())
        timer = asyncio.ensure_future(self.ports.clock.sleep(timedelta(seconds=5)))
        try:
            await asyncio.wait({news, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            timer.cancel()

    # --- outcomes

    def _done(self, note: str, data: Mapping[str, Any] | None = None) -> Outcome:
        return Outcome(Done(self.ports.clock.now(), self.rollout().index, note), data or {})

    def _failed(self, reason: str, *, quarantine: bool = False) -> Outcome:
        return Outcome(Failed(self.ports.clock.now(), self.rollout().index, reason, quarantine))

    def _hold(self, reason: str) -> None:
        self.tell(Held(self.ports.clock.now(), self.rollout().index, reason))


async def _bounded(call: Awaitable[T]) -> T:
    """Await what asks ports; one that never answers is one that refused."""
    try:
        async with asyncio.timeout(CALL_WITHIN.total_seconds()):
            return await call
    except TimeoutError:
        raise TrafficError(f"no answer within {spell(CALL_WITHIN)}") from None


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


def _reasons(instances: tuple[Instance, ...]) -> str:
    reasons = [f"instance {one.slot}: {one.reason}" for one in instances if one.reason]
    return f" ({'; '.join(reasons)})" if reasons else ""
