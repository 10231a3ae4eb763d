"""What may we ask of whatever counts requests?"""

from __future__ import annotations

from typing import Protocol

from interlock.core.sample import Reading


class MetricsError(Exception):
    """The counters could not be read: this is blindness, never a count of zero."""


class Metrics(Protocol):
    """A source of cumulative counters by revision. One stream of evidence uses one source."""

    async def read(self, revisions: tuple[str, ...]) -> Reading:
        """Read the counters of these revisions at one moment; raise MetricsError within two seconds when it cannot."""
