"""What may we ask of those who raise alarms?"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from interlock.core.incidents import Incident, Source


class IncidentsError(Exception):
    """It is not known whether there is an incident; the message says whom we asked and what came."""


class Incidents(Protocol):
    """Lists what is open."""

    async def active(self, source: Source, within: timedelta) -> tuple[Incident, ...]:
        """Return the incidents that are open now and count; raise IncidentsError when that cannot be known in time."""
