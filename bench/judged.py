"""Does the judge do with real processes, a real Envoy and real users what the evaluator says of it?

`python -m bench.judged` (part of `make bench-judge`) releases, one after another, services that misbehave each in one
way, by canary at 5 % of 200 requests/s and the default criteria, and prints what was measured beside what the evaluator
expects. `--quick` takes the three that end soonest, `--only WORDS` those whose name contains one of these, `--write`
keeps what was printed in bench/JUDGED.md.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.e2e.town import SECOND, Town, Wish, a_town, eventually, has_users

from bench.__main__ import where
from bench.evaluator.bound import bound
from bench.evaluator.play import End, play
from bench.evaluator.scenarios import SCENARIOS, Scenario, bursts
from bench.evaluator.traffic import record
from bench.judge import Judge
from bench.traffic import Traffic
from bench.zero_loss import persisted
from interlock.core.criteria import Criteria
from interlock.core.foresight import requests_needed
from interlock.core.load import Recipe
from interlock.core.phase import Phase
from interlock.core.recording import read
from interlock.core.weight import ALL, Weight

PAGE = Path(__file__).with_name("JUDGED.md")
HEADING = """# How the judge did

Made by `python -m bench.judged --write`, which is part of `make bench-judge`: real processes behind a real Envoy, real
users, the default criteria; only the bakes are short. What each case is stands in `bench/judged.py`.
"""
EVERY, RUNS = 5.0, 100
SHARE = Weight(500)
USUAL = {"latency": 0.05, "spread": 0.5, "errors": 0.001}
OUTAGE = (60, 10)
RARELY = Scenario("0.1 % at 0.5/s", canary_rate=0.5, stable_rate=9.5, canary_errors=0.001, stable_errors=0.001)
SHARED = bursts(0.001, 1.0, lasting=OUTAGE[1], every=OUTAGE[0])
LOAD = Recipe(30.0, requests_needed(Criteria(), 30.0))


@dataclass(frozen=True, slots=True)
class Case:
    """One release: how it behaves, and how it is to end.

    `simulated` is the evaluator's scenario that is nearest. With `goes_back` it is taken back and quarantined; else it
    is watched for `bake` and must hold then, or, with a `load`, be proven.
    """

    name: str
    told: str
    manners: Mapping[str, Any]
    simulated: Scenario
    goes_back: bool = True
    why: str = ""
    stable: Mapping[str, Any] = field(default_factory=lambda: USUAL)
    rate: float = 200
    bake: timedelta = timedelta(minutes=5)
    load: Recipe | None = None
    grpc: bool = False


CASES = (
    Case("errors", "5 % of its requests fail", USUAL | {"errors": 0.05}, SCENARIOS["0.1->5%"], why="requests failed"),
    Case("hang", "it answers nobody", USUAL | {"hangs": True}, SCENARIOS["hangs"], why="had no answer"),
    Case("tail", "2.5 times as slow", USUAL | {"latency": 0.125}, SCENARIOS["latency x2.5"], why="took longer than"),
    Case(
        "rare",
        "healthy, at 0.5 requests/s",
        USUAL,
        RARELY,
        goes_back=False,
        rate=10,
        bake=timedelta(seconds=40),
    ),
    Case(
        "load",
        f"the same, after {LOAD.requests:,} requests of our own to each side",
        USUAL,
        RARELY,
        goes_back=False,
        rate=10,
        bake=timedelta(seconds=20),
        load=LOAD,
    ),
    Case(
        "outage",
        "both sides fail for 10 s of each minute",
        USUAL | {"outage": OUTAGE},
        replace(RARELY, name="shared", canary_rate=10, stable_rate=190, canary_errors=SHARED, stable_errors=SHARED),
        goes_back=False,
        stable=USUAL | {"outage": OUTAGE},
        bake=timedelta(seconds=130),
    ),
    Case(
        "grpc",
        "every call UNAVAILABLE, by gRPC",
        {"latency": 0.05, "errors": 1.0},
        SCENARIOS["0->100%"],
        why="requests failed",
        stable={"latency": 0.05},
        grpc=True,
    ),
)
QUICK = ("errors", "hang", "grpc")


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a release; durations in seconds, None where nothing is to be said.

    `began` counts from the canary's first request, `bad` from the first it did badly, each to the verdict on disk;
    `back` from there to the last request that the canary accepted. `requests` are the canary's until the verdict,
    `known` those of stable that were known before.
    """

    case: Case
    how: str
    wrong: str = ""
    began: float | None = None
    bad: float | None = None
    back: float | None = None
    requests: int | None = None
    known: float = 0.0


