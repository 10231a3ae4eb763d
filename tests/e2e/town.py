"""What does a test of the whole path need? A state directory, a keeper whose proxy never retries, and releases at will.

Everything is real: processes, Envoy, SQLite, keeper and twin. Only the times of plans are short.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.traffic import ROOT, Counts, Traffic, blame

from interlock import twin
from interlock.adapters.host.local import LocalHost
from interlock.adapters.inquiry import Unreachable
from interlock.adapters.line import ask
from interlock.adapters.store.sqlite import SQLite
from interlock.app.state import StateDirectory
from interlock.app.verbs import App, KeeperError
from interlock.app.view import NoSuchRollout, View
from interlock.core.conditions import Conditions
from interlock.core.criteria import Criteria
from interlock.core.events import OrderKind
from interlock.core.flag import FlagUse
from interlock.core.health import Identify, Probe, ProbeKind, SmokeTest
from interlock.core.load import Recipe
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.release import Artefact, Configuration, Entrance, Protocol, Release, Revision, Sticky, StickyBy
from interlock.core.rollout import Rollout
from interlock.core.strategy import LAYOUTS, Pace, retract, rollback
from interlock.core.weight import ALL, Weight
from interlock.ports.host import Command
from interlock.ports.store import Entry, Proof, StoreError

ENVIRONMENT, SERVICE = "production", "shop"
DEADLINE = 60.0
SECOND = timedelta(seconds=1)
HALF = Weight(5000)
QUICK = Criteria(sample_every=SECOND, latency_p99=timedelta(milliseconds=250), hang_after=2 * SECOND)
READY = Probe(path="/healthz", fields=(("database", "ok"),), timeout=timedelta(seconds=2))


@dataclass(frozen=True, slots=True)
class Wish:
    """A release and how it is to be released. `manners` is how its instances behave: see `service.py`."""

    version: str
    manners: Mapping[str, Any] = field(default_factory=dict)
    strategy: StrategyName = StrategyName.CANARY
    weights: tuple[Weight, ...] = (HALF, ALL)
    bake: timedelta = SECOND
    keep: timedelta = SECOND
    criteria: Criteria | None = QUICK
    instances: int = 2
    start_within: timedelta = timedelta(seconds=20)
    drain_within: timedelta = timedelta(seconds=5)
    stop_within: timedelta = timedelta(seconds=3)
    command: tuple[str, ...] = (sys.executable, "-I", "-S", "service.py")
    identify: bool = True
    proven: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    recovered_for: timedelta = SECOND
    entrance: Entrance | None = None
    grpc: bool = False
    load: Recipe | None = None
    hold_at_most: timedelta = Pace().hold_at_most
    conditions: Conditions = Conditions()
    flags: tuple[FlagUse, ...] = ()


class PatientApp(App):
    """The verbs, but a keeper that is just being started again is waited for: the test's own, which never retries."""

    async def ensure_keeper(self) -> None:
        self.state.make()
        SQLite(self.state.database).close()
        await eventually(self._answers, "the keeper answers")

    async def _answers(self) -> bool:
        try:
            await ask(self.state.socket, "ping", {}, timedelta(seconds=2))
        except Unreachable:
            return False
        return True


