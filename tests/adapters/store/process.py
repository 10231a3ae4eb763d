"""What does another process do to the store while a test looks on? Each line it prints has been acknowledged.

`begin NAME`: open the file and begin a rollout in each environment, after a line from its input.
`write`: save, note and checkpoint without end.
`lock`: hold the write lock until its input ends.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.adapters.store.examples import entry, rollout

from interlock.adapters.store.sqlite import SQLite
from interlock.ports.store import Busy

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = 20


def spawn(path: Path, *argv: str) -> subprocess.Popen[str]:
    """Run this file on its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.store.process", str(path), *argv],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def begin(path: Path, name: str) -> None:
    wanted = [
        replace(r, stage=replace(r.stage, environment=f"e{n}"))
        for n, r in enumerate(rollout(f"{name}-{n}") for n in range(ENVIRONMENTS))
    ]
    say("ready")
    sys.stdin.readline()
    store = SQLite(path)
    for one in wanted:
        try:
            await store.begin(one, entry("begun"))
            say(f"won {one.stage.environment}")
        except Busy as busy:
            say(f"lost {one.stage.environment} to {busy.rollout.id}")
    store.close()


async def write(path: Path) -> None:
    store = SQLite(path)
    current = await store.rollout("r-1") or rollout("r-1")
    if not await store.active():
        await store.begin(current, entry("0"))
    epoch = await store.claim("r-1", str(os.getpid()))
    count = len(await store.entries("r-1"))
    while True:
        await store.save(replace(current, reason=str(count)), epoch, (entry(str(count)),))
        say(f"saved {count}")
        await store.checkpoint("r-1", epoch, {"count": count, "filler": "x" * 3000})
        say(f"checkpoint {count}")
        count += 1


def lock(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    say("locked")
    sys.stdin.read()
    db.execute("ROLLBACK")
    db.close()


def main() -> None:
    match sys.argv[1:]:
        case [path, "begin", name]:
            asyncio.run(begin(Path(path), name))
        case [path, "write"]:
            asyncio.run(write(Path(path)))
        case [path, "lock"]:
            lock(Path(path))


if __name__ == "__main__":
    main()
