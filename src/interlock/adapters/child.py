"""How is work done that may take too much time or memory, as others say what is to be worked out?

In a process of its own, of a module that ends with `main`: it gets its task by standard input and answers in JSON. What
takes too long is killed; what breaks, breaks alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

MEMORY = 1024 * 1024 * 1024
"""So many bytes of address space at most."""

_LONGEST = 500
_KEPT = frozenset({"PATH", "HOME", "LANG", "TMPDIR"})


class ChildError(Exception):
    """There is no answer; the message says why."""


class Unusable(Exception):
    """Raised by the work itself, in the process of its own: what it was given cannot be used."""


async def answer(module: str, task: Mapping[str, Any], within: timedelta) -> Any:
    """Have a module of the adapters work something out; raise ChildError with what it says, or when it takes longer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"interlock.adapters.{module}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(within.total_seconds()):
            said, _ = await process.communicate(json.dumps(task).encode())
    except TimeoutError:
        raise ChildError(f"not worked out within {within.total_seconds():g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return _read(said, process.returncode)


def main(work: Callable[[Mapping[str, Any]], Any]) -> int:
    """Do the work that standard input describes, and write what comes of it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        found = {"answer": work(json.loads(sys.stdin.buffer.read()))}
    except Unusable as error:
        found = {"error": str(error)[:_LONGEST]}
    except MemoryError:
        found = {"error": f"needs more than {MEMORY // 1024**2} MiB of memory"}
    except Exception as error:  # a library's own: whatever breaks it is no answer
        found = {"error": f"{type(error).__name__}: {error}"[:_LONGEST]}
    sys.stdout.write(json.dumps(found))
    return 0


def _read(said: bytes, status: int | None) -> Any:
    try:
        found = json.loads(said)
    except ValueError:
        raise ChildError(f"broke while it was worked out (status {status})") from None
    if "error" in found:
        raise ChildError(" ".join(str(found["error"]).split()))
    return found["answer"]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
