"""What may we ask of whatever sends requests of our own?"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from interlock.core.steps import Load


class LoadError(Exception):
    """Nothing was sent; the message says why not, and what to do."""


class Loader(Protocol):
    """Sends requests to a preview on this machine. What came of them is counted at the proxy, not here."""

    async def send(self, preview: str, load: Load, requests: int, patience: timedelta) -> None:
        """Send so many requests at the load's rate and no faster, whether or not the ones before are answered.

        Returns when each has been answered or given up after `patience`; when cancelled, stops at once. So many may be
        under way at a time, and no more, that a side which does not answer slows it down. Raises LoadError.
        """
