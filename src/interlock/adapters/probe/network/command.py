"""Does a command say that all is well? It does by exit status 0, in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from interlock.adapters.program import CannotRun, run
from interlock.core.health import Answer


async def check(argv: Sequence[str], directory: Path, environment: Mapping[str, str], timeout: timedelta) -> Answer:
    """Run the command in a session of its own; when time is up its whole group is killed."""
    try:
        ended = await run(argv, directory, environment, timeout)
    except CannotRun as problem:
        return Answer(False, f"cannot run {_name(argv)} in {directory}: {problem}")
    if ended.status == 0:
        return Answer(True)
    late = f"did not end within {timeout.total_seconds():g} s"
    said = f" ({ended.said})" if ended.said else ""
    return Answer(False, f"{_name(argv)} {late if ended.status is None else ended.how}{said}")


def _name(argv: Sequence[str]) -> str:
    return f"command {argv[0]}" if argv else "a command without words"
