"""What may we ask of those who keep the rota?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from interlock.core.on_call import Person, Source


class OnCallError(Exception):
    """It is not known who is on call; the message says whom we asked and what came."""


class OnCall(Protocol):
    """Says who is on call."""

    async def people(self, source: Source, at: datetime, within: timedelta) -> tuple[Person, ...]:
        """Return who is on call at this moment, perhaps nobody; raise OnCallError when that is not known in time."""
