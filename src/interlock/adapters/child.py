"""How is work done that may hang, or take too much memory, as libraries and what others send us have it?

In a process of its own, of a module that ends with `main`: it gets its task, secrets too, by standard input, as neither
arguments nor variables may show them, and answers in JSON. What takes too long is killed; what breaks, breaks alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from datetime import timedelta
from typing import Any

MEMORY = 1024 * 1024 * 1024
"""So many bytes of address space at most."""

_LONGEST = 500
_KEPT = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "TZ"})
_WAYS_OUT = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"})


class ChildError(Exception):
    """There is no answer; the message says why. `final`: the same task will have none later either."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


class Unusable(Exception):
    """Raised by the work itself, in the process of its own: what it was given cannot be used, now or later."""


class NotNow(Exception):
    """Raised likewise: it did not work, and may another time."""


async def answer(module: str, task: Mapping[str, Any], within: timedelta, *, goes_out: bool = False) -> Any:
    """Have a module of the adapters work something out; raise ChildError with what it says, or when it takes longer.

    One that `goes_out` to other people's servers is told of proxies, and whom this machine trusts.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"interlock.adapters.{module}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(goes_out=goes_out),
    )
    try:
        async with asyncio.timeout(within.total_seconds()):
            said, _ = await process.communicate(json.dumps(task).encode())
    except TimeoutError:
        raise ChildError(f"not done within {within.total_seconds():g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return _read(said, process.returncode)


def main(work: Callable[[Mapping[str, Any]], Any], *, quotes: bool = True) -> int:
    """Do the work that standard input describes, and write what comes of it.

    Without `quotes` only the kind of an error is told that nobody foresaw: it may quote a secret of the task.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    task = json.loads(sys.stdin.buffer.read())
    with redirect_stdout(sys.stderr):  # what a library prints is no answer
        found = _done(work, task, quotes=quotes)
    sys.stdout.write(json.dumps(found))
    return 0


def _done(work: Callable[[Mapping[str, Any]], Any], task: Mapping[str, Any], *, quotes: bool) -> dict[str, Any]:
    try:
        return {"answer": work(task)}
    except Unusable as error:
        return {"error": str(error)[:_LONGEST], "final": True}
    except NotNow as error:
        return {"error": str(error)[:_LONGEST]}
    except MemoryError:
        return {"error": f"needs more than {MEMORY // 1024**2} MiB of memory"}
    except Exception as error:  # a library's own: whatever breaks it is no answer
        return {"error": f"{type(error).__name__}{f': {error}' if quotes else ''}"[:_LONGEST]}


def _read(said: bytes, status: int | None) -> Any:
    try:
        found = json.loads(said)
    except ValueError:
        raise ChildError(f"broke while it was worked on (status {status})") from None
    if "error" in found:
        raise ChildError(" ".join(str(found["error"]).split()), final=bool(found.get("final")))
    return found["answer"]


def _environment(*, goes_out: bool) -> dict[str, str]:
    """Return what a library may see of our environment, and none of what else lies there."""
    known = _KEPT | _WAYS_OUT if goes_out else _KEPT
    kept = {n: v for n, v in os.environ.items() if n in known or (goes_out and n.lower().endswith("_proxy"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