class Bench:
    """One town whose stable side changes its manners between cases."""

    def __init__(self, town: Town) -> None:
        self._town, self._number = town, 0
        self._stable: Mapping[str, Any] | None = None

    async def run(self, case: Case) -> Ended:
        """Have a stable side with its users, release the case's canary, and see how it ends."""
        await self._settle(case)
        users = self._town.traffic(case.rate, 400 if case.rate > 50 else 20, grpc=case.grpc)
        async with users:
            await asyncio.sleep(20)  # stable's latency is learnt from 500 of its answers
            wish, accepts, bads = self._wish(case)
            run = await self._town.start(wish)
            if case.goes_back:
                ended = await self._taken_back(case, run, accepts, bads)
            else:
                ended = await self._watched(case, run, accepts)
            await self._over(run, users)
        return replace(ended, known=self._known(run))

    def _known(self, run: str) -> float:
        """Return how many of stable's requests the judge knew when it began."""
        begun = read(run, (self._town.state.recordings / f"{run}-production.jsonl").read_text()).begun
        return begun.baseline.requests if begun.baseline else 0.0

    async def _settle(self, case: Case) -> None:
        if self._stable == case.stable:
            return
        wish = replace(self._wish(case)[0], manners=case.stable, proven=False, bake=SECOND, criteria=None, load=None)
        ended = await self._town.release(wish)
        assert ended.phase is Phase.SUCCEEDED, await self._town.story(ended.run)
        self._stable = case.stable

    def _wish(self, case: Case) -> tuple[Wish, Path, Path]:
        self._number += 1
        accepts, bads = (self._town.place / f"{kind}-{self._number}" for kind in ("accepts", "bads"))
        wish = self._town.wish(
            manners=dict(case.manners),
            weights=(SHARE, ALL),
            bake=case.bake,
            keep=SECOND,
            criteria=Criteria(),
            proven=True,
            grpc=case.grpc,
            load=case.load,
            environment=(("ACCEPTS", str(accepts)), ("BADS", str(bads))),
        )
        return wish, accepts, bads

    async def _taken_back(self, case: Case, run: str, accepts: Path, bads: Path) -> Ended:
        rollout = await self._town.over(run, case.bake.total_seconds() + 60)
        saved = persisted(self._town.trace, rollout.id)
        if rollout.phase is not Phase.ROLLED_BACK or not rollout.quarantine or saved is None:
            return Ended(case, rollout.phase.value, f"ended {rollout.phase.value}: {rollout.reason}")
        asked, bad = _times(accepts), _times(bads)
        return Ended(
            case,
            "taken back, quarantined",
            "" if case.why in rollout.reason else f"was taken back as {rollout.reason}",
            saved - min(asked),
            saved - min(bad or asked),
            max(0.0, max(asked) - saved),
            sum(at <= saved for at in asked),
        )

    async def _watched(self, case: Case, run: str, accepts: Path) -> Ended:
        """See a watch end without a verdict against the release: proven, or held."""
        began = time.time()
        rollout = await self._town.until(run, lambda one: one.over or has_users(one), "users", 240)
        if rollout.phase is Phase.ROLLED_BACK:
            return Ended(case, rollout.phase.value, f"was taken back: {rollout.reason}")
        await eventually(lambda: self._decided(run), "the end of the watch", case.bake.total_seconds() + 60)
        rollout, kinds = await self._town.rollout(run), {one.kind for one in await self._town.entries(run)}
        asked, held = len(_times(accepts)), "held" in kinds
        if rollout.phase is Phase.ROLLED_BACK or rollout.quarantine:
            return Ended(case, rollout.phase.value, f"was taken back: {rollout.reason}")
        how = "held: nothing is proven" if held else "proven, and went on"
        wrong = "" if held == (case.load is None) else f"{how}, after {time.time() - began:.0f} s"
        return Ended(case, how, wrong, time.time() - began, requests=asked)

    async def _decided(self, run: str) -> bool:
        rollout = await self._town.rollout(run)
        return rollout.over or rollout.weight == ALL or any(e.kind == "held" for e in await self._town.entries(run))

    async def _over(self, run: str, users: Traffic) -> None:
        """End what is still under way, while neither side fails."""
        rollout = await self._town.rollout(run)
        if not rollout.over and rollout.weight != ALL:
            await eventually(_no_outage, "the end of an outage")
            await self._town.abort(run)
        rollout = await self._town.over(run)
        if rollout.phase is Phase.SUCCEEDED:
            self._stable = None
        assert rollout.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK), await self._town.story(run)
        await users.look()


def _no_outage() -> bool:
    return 2 < time.time() % OUTAGE[0] < OUTAGE[0] - OUTAGE[1] - 20


def _times(log: Path) -> list[float]:
    return [at for (at,) in struct.iter_unpack("<d", log.read_bytes())] if log.exists() else []


