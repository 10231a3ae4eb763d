"""Does a file on this machine say that there is an incident?"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from interlock.core.incidents import Flagged, Incident
from interlock.ports.incidents import IncidentsError

_LARGEST = 64 * 1024


class Files:
    """Reads files."""

    async def active(self, source: Flagged, within: timedelta) -> tuple[Incident, ...]:
        """Return an incident for each line; none when there is no such file, or nothing in it."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await asyncio.to_thread(_read, Path(source.path))
        except TimeoutError as error:
            raise IncidentsError(f"{source.path} could not be read within {within.total_seconds():g} s") from error
        except (OSError, ValueError) as error:
            raise IncidentsError(f"{source.path} cannot be read: {getattr(error, 'strerror', '') or error}") from error


def _read(path: Path) -> tuple[Incident, ...]:
    try:
        with path.open(encoding="utf-8") as file:
            lines, since = file.read(_LARGEST).splitlines(), datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return ()
    found = (line.strip().partition(" ") for line in lines if line.strip())
    return tuple(Incident(id, title.strip(), since, source=str(path)) for id, _, title in found)
