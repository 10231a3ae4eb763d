"""Does moving traffic cost requests, how soon is a bad release without users, and what does the keeper cost?

Real releases of a real service on this machine, one after the other, under users who never pause; Envoy retries
nothing. A request counts as failed *by moving* unless a bad release itself answered it, or was to answer it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.e2e.town import SECOND, Town, Wish, a_town, has_users

from bench.envoy import idle_weights
from bench.traffic import Counts, Traffic, blame
from interlock.core.criteria import Criteria
from interlock.core.phase import Phase
from interlock.core.plan import OF_CODE, StrategyName
from interlock.core.rollout import Rollout
from interlock.core.steps import Step, Watch
from interlock.core.weight import ALL, Weight

LATENCY = 0.005
BAD: Mapping[str, Mapping[str, Any]] = {
    "errors": {"errors": 0.5},
    "latency": {"latency": 0.6},
    "dying": {"dies_after": 60},
}
WEIGHTS = (Weight(2500), Weight(5000), ALL)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done: releases of each strategy, bad releases of each kind, keepers killed, requests, seconds."""

    releases: int
    bad: Mapping[str, int]
    killed: int
    requests: int
    rate: float
    baking: float
    ceiling: float
    changes: int


FULL = Size(20, {"errors": 8, "latency": 6, "dying": 6}, 5, 300_000, 700, 60, 5, 100)
QUICK = Size(2, {"errors": 2, "latency": 1, "dying": 1}, 2, 10_000, 500, 10, 2, 20)
CONTAINERS = Size(5, {"errors": 2, "latency": 2, "dying": 2}, 3, 40_000, 200, 0, 0, 0)
QUICK_CONTAINERS = Size(1, {"errors": 1, "latency": 0, "dying": 0}, 1, 2_000, 100, 0, 0, 0)


