"""How soon is a flag off, how long does a server that hangs keep users on a canary, and does every rollback end well?

The real Unleash on a real PostgreSQL, behind a proxy that does wrong; the traffic is played in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from tests.adapters.flags.proxy import FAULTS, HANGS
from tests.e2e.flag_rollbacks import GoneBack, Trouble, check, go_back, go_back_all
from tests.unleash.server import UnleashServer, missing, unleash_server

from bench.envoy import spread

OFF_GOAL, HANG_GOAL = 0.5, 0.25
FULL, QUICK = (40, 10, 200), (4, 2, 10)
AT_ONCE = 10


async def one_by_one(server: UnleashServer, trouble: Trouble, times: int) -> list[GoneBack]:
    """Go back so often, one after another."""
    return [await go_back(server, trouble) for _ in range(times)]


async def at_random(server: UnleashServer, times: int) -> int:
    """Go back so often through random trouble; return how often all was as it should be."""
    chance, well = random.Random(7), 0
    for _ in range(0, times, AT_ONCE):
        troubles = [_random(chance) for _ in range(AT_ONCE)]
        for trouble, went in zip(troubles, await go_back_all(server, troubles), strict=True):
            try:
                check(server, trouble, went)
                well += 1
            except AssertionError as wrong:
                print(f"* {trouble}: {wrong}")
    return well


def _random(chance: random.Random) -> Trouble:
    faults = tuple(chance.choice(FAULTS) for _ in range(chance.randint(0, 4)))
    return Trouble(faults, chance.choice((None, chance.uniform(0, 0.6))))


async def measure(off: int, hangs: int, troubles: int) -> bool:
    """Measure and print; say whether all goals were met."""
    with unleash_server() as server:
        times = [went.off_after for went in await one_by_one(server, Trouble(), off)]
        carried = [went.carried for went in await one_by_one(server, Trouble((HANGS,) * 3), hangs)]
        healthy = [went.carried for went in await one_by_one(server, Trouble(), hangs)]
        well = await at_random(server, troubles)
    p95 = sorted(times)[len(times) * 95 // 100]
    extra = max(carried) - max(healthy)
    print(f"| what | {off} rollbacks of a flag at 5 % | goal |")
    print("|---|---|---|")
    print(f"| decided → flag confirmed off at the server | {spread(times)} | p95 ≤ {1000 * OFF_GOAL:.0f} ms |")
    print(f"| ordered → no user on the new release, server hangs | {spread(carried)} | 250 ms + the next line |")
    print(f"| the same, server answers | {spread(healthy)} | |")
    print(f"| random trouble and deaths: in order, and as it was | {well} of {troubles} | all |")
    return p95 <= OFF_GOAL and extra <= HANG_GOAL + 0.05 and well == troubles


def main() -> int:
    """Measure; return 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.flags", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small run, to see that everything works")
    quick = parser.parse_args().quick
    if why := missing():
        print(f"Not measured: {why}")
        return 1
    return 0 if asyncio.run(measure(*(QUICK if quick else FULL))) else 1


if __name__ == "__main__":
    sys.exit(main())
