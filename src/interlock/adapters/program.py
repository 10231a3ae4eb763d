"""How is a command of the user's run to its end: never longer than we said, and with all that it started?"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL, Signals

_LAST = 4096
_CHUNK = 1 << 16  # as much as a pipe holds
_QUOTED = 200
_TAKEN_OVER = ("PATH", "HOME", "LANG", "TZ")


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `status` is None when it was late; `said` is the last line it wrote."""

    status: int | None
    said: str

    @property
    def how(self) -> str:
        """Say so in words, for a command that did not end well."""
        if self.status is None:
            return "did not end in time"
        return f"ended with status {self.status}" if self.status >= 0 else f"was ended by {Signals(-self.status).name}"


class CannotRun(Exception):
    """There is no such program, or it cannot be given what it should be; the message says why."""


def bare() -> dict[str, str]:
    """Return the little of our environment that a command gets: the rest may hold secrets that are none of its own."""
    return {name: os.environ[name] for name in _TAKEN_OVER if name in os.environ} or {"PATH": os.defpath}


async def run(
    argv: Sequence[str], directory: str | Path, environment: Mapping[str, str], within: timedelta, given: bytes = b""
) -> Ended:
    """Run it, not through a shell, in a session of its own, with `given` on its standard input; raise CannotRun.

    When it is late, or we are cancelled, it is killed with its whole group.
    """
    with _Output() as output, tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=directory,
                env=dict(environment),
                stdin=stdin if given else asyncio.subprocess.DEVNULL,
                stdout=output.write,
                stderr=output.write,
                start_new_session=True,
            )
        except (OSError, ValueError, TypeError) as problem:
            raise CannotRun(str(getattr(problem, "strerror", None) or problem)) from problem
        try:
            async with asyncio.timeout(within.total_seconds()):
                return Ended(await process.wait(), output.said())
        except TimeoutError:
            return Ended(None, output.said())
        finally:
            await _end(process)


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
        """Return the last line written, in signs that can be shown."""
        self._take()
        lines = self._last.decode(errors="replace").splitlines()
        shown = ("".join(c for c in line if c.isprintable()).strip() for line in reversed(lines))
        return next((f"{line[:_QUOTED]}{'…' if len(line) > _QUOTED else ''}" for line in shown if line), "")

    def _take(self) -> None:
        with suppress(BlockingIOError):
            self._last.extend(os.read(self._read, _CHUNK))
            del self._last[:-_LAST]