@dataclass(slots=True)
class Found:
    """All that was measured; durations in seconds."""

    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    after_verdict: list[float] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)
    held: int = 0
    bad: list[str] = field(default_factory=list)
    healed: list[float] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    own: int = 0
    moving: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Bench:
    """One town, and what is found in it."""

    def __init__(self, town: Town, size: Size) -> None:
        self._town, self._size, self.found = town, size, Found()
        self._number = 0

    def wish(self, **more: Any) -> Wish:
        """Wish for a release that nobody has seen."""
        self._number += 1
        manners = {"latency": LATENCY, **more.pop("manners", {})}
        settings = {"bake": 2 * SECOND, "keep": 2 * SECOND, "weights": WEIGHTS, "proven": True, **more}
        accepts = str(self._town.place / f"accepts-{self._number}")
        return Wish(f"b{self._number}", manners, environment=(("ACCEPTS", accepts),), **settings)

    async def release_all(self) -> None:
        """Release, and go back, as often as the size says, in mixed order, while users ask."""
        began = time.monotonic()
        turns: list[tuple[str, str]] = [("good", name) for name in OF_CODE for _ in range(self._size.releases)]
        turns += [("bad", kind) for kind, times in self._size.bad.items() for _ in range(times)]
        turns += [("killed", "errors" if n % 2 else "") for n in range(self._size.killed)]
        random.Random(1).shuffle(turns)
        async with self._town.traffic(self._size.rate, 48) as users:
            for number, (what, kind) in enumerate(turns):
                _progress(f"{number + 1} of {len(turns)}: {what} {kind}")
                await self._turn(what, kind)
            while time.monotonic() - began < self._size.requests / self._size.rate:
                await self._turn("good", StrategyName.CANARY)
            self.found.seconds = time.monotonic() - began
            self.found.counts = await users.end()
        self._blame()

    async def _turn(self, what: str, kind: str) -> None:
        match what:
            case "good":
                await self._release(self.wish(strategy=StrategyName(kind)), Phase.SUCCEEDED, kind)
            case "bad":
                wish = self.wish(manners=BAD[kind], bake=20 * SECOND)
                await self._release(wish, Phase.ROLLED_BACK, f"rolled back for {kind}")
            case _:
                await self._killed(bad=bool(kind))

    async def _killed(self, *, bad: bool) -> None:
        """Have the keeper killed in the middle of a step that changes the world."""
        wish = self.wish(manners=BAD["errors"], bake=20 * SECOND) if bad else self.wish()
        change = random.choice(range(14, 22) if bad else range(10, 30))
        self._town.fate.write_text(f"{change} amid")
        healing = asyncio.create_task(self._healing())
        expected = Phase.ROLLED_BACK if bad else Phase.SUCCEEDED
        await self._release(wish, expected, f"keeper killed, {'going back' if bad else 'going on'}")
        if self._town.fate.exists():
            self.found.wrong.append(f"{wish.version}: there was no change {change}, at which the keeper was to die")
            self._town.fate.unlink()
        await healing

    async def _healing(self) -> None:
        while self._town.fate.exists():
            await asyncio.sleep(0.01)
        died = time.monotonic()
        await asyncio.sleep(0.05)
        await self._town.well()
        self.found.healed.append(time.monotonic() - died)

    async def _release(self, wish: Wish, expected: Phase, name: str) -> None:
        run = await self._town.insist(wish)
        rollout = await self._town.over(run, 120)
        if rollout.phase is not expected:
            self.found.wrong.append(f"{run} ({name}) ended {rollout.phase.value}: {rollout.reason}")
        self.found.ended[name] += 1
        if expected is Phase.ROLLED_BACK:
            self.found.bad.append(wish.version)
        if name.startswith("rolled back"):  # a killed keeper may have written its verdict, and not when
            self._after_verdict(wish, rollout)
        elif expected is Phase.SUCCEEDED and not name.startswith("keeper"):
            await self._time_steps(rollout)

    def _after_verdict(self, wish: Wish, rollout: Rollout) -> None:
        """See in the bad release's own log when it accepted its last request, on the clock that the keeper wrote by."""
        saved = persisted(self._town.trace, rollout.id)
        log = Path(dict(wish.environment)["ACCEPTS"])
        accepted = [at for (at,) in struct.iter_unpack("<d", log.read_bytes())] if log.exists() else []
        if saved is not None and accepted:
            self.found.after_verdict.append(max(0.0, max(accepted) - saved))

    async def _time_steps(self, rollout: Rollout) -> None:
        """Take from each step's duration what was asked for: the bake and one sample's interval."""
        began, held = rollout.started, False
        for entry in await self._town.entries(rollout.run):
            if entry.kind == "held":
                held = True
            if entry.kind != "done":
                continue
            step = rollout.stage.steps[entry.data["index"]]
            took, began = entry.at - began, entry.at
            self.found.held += held
            if not held:
                self.found.steps.setdefault(type(step).__name__, []).append(_beyond(step, took))
            held = False

    def _blame(self) -> None:
        names = {*self.found.bad, *(name for one in self.found.bad for name in self._town.revisions[one])}
        whose = blame(self._town.state.envoy / "cut.log")
        own, moving = self.found.counts.failed_by(names, whose)
        self.found.own = len(own)
        self.found.moving = [f"{one} for {whose.get(one.path, 'nobody')}" for one in moving]

    async def baking(self) -> tuple[float, float]:
        """Return the keeper's share of a core, and its resident memory in MB, while a canary bakes under users."""
        usual = Criteria(latency_p99=timedelta(milliseconds=250))
        wish = self.wish(bake=timedelta(seconds=self._size.baking + 60), criteria=usual)
        async with self._town.traffic(100):
            run = await self._town.start(wish)
            await self._town.until(run, has_users, "users on the canary")
            await asyncio.sleep(5)
            pid = self._town.pid("keeper")
            assert pid is not None
            before, since = _cpu(pid), time.monotonic()
            await asyncio.sleep(self._size.baking)
            share = (_cpu(pid) - before) / (time.monotonic() - since)
            memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
            await self._town.abort(run)
            await self._town.over(run)
        return share, memory

    async def ceiling(self) -> tuple[float, float, str]:
        """Return the most requests a second: of one instance asked directly, of all through Envoy; and who asked."""
        revision = (await self._town.proofs())[0].revision.name
        (pid, *_) = await self._town.processes(revision)
        port = int(_environment(pid)["PORT"])
        direct = await self._most(port)
        return direct, await self._most(self._town.port), "wrk" if shutil.which("wrk") else "our users"

    async def _most(self, port: int) -> float:
        if shutil.which("wrk"):
            argv = ("wrk", "-t1", "-c32", f"-d{self._size.ceiling:g}s", f"http://127.0.0.1:{port}/")
            done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=True)
            line = next(line for line in done.stdout.splitlines() if line.startswith("Requests/sec"))
            return float(line.split()[1])
        async with Traffic(port, 1e6, 32) as users:
            before, since = (await users.look()).requests, time.monotonic()
            await asyncio.sleep(self._size.ceiling)
            return ((await users.look()).requests - before) / (time.monotonic() - since)


def _beyond(step: Step, took: timedelta) -> float:
    asked = step.duration + SECOND if isinstance(step, Watch) else timedelta(0)
    return max(timedelta(0), took - asked).total_seconds()