def expected(case: Case, known: float) -> tuple[str, str]:
    """Play the evaluator's rollouts that are nearest; say how they end, and after how many canary requests.

    What is known of stable before is cut to as many requests as were known in truth: latency is judged by it.
    """
    scenario = case.simulated
    horizon = scenario.horizon if case.goes_back else case.bake.total_seconds()
    scenario = replace(scenario, horizon=max(EVERY, horizon))
    polls = round(known / EVERY / (case.rate * SHARE.rest.share))
    drawn = (record(scenario, 1, number, EVERY) for number in range(RUNS))
    drawn = (replace(one, history=one.history[: max(1, polls)]) for one in drawn)
    runs = [play(Judge(), scenario, one, EVERY, bound(scenario, EVERY)) for one in drawn]
    found = [run for run in runs if run.end is End.ROLLED_BACK]
    if not case.goes_back:
        proven = sum(run.advanced is not None for run in runs)
        return f"of {RUNS}: {len(found)} taken back, {proven} proven in {horizon:.0f} s", ""
    if not found:
        return "not found", ""
    seconds, requests = sorted(run.seconds for run in found), sorted(run.requests for run in found)
    missed = f", {RUNS - len(found)} % not" if len(found) < RUNS else ""
    return f"{_range(seconds)} s{missed}", _range(requests)


def _range(values: Sequence[float]) -> str:
    low, high = values[len(values) // 20], values[len(values) * 19 // 20]
    return f"{statistics.median(values):.0f} ({low:.0f}–{high:.0f})"


def row(ended: Ended) -> str:
    """Return one case as a row of the table."""
    delay, requests = expected(ended.case, ended.known)
    asked = f"{ended.requests:,}" if ended.requests is not None else ""
    if ended.bad is None:
        real = f"{ended.how}, after {ended.began:.0f} s" if ended.began is not None else ended.how
        bad = back = ""
    else:
        real, bad, back = f"{ended.began:.1f} s", f"{ended.bad:.1f} s", f"{1000 * (ended.back or 0):.0f} ms"
    cells = (ended.case.name, ended.case.told, ended.how if bad else real, real if bad else "", bad, back, delay)
    return f"| {' | '.join((*cells, asked, requests, 'missed' if ended.wrong else 'as it should'))} |"


HEAD = (
    "| case | the release | ended | first request → verdict | first bad one → verdict | verdict → last request | "
    "evaluator: first request → verdict | canary requests | evaluator | |\n|---|---|---|---|---|---|---|---|---|---|"
)
FOOT = f"""
Verdicts are timed when they are on disk. The evaluator's figures are the median, and the range of nine in ten, of
{RUNS} simulated rollouts at the same rates, with as much known of stable before as there was. Its samples begin with
the canary's traffic, while a real one may have begun up to {EVERY:g} s before it. Users ask 200 times a second, and
{SHARE} of them reach the canary; in `rare` and `load` they ask 10 times."""


async def measure(cases: Sequence[Case]) -> list[Ended]:
    """Run the cases one after another, those of a protocol in one town."""
    found = []
    for grpc in (False, True):
        some = [case for case in cases if case.grpc is grpc]
        if not some:
            continue
        async with a_town() as town:
            bench = Bench(town)
            for case in some:
                print(f"{case.name}: {case.told}", file=sys.stderr, flush=True)
                found.append(await bench.run(case))
                print(f"  {found[-1].how}", file=sys.stderr, flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; return how many cases did not end as they should."""
    parser = argparse.ArgumentParser(prog="python -m bench.judged", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--only", metavar="WORDS", help="cases whose name contains one of these, between commas")
    parser.add_argument("--write", action="store_true", help=f"keep what was printed in bench/{PAGE.name}")
    chosen = parser.parse_args(arguments)
    words = [word.strip() for word in (chosen.only or "").split(",")]
    cases = [c for c in CASES if any(w in c.name for w in words) and (not chosen.quick or c.name in QUICK)]
    if not cases:
        parser.error(f"no case's name contains any of {chosen.only!r}; there are: {', '.join(c.name for c in CASES)}")
    if chosen.write and len(cases) < len(CASES):
        parser.error("--write keeps whole runs only: leave out --only and --quick")
    return tell(cases, write=chosen.write)


def tell(cases: Sequence[Case], *, write: bool) -> int:
    """Run the cases, print the table, keep it if so asked."""
    since, about = time.monotonic(), where()
    found = asyncio.run(measure(cases))
    wrong = [f"- **{one.case.name} {one.wrong}**" for one in found if one.wrong]
    took = f"{about} {time.monotonic() - since:.0f} s."
    told = "\n".join((took, "", HEAD, *map(row, found), FOOT, *wrong))
    print(told)
    if write:
        PAGE.write_text(f"{HEADING}\n{told}\n")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
