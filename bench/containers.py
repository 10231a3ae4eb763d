"""Does moving containers cost requests, and what does the death of an engine cost the users of what it runs?

The same releases as in `zero_loss`, of the same service, in containers of Docker and of Podman. Then engines are killed
under users, stay dead for a while and come back; a user's request is never retried.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.dock import Dock
from tests.e2e.town import Wish, eventually
from tests.engines import Harbour

from bench.zero_loss import CONTAINERS, QUICK_CONTAINERS, measure_in
from interlock.core.container import Reach
from interlock.core.phase import Phase
from interlock.core.release import Configuration

DEAD = 6.0
AFTER = 12.0
DEATHS = (
    ("docker", Reach.BRIDGE, "Docker, live-restore, addresses of their own"),
    ("docker", Reach.LOOPBACK, "Docker, live-restore, published ports"),
    ("docker-plain", Reach.BRIDGE, "Docker without live-restore, addresses of their own"),
    ("podman", Reach.BRIDGE, "Podman, addresses of their own"),
    ("podman", Reach.LOOPBACK, "Podman, published ports"),
)


class Reached(Dock):
    """A dock whose instances are reached in one way."""

    way = Reach.AUTO

    def _configuration(self, wish: Wish) -> Configuration:
        made = super()._configuration(wish)
        assert made.container is not None
        return replace(made, container=replace(made.container, reach=self.way))


@asynccontextmanager
async def a_dock(harbour: Harbour, kind: str, way: Reach) -> AsyncIterator[Dock]:
    """Give a dock at an engine, and leave nothing of it."""
    dock = Reached(Path(tempfile.mkdtemp(prefix="interlock-")), harbour.engine(kind), harbour.registry)
    dock.way = way
    try:
        await dock.begin()
        yield dock
    finally:
        await dock.end()
        shutil.rmtree(dock.place, ignore_errors=True)


async def death(dock: Dock) -> str:
    """Kill an engine under users; say what that cost while it was dead, and when it came back."""
    first = await dock.release(dock.wish())
    assert first.phase is Phase.SUCCEEDED, await dock.story(first.run)
    async with dock.traffic(100, 20) as users:
        await asyncio.sleep(2)
        await asyncio.to_thread(dock.engine.kill)
        await asyncio.sleep(DEAD)
        back = time.time()
        await asyncio.to_thread(dock.engine.start)

        async def whole() -> bool:
            return len(await dock.processes()) == 2

        await eventually(whole, "both instances run", 60)
        await asyncio.sleep(AFTER)
        counts = await users.end()
    dead = [one for one in counts.failures if one.at < back]
    later = [one for one in counts.failures if one.at >= back]
    lasted = max(one.at for one in later) - min(one.at for one in later) if later else 0.0
    came = f"{len(later):,} failed, over {lasted:.1f} s" if later else "0 failed"
    return f"{len(dead):,} failed | {came} | {counts.requests:,}"


async def measure(*, quick: bool) -> bool:
    """Measure everything; say whether every goal was met."""
    harbour, met = Harbour(), True
    try:
        for kind in ("docker", "podman"):
            _progress(kind)
            async with a_dock(harbour, kind, Reach.AUTO) as dock:
                met &= await measure_in(dock, QUICK_CONTAINERS if quick else CONTAINERS, kind.capitalize())
        print(f"\nAn engine is killed with SIGKILL, is dead for {DEAD:g} s, and comes back. 100 requests/s:\n")
        print("| engine | while it was dead | when it came back | requests |\n|---|---|---|---|", flush=True)
        for kind, way, name in DEATHS:
            _progress(name)
            async with a_dock(harbour, kind, way) as dock:
                print(f"| {name} | {await death(dock)} |", flush=True)
    finally:
        harbour.end()
    return met


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print, and return 0 when every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    try:
        return 0 if asyncio.run(measure(quick=parser.parse_args().quick)) else 1
    except pytest.skip.Exception as reason:
        print(f"not measured: {reason}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
