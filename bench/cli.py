"""How long does a person wait for `interlock --help` and `interlock get`?"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.surfaces.worlds import keep, seen

from interlock.adapters.store.sqlite import SQLite
from interlock.app.view import View

RUNS = 20
GOAL = 250
EARLIER = 100


def main() -> None:
    """Print the medians in milliseconds, beside what Python itself takes to start."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as directory:
        state = Path(directory) / "state"
        record(state)
        report("python -c pass", [sys.executable, "-c", "pass"])
        report("interlock --help", [sys.executable, "-m", "interlock", "--help"])
        report("interlock get", [sys.executable, "-m", "interlock", "--state", str(state), "get"])


def record(state: Path) -> None:
    """Leave the records of a canary that was rolled out in virtual time, and of many before it."""
    view = seen("succeeded")[0]
    asyncio.run(_earlier(view, state))
    keep(view, state)
    (state / "runtime").write_text(f"{state}\n")


async def _earlier(view: View, state: Path) -> None:
    state.mkdir(parents=True)
    store = SQLite(state / "interlock.db")
    for number in range(EARLIER):
        for rollout in view.rollouts:
            run = f"shop-earlier-{number}"
            before = replace(rollout, id=f"{run}-{rollout.stage.environment}", run=run)
            await store.begin(before, view.entries[rollout.id][0])
    store.close()


def report(what: str, argv: list[str]) -> None:
    """Run it some times and print the median, and the range: on a calm machine the slowest keeps the goal too."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "src")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    took = []
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=environment)
    for _ in range(RUNS):
        since = time.perf_counter()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=environment)
        took.append(1000 * (time.perf_counter() - since))
    print(f"{what}: median {statistics.median(took):.0f} ms, {min(took):.0f} to {max(took):.0f} (goal {GOAL})")


if __name__ == "__main__":
    main()
