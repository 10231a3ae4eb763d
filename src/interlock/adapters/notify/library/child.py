"""How does a blocking library send one message without holding anything up?

In a process of its own, which gets its task, secrets too, by standard input: neither arguments nor variables show them.
It answers by its exit status and one line. Whatever hangs is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from interlock.ports.notify import Undelivered, Unwanted

DONE, LATER, NEVER = 0, 75, 65
"""Exit statuses: it was taken; try again (as EX_TEMPFAIL); never try again (as EX_DATAERR)."""

_LONGEST = 500
_KEPT = frozenset("PATH HOME LANG TZ TMPDIR SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE".split())


async def send(module: str, task: Mapping[str, Any], within: timedelta) -> None:
    """Have a module of this package send one message; raise Undelivered or Unwanted."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"interlock.adapters.notify.library.{module}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(),
    )
    try:
        async with asyncio.timeout(within.total_seconds()):
            said, _ = await process.communicate(json.dumps(task).encode())
    except TimeoutError:
        raise Undelivered(f"{module}: not sent within {within.total_seconds():g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    text = said.decode(errors="replace").strip()[:_LONGEST]
    if process.returncode == NEVER:
        raise Unwanted(text)
    if process.returncode != DONE:
        raise Undelivered(text or f"{module} ended with status {process.returncode}")


def _environment() -> dict[str, str]:
    """Return what a library may see of our environment: the ways out of here, and none of what else lies there."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.lower().endswith("_proxy")}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def main(work: Callable[[Mapping[str, Any]], None]) -> int:
    """Do the work that standard input describes; what it raises becomes the status."""
    task = json.loads(sys.stdin.buffer.read())
    try:
        work(task)
    except Unwanted as error:
        print(error)
        return NEVER
    except Undelivered as error:
        print(error)
        return LATER
    return DONE
