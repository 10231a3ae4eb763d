"""How does a keeper live whose proxy never retries, that writes down what it does, and dies when it is told to?

`python -m tests.e2e.keeper STATE TRACE FATE`. The file TRACE gets a line for each call that changes the world. A file
FATE that holds, say, "12 amid" has the keeper kill itself, as by kill -9, in the middle of the twelfth such call from
then on: once, for the file goes first. The twin starts it again as it was started.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from interlock.app.parts import assemble
from interlock.app.state import StateDirectory
from interlock.core.rollout import Rollout
from interlock.keeper import Keeper
from interlock.twin import Refused, Watch

CHANGES = frozenset(
    "ensure stop open admit steer prepare fall_back drain dismiss forget "
    "number add_plan begin claim save checkpoint note release remember".split()
)
AMID = 0.002


class Fate:
    """Counts the changes of all ports, writes each down, and ends the process at the one that was chosen."""

    def __init__(self, trace: Path, fate: Path) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._fate, self._count = fate, 0

    async def meet(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call, unless the process is to end before it, in it or after it."""
        when = self._due()
        if when == "before":
            self._end(what, when)
        began = time.time()
        doing = asyncio.ensure_future(call())
        if when == "amid":
            await asyncio.wait({doing}, timeout=AMID)
            self._end(what, when)
        try:
            return await doing
        finally:
            self._say(f"{time.time():.6f} {what} {1000 * (time.time() - began):.1f}")
            if when == "after":
                self._end(what, when)

    def _due(self) -> str:
        try:
            number, when = self._fate.read_text().split()
        except (OSError, ValueError):
            self._count = 0
            return ""
        self._count += 1
        return when if self._count == int(number) else ""

    def _end(self, what: str, when: str) -> None:
        self._say(f"{time.time():.6f} dies {when} {what}")
        self._fate.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

    def _say(self, line: str) -> None:
        with suppress(OSError):
            os.write(self._trace, f"{line}\n".encode())


class Told:
    """A port whose changes are told to fate."""

    def __init__(self, port: object, fate: Fate) -> None:
        self._port, self._fate = port, fate

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._port, name)
        if name not in CHANGES:
            return verb

        async def told(*args: Any, **named: Any) -> Any:
            what = name
            if args and isinstance(one := args[0], Rollout):
                what = f"{name} {one.id} {one.phase.value.replace(' ', '-')} {one.index}"
            return await self._fate.meet(what, lambda: verb(*args, **named))

        return told


def main() -> int:
    """Run the keeper of this state directory."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    state, trace, fate = StateDirectory(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
    state.make()
    command = (sys.executable, "-m", "tests.e2e.keeper", *sys.argv[1:])
    watch = Watch(state.runtime, command, str(state.keeper_log), state.label)
    try:
        watch.take()
    except Refused as refused:
        logging.getLogger("interlock.keeper").info("%s", refused)
        return 1
    parts, told = assemble(state, retries=False), Fate(trace, fate)
    ports = replace(
        parts.ports,
        workload=cast(Any, Told(parts.ports.workload, told)),
        traffic=cast(Any, Told(parts.ports.traffic, told)),
        store=cast(Any, Told(parts.ports.store, told)),
    )
    asyncio.run(Keeper(state, replace(parts, ports=ports), watch).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
