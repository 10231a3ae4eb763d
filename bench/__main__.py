"""What do the README's figures come from? `python -m bench` measures all parts, `python -m bench zero_loss …` some.

Each part is a process of its own, so that none is measured with the memory of another. `--quick` is for trying them
out, `--write` keeps what was printed in RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

PARTS = {
    "zero_loss": "Requests lost by moving, and how fast things move",
    "containers": "Containers: requests lost by moving, and what a dead engine costs",
    "cli": "How long a person waits for a command",
    "store": "The store",
    "envoy": "Envoy",
    "flags": "Flags on the way back",
    "alerts": "From a critical alert to no user on the canary",
    "simulate": "A thousand simulated rollouts",
    "images": "Building and pushing an image",
    "mcp": "How long an agent waits",
}
TAKE_QUICK = ("zero_loss", "containers", "flags", "alerts")
TABLES = ("zero_loss", "containers")
HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
HEADING = "# Results\n\nMade by `make bench ARGS=--write`.\n"


def main() -> int:
    """Run the parts; return how many missed a goal or broke."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts; all, when none is named")
    parser.add_argument("--quick", action="store_true", help="a small run, to see that everything works")
    parser.add_argument("--write", action="store_true", help=f"keep what was printed in {HERE.name}/{RESULTS.name}")
    chosen = parser.parse_args()
    failed = 0
    for part in chosen.parts or PARTS:
        output, status = run(part, quick=chosen.quick)
        failed += status != 0
        if chosen.write:
            keep(part, output)
    return failed


def keep(part: str, output: str) -> None:
    """Replace one part's results in the file, and leave those of the others."""
    kept = {}
    if RESULTS.exists():
        for section in RESULTS.read_text().split("\n## ")[1:]:
            kept[section.partition("\n")[0]] = f"\n## {section.rstrip()}\n"
    kept[PARTS[part]] = output
    RESULTS.write_text(HEADING + "".join(kept[title] for title in PARTS.values() if title in kept))


def where() -> str:
    """Say when and on what is measured."""
    cores = len(os.sched_getaffinity(0))
    on = f"{cores} cores of {_processor()}, Linux {platform.release().partition('-')[0]}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, on {on}, Python {platform.python_version()}."


def run(part: str, *, quick: bool) -> tuple[str, int]:
    """Run one part, showing and returning what it prints, and its exit status."""
    title = f"\n## {PARTS[part]}\n\n{where()}\n\n"
    print(title, end="", flush=True)
    argv = [sys.executable, "-m", f"bench.{part}", *(["--quick"] if quick and part in TAKE_QUICK else [])]
    paths = os.pathsep.join((str(HERE.parent / "src"), str(HERE.parent)))
    fence = "" if part in TABLES else "```\n"
    output = title + fence
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            output += line
    return output + fence, process.returncode


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
