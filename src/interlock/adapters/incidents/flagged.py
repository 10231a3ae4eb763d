"""Does a file on this machine say that there is an incident?"""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from interlock.core.incidents import Flagged, Incident
from interlock.ports.incidents import IncidentsError

_LARGEST = 64 * 1024


class Files:
    """Reads files, each at most once at a time: a disk that hangs must not take thread after thread."""

    def __init__(self) -> None:
        self._reading: dict[str, asyncio.Future[tuple[Incident, ...]]] = {}

    async def active(self, source: Flagged, within: timedelta) -> tuple[Incident, ...]:
        """Return an incident for each line; none when there is no such file, or nothing in it."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await asyncio.shield(self._begun(source.path))
        except TimeoutError as error:
            raise IncidentsError(f"{source.path} could not be read within {within.total_seconds():g} s") from error
        except (OSError, ValueError) as error:
            raise IncidentsError(f"{source.path} cannot be read: {getattr(error, 'strerror', '') or error}") from error

    def _begun(self, path: str) -> asyncio.Future[tuple[Incident, ...]]:
        under_way = self._reading.get(path)
        if under_way is None or under_way.done():
            under_way = self._reading[path] = asyncio.ensure_future(asyncio.to_thread(_read, Path(path)))
            under_way.add_done_callback(lambda read: read.cancelled() or read.exception())  # nobody may wait any more
        return under_way


def _read(path: Path) -> tuple[Incident, ...]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if path.parent.is_dir():
            return ()
        raise ValueError(f"there is no directory {path.parent}; is it mounted?") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("expected a file, found something else")
        lines = os.read(descriptor, _LARGEST).decode().splitlines()
    finally:
        os.close(descriptor)
    since = datetime.fromtimestamp(about.st_mtime, UTC)
    found = (line.strip().partition(" ") for line in lines if line.strip())
    return tuple(Incident(id, title.strip(), since, source=str(path)) for id, _, title in found)
