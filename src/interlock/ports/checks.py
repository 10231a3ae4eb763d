"""What may we ask of those who test?"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from interlock.core.checks import Source
from interlock.core.gates import Answer
from interlock.core.release import Release


class Checks(Protocol):
    """Says whether a release's tests have passed; never raises, since what cannot be known is not passed."""

    async def passed(self, source: Source, release: Release, within: timedelta) -> Answer:
        """Ask one source; closed with the reason when it says no, does not know, or does not answer in time."""
