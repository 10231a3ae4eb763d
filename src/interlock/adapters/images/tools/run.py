"""How is a tool run that builds: all it says told and kept, without secrets, and never longer than we said?"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL, SIGTERM

from interlock.core.secrecy import hidden
from interlock.core.steps import spell
from interlock.ports.images import ImageError

_TAIL = 20
_LONGEST_LINE = 4000
_CHUNK = 1 << 16
_GRACE = timedelta(seconds=5)
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")
_KEPT = frozenset({"PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "REGISTRY_AUTH_FILE"})
_KEPT_FAMILIES = ("XDG_", "LC_", "DOCKER_", "BUILDKIT_", "BUILDX_", "BUILDAH_", "CONTAINERS_", "CONTAINER_", "STORAGE_")
_KEPT_ENDS = ("_PROXY", "_proxy")


def environment(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return what a tool gets of our environment: what tools are set up by, and what it is `wanted` to get."""
    ours = {name: value for name, value in os.environ.items() if _is_kept(name)}
    return {**ours, **wanted}


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith((*_KEPT_FAMILIES, "SSL_CERT_")) or name.endswith(_KEPT_ENDS)


@dataclass(slots=True)
class Output:
    """Takes what tools say: hides what nobody may see, writes it to the log, tells it, and keeps the end of it."""

    log: Path
    told: Callable[[str], None]
    values: tuple[str, ...]
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))

    def take(self, line: str) -> None:
        """Take one line."""
        clean = "".join(c for c in _ESCAPE.sub("", line).expandtabs() if c.isprintable()).rstrip()[:_LONGEST_LINE]
        if not clean:
            return
        shown = hidden(clean, self.values)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{shown}\n")
        self.last.append(shown)
        self.told(shown)

    def end(self) -> str:
        """Return the last lines for an error."""
        return "\n".join(f"  {line}" for line in self.last) or "  (it said nothing)"


async def run(
    argv: Sequence[str], what: str, output: Output, within: timedelta, variables: Mapping[str, str] | None = None
) -> None:
    """Run a tool to its end, not through a shell; raise ImageError when it does not end well or in time.

    It has a session of its own, and all of it is gone when this returns: asked to end first, so that it can clean up.
    """
    output.take(f"$ {' '.join(argv)}")
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=environment(variables or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
        )
    except OSError as problem:
        os.close(reading)
        raise ImageError(f"{argv[0]} does not start: {problem.strerror}; is it installed?") from problem
    finally:
        os.close(writing)
    listening = asyncio.create_task(_listen(reading, output))
    try:
        async with asyncio.timeout(within.total_seconds()):
            status = await process.wait()
    except TimeoutError:
        raise ImageError(f"{what} took longer than {spell(within)}. Log: {output.log}\n{output.end()}") from None
    finally:
        await _end(process)
        with suppress(TimeoutError):  # what it left behind may hold its output open
            await asyncio.wait_for(listening, _GRACE.total_seconds())
    if status != 0:
        raise ImageError(f"{what} failed (status {status}). Log: {output.log}\n{output.end()}")


async def _end(process: asyncio.subprocess.Process) -> None:
    for signal in (SIGTERM, SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE.total_seconds())
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)


async def _listen(descriptor: int, output: Output) -> None:
    """Take line by line; a carriage return ends one too, as progress bars use it."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    left = ""
    try:
        while chunk := await reader.read(_CHUNK):
            *lines, left = re.split(r"\r\n|\n|\r", left + chunk.decode(errors="replace"))
            for line in lines:
                output.take(line)
            left = left if len(left) < _LONGEST_LINE else _cut(left, output)
        output.take(left)
    finally:
        transport.close()


def _cut(line: str, output: Output) -> str:
    output.take(line)
    return ""


async def asked(argv: Sequence[str], within: timedelta = timedelta(seconds=15)) -> tuple[int, str]:
    """Return a short question's exit status and answer; status 127 for what does not start or answer in time."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=environment({}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return 127, ""
    try:
        async with asyncio.timeout(within.total_seconds()):
            said, _ = await process.communicate()
            return process.returncode or 0, said.decode(errors="replace").strip()
    except TimeoutError:
        return 127, ""
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def flags(name: str, values: Sequence[str]) -> Iterator[str]:
    """Yield an option as often as it has values."""
    for value in values:
        yield from (name, value)
