"""Does a command say that all is well? It does by exit status 0, in time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL, Signals

from interlock.core.health import Answer

_LAST = 4096
_CHUNK = 1 << 16  # as much as a pipe holds
_QUOTED = 200


async def check(argv: Sequence[str], directory: Path, environment: Mapping[str, str], timeout: timedelta) -> Answer:
    """Run the command in a session of its own; when time is up its whole group is killed."""
    with _Output() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=directory,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.write,
                stderr=output.write,
                start_new_session=True,
            )
        except (OSError, ValueError, TypeError) as problem:
            return Answer(
                False, f"cannot run {_name(argv)} in {directory}: {getattr(problem, 'strerror', None) or problem}"
            )
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                status = await process.wait()
        except TimeoutError:
            return Answer(False, f"{_name(argv)} did not end within {timeout.total_seconds():g} s{output.said()}")
        finally:
            await _end(process)
        if status == 0:
            return Answer(True)
        how = f"ended with status {status}" if status > 0 else f"was ended by {Signals(-status).name}"
        return Answer(False, f"{_name(argv)} {how}{output.said()}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        await process.wait()


class _Output:
    """Takes what a command writes and keeps the last of it.

    Not asyncio's pipe: that one ends only when the last process that has it ends, and a command may leave one behind.
    """

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        os.set_blocking(self._read, False)
        self._last = bytearray()

    def __enter__(self) -> _Output:
        asyncio.get_running_loop().add_reader(self._read, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._read)
        os.close(self._read)
        os.close(self.write)

    def said(self) -> str:
        """Quote the last line written."""
        self._take()
        lines = self._last.decode(errors="replace").splitlines()
        shown = ("".join(c for c in line if c.isprintable()).strip() for line in reversed(lines))
        return next((f" ({line[:_QUOTED]}{'…' if len(line) > _QUOTED else ''})" for line in shown if line), "")

    def _take(self) -> None:
        with suppress(BlockingIOError):
            self._last.extend(os.read(self._read, _CHUNK))
            del self._last[:-_LAST]


def _name(argv: Sequence[str]) -> str:
    return f"command {argv[0]}" if argv else "a command without words"
