"""How do we ask git, so that it asks nobody, waits for nobody, and runs nobody's hooks?"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from interlock.ports.docs import DocsError

WITHIN = timedelta(seconds=60)
KEY = "Interlock-Key"
"""The trailer that every commit of ours has."""

# Where git is run by git (in a hook), these point to another repository than the one we ask about.
_POINTERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Said:
    """How git ended, and what it said; `reason` is its first line of complaint, without passwords of addresses."""

    status: int
    output: bytes
    complaint: str

    @property
    def good(self) -> bool:
        return self.status == 0

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace").strip()

    @property
    def reason(self) -> str:
        lines = [line for line in self.complaint.splitlines() if line.strip()]
        told = next((line for line in lines if line.startswith(("fatal:", "error:", " !"))), lines[0] if lines else "")
        return _PASSWORD.sub("", told.removeprefix("fatal: ").strip()) or f"git ended with status {self.status}"


async def git(
    repository: Path,
    *arguments: str,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    within: timedelta = WITHIN,
) -> Said:
    """Run git in a repository; raise DocsError when it is missing or takes too long. What hangs is killed."""
    # Hooks are for what people commit; ours must not wait for them, nor run code that a keeper's user did not start.
    argv = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            "-C",
            str(repository),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(environment or {}),
            start_new_session=True,  # without a terminal, ssh cannot ask for a password
        )
    except FileNotFoundError as missing:
        raise DocsError("git is not installed: install it, or take `docs` out of the file") from missing
    try:
        async with asyncio.timeout(within.total_seconds()):
            output, complaint = await process.communicate(given)
    except TimeoutError:
        raise DocsError(f"git {arguments[0]} in {repository} took longer than {within.total_seconds():g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Said(process.returncode or 0, output, complaint.decode(errors="replace"))


async def must(
    repository: Path, *arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None
) -> str:
    """Run git and return what it says; raise DocsError when it refuses."""
    said = await git(repository, *arguments, given=given, environment=environment)
    if not said.good:
        raise DocsError(f"git {arguments[0]} in {repository}: {said.reason}")
    return said.text


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _POINTERS}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **more}
