"""How long does a person wait for `interlock --help` and `interlock get`?"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.surfaces.worlds import keep, seen

RUNS = 15
GOAL = 250


def main() -> None:
    """Print the medians in milliseconds, beside what Python itself takes to start."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as directory:
        state = Path(directory) / "state"
        record(state)
        report("python -c pass", [sys.executable, "-c", "pass"])
        report("interlock --help", [sys.executable, "-m", "interlock", "--help"])
        report("interlock get", [sys.executable, "-m", "interlock", "--state", str(state), "get"])


def record(state: Path) -> None:
    """Leave the records of a canary that was rolled out in virtual time."""
    keep(seen("succeeded")[0], state)


def report(what: str, argv: list[str]) -> None:
    """Run it some times and print the median, which the goal speaks of, and the range."""
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
