"""How soon is a new weight used by every connection, and what does reading the counters cost?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.adapters.traffic.town import SOON, Load, Town, a_town

from interlock.adapters.http import Connection
from interlock.core.release import Entrance
from interlock.core.route import Route
from interlock.core.weight import ALL, NONE, Weight

CHANGES = 100
CONNECTIONS = 8
READS = 500


class Watcher:
    """One kept connection; remembers when it last asked a request that was answered by each side."""

    def __init__(self, port: int, pause: float) -> None:
        self.last: dict[str, float] = {}
        self._connection, self._pause = Connection(f"127.0.0.1:{port}"), pause

    async def watch(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                asked = time.monotonic()
                answer = await self._connection.ask(timeout=SOON)
                self.last[answer.body.decode()] = asked
                await asyncio.sleep(self._pause)
        finally:
            self._connection.close()


async def weights(town: Town, pause: float, changes: int = CHANGES) -> tuple[list[float], list[float]]:
    """Return how long after each call a request was last answered by the old side, and when `steer` came back."""
    watchers = [Watcher(town.port, pause) for _ in range(CONNECTIONS)]
    tasks = [asyncio.ensure_future(one.watch()) for one in watchers]
    used, returned = [], []
    for turn in range(changes):
        await asyncio.sleep(0.05)
        weight, leaving = (ALL, "old") if turn % 2 == 0 else (NONE, "new")
        began = time.monotonic()
        await town.envoy.steer(Route("production", "old", "new", Weight(weight.points)))
        returned.append(time.monotonic() - began)
        await asyncio.sleep(0.3)
        used.append(max(0.0, *(one.last.get(leaving, 0.0) - began for one in watchers)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return used, returned


def say(title: str, used: list[float], returned: list[float]) -> None:
    """Print one line of `weights`."""
    print(f"{title}: used by all {CONNECTIONS} connections {spread(used)}; steer returned {spread(returned)}")


async def idle_weights(changes: int) -> list[float]:
    """Measure `weights` on an Envoy that has nothing else to do; return only after how long each was used."""
    async with a_town(retries=False) as town:
        await town.open(Entrance(await town.host.free_port()))
        for name in ("old", "new"):
            await town.admit(name)
        await town.envoy.steer(Route("production", "old", "new"))
        return (await weights(town, 0.002, changes))[0]


async def reading(town: Town) -> None:
    """Print what one reading of two revisions costs Envoy, and how long it takes."""
    (process,) = await town.host.find(town.label)
    before, times = _cpu(process.pid), []
    for _ in range(READS):
        began = time.monotonic()
        await town.metrics.read(("old", "new"))
        times.append(time.monotonic() - began)
    cost = (_cpu(process.pid) - before) / READS * 1000
    print(f"one reading of two revisions: {spread(times)}, {cost:.2f} ms of Envoy's CPU")


async def verifying(town: Town) -> None:
    """Print how long it takes to verify a weight by 200 probes."""
    route, times = Route("production", "old", "new", Weight(2500)), []
    await town.envoy.steer(route)
    for _ in range(20):
        began = time.monotonic()
        assert (await town.envoy.verify(route)).ok
        times.append(time.monotonic() - began)
    print(f"one verification, 200 probes: {spread(times)}")


def spread(seconds: list[float]) -> str:
    """Return median, 95th percentile and maximum in milliseconds."""
    ordered = sorted(seconds)
    marks = (ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100], ordered[-1])
    return "p50 {:.1f}, p95 {:.1f}, max {:.1f} ms".format(*(1000 * mark for mark in marks))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def main() -> None:
    """Measure on one Envoy with two instances."""
    async with a_town(retries=False) as town:
        await town.open(Entrance(await town.host.free_port()))
        for name in ("old", "new"):
            await town.admit(name)
        await town.envoy.steer(Route("production", "old", "new"))
        say("idle", *await weights(town, pause=0.002))
        await reading(town)
        await verifying(town)
        load = Load(town.port, users=16)
        say("both cores busy", *await weights(town, pause=0.0))
        await load.end()
        print(f"requests {sum(load.answered.values())}, failed {len(load.failed)}")


if __name__ == "__main__":
    asyncio.run(main())