def persisted(trace: Path, rollout: str) -> float | None:
    """Return when the keeper had written that the rollout goes back."""
    for line in trace.read_text().splitlines():
        at, what, *rest = line.split()
        if what == "save" and rest[:2] == [rollout, "rolling-back"]:
            return float(at)
    return None


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def p(share: float, values: Iterable[float]) -> float:
    """Return a quantile, the largest of few values rather than one between them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def table(found: Found, cost: tuple[float, float], most: tuple[float, float, str], used: list[float]) -> bool:
    """Print the results beside their goals; say whether all were met."""
    overhead = [value for values in found.steps.values() for value in values]
    lost, after, (cpu, memory) = len(found.moving), found.after_verdict, cost
    rows = (
        ("requests failed by moving", "0", f"{lost} of {found.counts.requests:,}", lost == 0),
        (
            "verdict persisted → last request accepted by the bad release",
            "p95 ≤ 300 ms",
            f"p50 {1000 * p(0.5, after):.0f}, p95 {1000 * p(0.95, after):.0f}, max {1000 * max(after):.0f} ms",
            p(0.95, after) <= 0.3,
        ),
        (
            "weight written → used by every connection, idle",
            "p95 ≤ 20 ms",
            f"p50 {1000 * p(0.5, used):.1f}, p95 {1000 * p(0.95, used):.1f}, max {1000 * max(used):.1f} ms",
            p(0.95, used) <= 0.02,
        ),
        (
            "step's duration beyond its bake and one sample",
            "≤ 1 s",
            f"p50 {p(0.5, overhead):.2f}, p95 {p(0.95, overhead):.2f}, max {max(overhead):.2f} s",
            max(overhead) <= 1,
        ),
        ("keeper while baking: CPU", "≤ 2 % of a core", f"{cpu:.1%}", cpu <= 0.02),
        ("keeper while baking: resident memory", "≤ 80 MB", f"{memory:.0f} MB", memory <= 80),
    )
    print("| what | goal | measured | |\n|---|---|---|---|")
    for what, goal, measured, met in rows:
        print(f"| {what} | {goal} | {measured} | {'met' if met else '**missed**'} |")
    details(found, most)
    return all(met for *_, met in rows) and not found.wrong


def details(found: Found, most: tuple[float, float, str]) -> None:
    """Print what the table leaves out."""
    counts, direct, proxied = found.counts, *most[:2]
    ended = ", ".join(f"{times} × {name}" for name, times in sorted(found.ended.items()))
    print(f"\nReleases in {found.seconds:.0f} s: {ended}.")
    rate = counts.requests / found.seconds
    print(
        f"Users: {counts.requests:,} requests, {rate:.0f}/s, {counts.kept:,} of them answered on kept connections, the "
        f"others on one each; no retries. {found.own:,} failed by the bad releases themselves."
    )
    print(
        f"Ceiling of the machine, by {most[2]}: {direct:,.0f}/s from one instance, {proxied:,.0f}/s from two by Envoy."
    )
    if found.healed:
        worst = max(found.healed)
        print(
            f"A killed keeper was back, with its twin, after {statistics.median(found.healed):.1f} s (max {worst:.1f})."
        )
    print("\n| step | times | p50 | p95 | max |\n|---|---|---|---|---|")
    for kind, values in sorted(found.steps.items()):
        print(f"| {kind} | {len(values)} | {p(0.5, values):.2f} s | {p(0.95, values):.2f} s | {max(values):.2f} s |")
    print(f"\nBeyond the bake and one sample of 1 s; {found.held} watches held longer, for evidence, and are left out.")
    for line in (*found.wrong, *found.moving[:20]):
        print(f"- **{line}**")


def moving(found: Found, platform: str) -> bool:
    """Print what moving containers costs; say whether the goals were met."""
    after, overhead = found.after_verdict, [value for values in found.steps.values() for value in values]
    lost, counts = len(found.moving), found.counts
    rows = (
        ("requests failed by moving", "0", f"{lost} of {counts.requests:,}", lost == 0),
        (
            "verdict persisted → last request accepted by the bad release",
            "p95 ≤ 300 ms",
            f"p50 {1000 * p(0.5, after):.0f}, p95 {1000 * p(0.95, after):.0f}, max {1000 * max(after):.0f} ms",
            p(0.95, after) <= 0.3,
        ),
        (
            "step's duration beyond its bake and one sample",
            "≤ 5 s",
            f"p50 {p(0.5, overhead):.2f}, p95 {p(0.95, overhead):.2f}, max {max(overhead):.2f} s",
            max(overhead) <= 5,
        ),
    )
    ended = ", ".join(f"{times} × {name}" for name, times in sorted(found.ended.items()))
    print(f"\n{platform}: {ended}; {found.own:,} requests failed by the bad releases themselves.\n")
    print("| what | goal | measured | |\n|---|---|---|---|")
    for what, goal, measured, met in rows:
        print(f"| {what} | {goal} | {measured} | {'met' if met else '**missed**'} |")
    for line in (*found.wrong, *found.moving[:20]):
        print(f"- **{line}**")
    return all(met for *_, met in rows) and not found.wrong


async def measure_in(town: Town, size: Size, platform: str) -> bool:
    """Measure what moving costs in a town of containers."""
    bench = Bench(town, size)
    first = await town.release(bench.wish(proven=False))
    assert first.phase is Phase.SUCCEEDED, await town.story(first.run)
    await bench.release_all()
    return moving(bench.found, platform)


async def measure(size: Size) -> bool:
    """Measure everything; say whether every goal was met."""
    async with a_town() as town:
        bench = Bench(town, size)
        first = await town.release(bench.wish(proven=False))
        assert first.phase is Phase.SUCCEEDED, await town.story(first.run)
        most = await bench.ceiling()
        await bench.release_all()
        _progress("the keeper while baking")
        cost = await bench.baking()
    _progress("weights")
    return table(bench.found, cost, most, await idle_weights(size.changes))


def main() -> int:
    """Measure, print, and return 0 when every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    return 0 if asyncio.run(measure(QUICK if parser.parse_args().quick else FULL)) else 1


if __name__ == "__main__":
    sys.exit(main())
