"""How is a build run before its outcome is packed?"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

from interlock.core.steps import spell
from interlock.ports.artefacts import ArtefactError

_TAIL = 20
_LOGS = 20


async def build(argv: Sequence[str], directory: Path, within: timedelta, logs: Path) -> None:
    """Run a command in a directory; raise ArtefactError with the end of its log when it fails or takes too long.

    It has our environment, and a process group of its own: nothing that it started is left behind.
    """
    log = _new_log(logs)
    try:
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=directory, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
            )
    except OSError as problem:
        raise ArtefactError(f"the build {argv[0]} does not start: {problem.strerror}; is it installed?") from problem
    try:
        status = await asyncio.wait_for(process.wait(), within.total_seconds())
    except TimeoutError as late:
        raise _failed(argv, f"took longer than {spell(within)} (build_within)", log) from late
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        await process.wait()
    if status != 0:
        raise _failed(argv, f"ended with status {status}", log)


def _new_log(logs: Path) -> Path:
    logs.mkdir(parents=True, exist_ok=True)
    for old in sorted(logs.glob("build-*.log"), key=lambda path: path.stat().st_mtime)[: 1 - _LOGS]:
        old.unlink(missing_ok=True)
    fd, name = tempfile.mkstemp(prefix="build-", suffix=".log", dir=logs)
    os.close(fd)
    return Path(name)


def _failed(argv: Sequence[str], what: str, log: Path) -> ArtefactError:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL:]
    said = "\n".join(f"  {line}" for line in lines) or "  (it wrote nothing)"
    command = " ".join(" ".join(argv).split())
    return ArtefactError(f"the build {command} {what}; nothing was packed. Log: {log}\n{said}")
