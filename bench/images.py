"""How much longer do a build and a push take than the tool's own commands? With Buildah, to a registry on loopback."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.adapters.registry.registries import Docked, registry
from tests.app.yard import Yard, tools, yard

ROUNDS = 7
GOAL = 1.2
FOUND = "interlock build, found again"
SIZE = 8 << 20
DOCKERFILE = 'FROM scratch\nCOPY busybox /bin/busybox\nCOPY app /app\nCMD ["/bin/busybox", "true"]\n'


def main() -> int:
    """Print the medians and their ratio; return 1 when the goal is missed."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as directory:
        place = Path(directory)
        with tools(place / "tools"), registry(place / "registry") as docked:
            here = yard(place / "yard", docked)
            here.shell()
            here.write("Dockerfile", DOCKERFILE)
            ways = {"buildah build, buildah push": by_hand, "docker_build_push": by_us, "interlock build": by_command}
            took = measured(here, docked, ways)
    print(f"An image with {SIZE >> 20} MiB that are new each time, {ROUNDS} times, the three in turn:")
    own = statistics.median(took["buildah build, buildah push"])
    for what, seconds in took.items():
        median = statistics.median(seconds)
        print(f"{what}: median {median:.2f} s, {min(seconds):.2f} to {max(seconds):.2f}; {median / own:.2f} ×")
    ratio = statistics.median(took["docker_build_push"]) / own
    print(f"goal for docker_build_push, as a deployment does it: at most {GOAL} ×: {_kept(ratio)}")
    print("a command takes besides what Python and the reading of the file take, whatever is built")
    return 0 if ratio <= GOAL else 1


def measured(here: Yard, docked: Docked, ways: Mapping[str, Callable[[Yard, Docked], None]]) -> dict[str, list[float]]:
    """Take turns, so that whatever else the machine does troubles all alike."""
    took: dict[str, list[float]] = {what: [] for what in (*ways, FOUND)}
    for number in range(-1, ROUNDS):
        for what, way in ways.items():
            (here.project / "app").write_bytes(os.urandom(SIZE))
            seconds = timed(lambda way=way: way(here, docked))  # type: ignore[misc]
            if number >= 0:
                took[what].append(seconds)
        took[FOUND].append(timed(lambda: by_command(here, docked)))
    return took


def _kept(ratio: float) -> str:
    return "kept" if ratio <= GOAL else "MISSED"


def timed(what: Callable[[], None]) -> float:
    since = time.perf_counter()
    what()
    return time.perf_counter() - since


def by_hand(here: Yard, docked: Docked) -> None:
    name = f"{docked.host}/t/hand:1"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    build = ["buildah", "build", "--layers", "--timestamp", "0", "-t", name, str(here.project)]
    subprocess.run(build, **quiet)  # type: ignore[call-overload]
    subprocess.run(["buildah", "push", "--tls-verify=false", name], **quiet)  # type: ignore[call-overload]


def by_us(here: Yard, docked: Docked) -> None:
    asyncio.run(here.builds().docker_build_push(here.source.image.name))


def by_command(here: Yard, docked: Docked) -> None:
    argv = [sys.executable, "-m", "interlock", "--state", str(here.place / "state"), "build"]
    argv += ["--image", here.source.image.name, "--context", str(here.project), "--builder", "buildah"]
    subprocess.run(argv, check=True, cwd=here.project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
