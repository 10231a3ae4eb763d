"""How many durable changes of a rollout fit in a second, and what does a checkpoint of the judge cost?"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from interlock.adapters.store.sqlite import SQLite
from interlock.core.plan import Stage, StrategyName
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision
from interlock.core.rollout import Rollout, begin
from interlock.core.strategy import Pace, canary, rollback
from interlock.ports.store import Entry

WRITES = 1000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
# About what a judge's state and the raw counters of two revisions take: six histograms of 150 buckets.
JUDGE = {"judge": {f"stream-{n}": n / 7 for n in range(40)}, "counters": {f"h{h}": list(range(150)) for h in range(6)}}


def main() -> None:
    """Print it, beside what the disk itself bears."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as directory:
        ceiling = fsyncs(Path(directory) / "ceiling")
        print(f"the disk: {1 / statistics.median(ceiling):.0f} fdatasync/s of 4 KiB, one after the other")
        asyncio.run(measure(Path(directory) / "state.db"))


async def measure(path: Path) -> None:
    since = time.perf_counter()
    store = SQLite(path)
    print(f"open and reserve: {1000 * (time.perf_counter() - since):.1f} ms")
    rollout = example()
    await store.begin(rollout, entry(0))
    epoch = await store.claim(rollout.id, "bench")
    report("save", await timed(lambda n: store.save(replace(rollout, reason=str(n)), epoch, (entry(n),))))
    report("checkpoint", await timed(lambda n: store.checkpoint(rollout.id, epoch, JUDGE)))
    report("read active", await timed(lambda n: store.active()))
    store.close()
    print(f"the file afterwards: {path.stat().st_size / 1024:.0f} KiB")


async def timed(work: Callable[[int], Awaitable[object]]) -> list[float]:
    """Do it one after the other; return how many seconds each took."""
    took = []
    for number in range(WRITES):
        since = time.perf_counter()
        await work(number)
        took.append(time.perf_counter() - since)
    return took


def report(what: str, took: list[float]) -> None:
    p99 = statistics.quantiles(took, n=100)[-1]
    rate, median = len(took) / sum(took), statistics.median(took)
    print(f"{what}: {rate:.0f}/s, median {1000 * median:.2f} ms, p99 {1000 * p99:.2f} ms")


def fsyncs(path: Path) -> list[float]:
    """Overwrite one page of a file and wait for the disk, again and again."""
    took = []
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        for _ in range(WRITES):
            since = time.perf_counter()
            os.pwrite(file, b"x" * 4096, 0)
            os.fdatasync(file)
            took.append(time.perf_counter() - since)
    finally:
        os.close(file)
    return took


def example() -> Rollout:
    old, new = (revision(version) for version in ("1", "2"))
    steps, way_back = canary(new, old, Pace()), rollback(new, old, Pace())
    stage = Stage("production", Entrance(8080), StrategyName.CANARY, new, old, steps, way_back)
    return begin("shop-1-production", "shop-1", "0" * 16, stage, NOW, "bench")


def revision(version: str) -> Revision:
    configuration = Configuration(("./serve",), instances=4)
    return Revision(
        f"shop-{version}",
        "production",
        Release("shop", version, Artefact(f"sha256:{version}", version), configuration, "c"),
    )


def entry(number: int) -> Entry:
    return Entry(NOW, "step", f"line {number}: weight 5 %, observed at the data plane", {"number": number})


if __name__ == "__main__":
    main()
