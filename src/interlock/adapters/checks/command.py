"""Does a command of the user's say that the tests have passed?"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from datetime import timedelta

from interlock.core.checks import Command
from interlock.core.gates import Answer
from interlock.core.release import Release
from interlock.core.steps import spell

_SHOWN = 200
_KEPT = 64 * 1024


class Commands:
    """Runs commands, not through a shell, in a session of their own."""

    async def passed(self, source: Command, release: Release, within: timedelta) -> Answer:
        """Say whether the command ended with status 0; it is killed with all it started when it is late."""
        name = " ".join(source.argv)
        facts = {
            "INTERLOCK_SERVICE": release.service,
            "INTERLOCK_VERSION": release.version,
            "INTERLOCK_ARTEFACT": release.artefact.digest,
            "INTERLOCK_COMMIT": release.artefact.commit,
        }
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *source.argv,
                cwd=source.directory or None,
                env={**os.environ, **facts},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipe,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Answer(False, f"{name} cannot be run: {error.strerror}", final=True)
        try:
            async with asyncio.timeout(within.total_seconds()):
                last = await _last(process)
                status = await process.wait()
        except TimeoutError:
            return Answer(False, f"{name} did not end within {spell(within)}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return Answer(status == 0, f"{name}: {last or f'status {status}'}" if status else f"{name}: passed")


async def _last(process: asyncio.subprocess.Process) -> str:
    """Read all that it writes, and return the end of it."""
    assert process.stdout is not None
    kept = b""
    while chunk := await process.stdout.read(_KEPT):
        kept = (kept + chunk)[-_KEPT:]
    lines = [line.strip() for line in kept.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:_SHOWN] if lines else ""