class Town:
    """One state directory with all that runs from it."""

    def __init__(self, place: Path, state: Path | None = None) -> None:
        self.place, self.host = place, LocalHost()
        self.state = StateDirectory(state or place / "state")
        self.app = PatientApp(self.state)
        self.trace, self.fate = place / "trace", place / "fate"
        self.port = 0
        self.revisions: dict[str, list[str]] = {}
        self._numbers = self._versions = 0

    # --- keeper and twin

    async def begin(self) -> None:
        """Start a keeper, and wait until it and its twin are well."""
        self.port = self.port or await self.host.free_port()
        self.state.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.state.path / "runtime").write_text(f"{self.place / 'run'}\n")  # short, and gone with the test
        self.state.make()
        argv = (sys.executable, "-m", "tests.e2e.keeper", str(self.state.path), str(self.trace), str(self.fate))
        paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
        environment = {**os.environ, "PYTHONPATH": paths}
        await self.host.start(Command(f"{self.state.label}/keeper", argv, ROOT, self.state.keeper_log, environment))
        await self.app.ensure_keeper()
        await self.well()

    async def well(self, within: float = DEADLINE) -> float:
        """Wait until keeper and twin are well and the keeper answers; return after how many seconds."""
        since = time.monotonic()
        await eventually(self._both, "keeper and twin are well", within)
        await self.app.ensure_keeper()
        return time.monotonic() - since

    def kill(self, who: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the "keeper" or the "twin"; return its pid."""
        pid = self.pid(who)
        assert pid is not None, f"there is no {who}"
        os.kill(pid, number)
        return pid

    def pid(self, who: str) -> int | None:
        """Return the pid of the living "keeper" or "twin"."""
        return twin.process_of(self.state.runtime, who)

    async def _both(self) -> bool:
        return all(twin.well(self.state.runtime, who) for who in ("keeper", "twin"))

    async def ready(self) -> None:
        """Have a version stable, nothing under way and both well, whatever the test before left."""
        self.fate.unlink(missing_ok=True)
        await self.well()
        for rollout in await self.app.records.active():
            await self.abort(rollout.run)
            await self.over(rollout.run)
        if not await self.proofs():
            assert (await self.release(self.wish())).phase is Phase.SUCCEEDED, await self.story()

    def wish(self, **more: Any) -> Wish:
        """Wish for a version that never was, with these settings."""
        self._versions += 1
        return Wish(**{"version": f"v{self._versions}", **more})

    # --- releasing

    async def plan(self, wish: Wish) -> Plan:
        """Plan a release against what is stable now."""
        proofs = await self.proofs()
        self._numbers += 1
        old = proofs[0].revision if proofs else None
        release = Release(SERVICE, wish.version, self._artefact(wish), self._configuration(wish), "common")
        new = Revision(f"{ENVIRONMENT}-{release.identity[:8]}-{self._numbers}-{os.getpid()}", ENVIRONMENT, release)
        self.revisions.setdefault(wish.version, []).append(new.name)
        entrance = wish.entrance or Entrance(self.port, sticky=Sticky(StickyBy.HEADER, "x-user"))
        return Plan(SERVICE, wish.version, (_stage(wish, entrance, new, old),), datetime.now(UTC), "a test")

    async def start(self, wish: Wish) -> str:
        """Begin to release; return the run's id."""
        return await self.app.start(await self.plan(wish))

    async def insist(self, wish: Wish) -> str:
        """Begin to release whatever becomes of the keeper meanwhile; return the run's id."""
        plan = await self.plan(wish)
        for _ in range(3):
            try:
                return await self.app.start(plan)
            except KeeperError:  # it may have begun before the keeper died
                await self.well()
                newest = await self.app.records.rollouts(1)
                if newest and newest[0].plan == plan.hash:
                    return newest[0].run
        raise AssertionError(f"the keeper takes no plan\n{await self.story()}")

    async def release(self, wish: Wish, within: float = DEADLINE) -> Rollout:
        """Release, and wait for the end."""
        return await self.over(await self.start(wish), within)

    async def over(self, run: str, within: float = DEADLINE) -> Rollout:
        """Wait for the end of a run; return how it ended."""
        return await self.until(run, lambda rollout: rollout.over, "its end", within)

    async def until(self, run: str, holds: Callable[[Rollout], bool], what: str, within: float = DEADLINE) -> Rollout:
        """Wait until it holds of a run's rollout, whoever keeps it meanwhile."""
        deadline = time.monotonic() + within
        while True:
            rollout = await self.rollout(run)
            if holds(rollout):
                return rollout
            assert time.monotonic() < deadline, f"{run}: waited {within:g} s for {what}\n{await self.story(run)}"
            await asyncio.sleep(0.05)

    async def until_back(self, version: str, users: Traffic, within: float = DEADLINE) -> None:
        """Wait until users get no other version than this one any more, for a second."""
        deadline = time.monotonic() + within
        while True:
            before = (await users.look()).answered
            await asyncio.sleep(1)
            now = (await users.look()).answered
            if {side for side in now if now[side] > before[side]} == {version}:
                return
            assert time.monotonic() < deadline, f"users still get more than {version}: {now}\n{await self.story()}"

    async def rollout(self, run: str) -> Rollout:
        """Return the newest rollout of a run, as recorded."""
        return (await self.app.records.run(run))[-1]

    async def abort(self, run: str) -> Rollout:
        """Order to go back, again when the keeper dies over it."""
        for _ in range(5):
            with suppress(KeeperError):
                return await self.app.order(run, OrderKind.ABORT, "a test", key="the one abort")
        raise AssertionError("the keeper takes no order")

    async def view(self, run: str) -> View:
        """Return what a surface would show."""
        return await self.app.view(run)

    async def entries(self, run: str) -> tuple[Entry, ...]:
        """Return the journal of a run's newest rollout."""
        return await self.app.records.entries((await self.rollout(run)).id)

    async def story(self, run: str | None = None) -> str:
        """Tell what happened, for a person who reads why a test failed."""
        try:
            lines = [f"{e.at:%H:%M:%S.%f} {e.kind}: {e.text}" for e in await self.entries(run)] if run else []
            lines += [f"{one.id}: {one.phase.value}, {one.reason}" for one in await self.app.records.rollouts(3)]
        except (StoreError, NoSuchRollout) as error:
            lines = [str(error)]
        log = self.state.keeper_log.read_text(errors="replace").splitlines()[-25:]
        return "\n".join((*lines, "--- the keeper's log", *log))

    async def proofs(self) -> tuple[Proof, ...]:
        """Return what was proven in production, newest first."""
        return await self.app.records.proofs(SERVICE, ENVIRONMENT)

    async def stable(self) -> str:
        """Return the version proven last."""
        return (await self.proofs())[0].revision.release.version

    def _configuration(self, wish: Wish) -> Configuration:
        return _configuration(wish)

    def _artefact(self, wish: Wish) -> Artefact:
        service = (Path(__file__).parent / ("grpc_service.py" if wish.grpc else "service.py")).read_bytes()
        manners = json.dumps({"version": wish.version, **wish.manners}).encode()
        digest = hashlib.sha256(service + manners).hexdigest()
        place = self.state.artefacts / digest
        place.mkdir(parents=True, exist_ok=True)
        (place / "service.py").write_bytes(service)
        (place / "manners.json").write_bytes(manners)
        return Artefact(f"sha256:{digest}", "a test")

    # --- what runs

    async def processes(self, revision: str = "") -> list[int]:
        """Return the pids of all instances, or of one revision's."""
        found = await self.host.find(f"{self.state.label}/{ENVIRONMENT}/{revision}")
        return [one.pid for one in found]

    async def instances(self) -> list[str]:
        """Return the labels of all instances."""
        return [one.label for one in await self.host.find(f"{self.state.label}/{ENVIRONMENT}/")]

    async def envoy(self) -> int:
        """Return Envoy's pid."""
        (one,) = await self.host.find(f"{self.state.label}/envoy")
        return one.pid

    async def everything(self) -> list[str]:
        """Return the labels of all processes of this state directory."""
        return [one.label for one in await self.host.find(self.state.label)]

    async def settled(self, version: str, instances: int = 2) -> None:
        """Check that exactly this version runs, is whole, carries everything and is what is called stable."""
        proofs = await self.proofs()
        assert proofs[0].revision.release.version == version
        name = proofs[0].revision.name

        async def only_it() -> bool:
            labels = await self.instances()
            return len(labels) == instances and all(f"/{name}/" in label for label in labels)

        await eventually(only_it, f"{instances} instances of {name} and nothing else: {await self.everything()}", 15)
        route = json.loads((self.state.envoy / f"rds-{ENVIRONMENT}.json").read_text())["version_info"]
        assert route.startswith(f"stable={name} canary= weight=0 "), route

    def traffic(self, rate: float = 100, users: int = 20, patience: float = 15, *, grpc: bool = False) -> Traffic:
        """Return users of production."""
        return Traffic(self.port, rate, users, patience, grpc=grpc)

    def failed(self, counts: Counts, *bad: str) -> list[str]:
        """Return, in words, what failed and was not the fault of the bad versions named."""
        whose = blame(self.state.envoy / "cut.log")
        names = {name for version in bad for name in (version, *self.revisions.get(version, ()))}
        _, by_moving = counts.failed_by(names, whose)
        return [f"{one} {whose.get(one.path, '')}" for one in by_moving]

    async def end(self) -> None:
        """Stop all that runs, however it stands."""
        with suppress(StoreError):
            self.app.records.close()
        for _ in range(3):
            with suppress(TimeoutError):
                await asyncio.to_thread(twin.down, self.state.runtime, 5.0)
            found = await self.host.find(self.state.label)
            for one in found:
                with suppress(ProcessLookupError):
                    os.killpg(one.pid, signal.SIGKILL)
            for one in found:
                await self.host.gone(one, timedelta(seconds=5))
            if not found:
                return
            await asyncio.sleep(0.1)


@asynccontextmanager
async def a_town(state: Path | None = None) -> AsyncIterator[Town]:
    """Give a town whose keeper runs, and leave nothing of it."""
    town = Town(Path(tempfile.mkdtemp(prefix="interlock-")), state)
    try:
        await town.begin()
        yield town
    finally:
        await town.end()
        shutil.rmtree(town.place, ignore_errors=True)


async def eventually(holds: Callable[[], Any], what: str, within: float = DEADLINE) -> float:
    """Wait until it holds; return after how many seconds."""
    since = time.monotonic()
    while True:
        found = holds()
        if await found if asyncio.iscoroutine(found) else found:
            return time.monotonic() - since
        assert time.monotonic() - since < within, f"waited {within:g} s for: {what}"
        await asyncio.sleep(0.02)


def _stage(wish: Wish, entrance: Entrance, new: Revision, old: Revision | None) -> Stage:
    pace = Pace(
        wish.weights,
        first_bake=wish.bake,
        bake=wish.bake,
        keep=wish.keep,
        recovered_for=wish.recovered_for,
        judged=wish.proven,
        hold_at_most=wish.hold_at_most,
        staged=False,
        load=wish.load,
        load_before=wish.weights[:1],
        conditions=wish.conditions.gates,
        flags=wish.flags,
    )
    return Stage(
        ENVIRONMENT,
        entrance,
        wish.strategy,
        new,
        old,
        LAYOUTS[wish.strategy](new, old, pace),
        rollback(new, old, pace),
        wish.criteria,
        conditions=wish.conditions,
        flags=wish.flags,
        retract=retract(new, old, pace),
    )


def _configuration(wish: Wish) -> Configuration:
    identify = Identify(header="x-version", path="/" if wish.grpc else "/smoke") if wish.identify else None
    by_http = SmokeTest("it answers", "/smoke", fields=(("version", wish.version),))
    return Configuration(
        (sys.executable, "-I", "service.py") if wish.grpc else wish.command,
        wish.instances,
        environment=wish.environment,
        secrets=wish.secrets,
        readiness=Probe(ProbeKind.GRPC, path="") if wish.grpc else READY,
        identify=identify,
        smoke_tests=(SmokeTest("it serves", grpc="") if wish.grpc else by_http,),
        start_within=wish.start_within,
        drain_within=wish.drain_within,
        stop_within=wish.stop_within,
        protocol=Protocol.GRPC if wish.grpc else Protocol.HTTP1,
    )


def has_users(rollout: Rollout) -> bool:
    """Say whether it has users: it carries weight, and goes on."""
    return rollout.phase in (Phase.PROGRESSING, Phase.WAITING, Phase.WATCHING) and rollout.weight.points > 0
