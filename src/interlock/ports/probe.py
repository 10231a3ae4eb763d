"""What may we ask of an instance, or of a revision's preview?"""

from __future__ import annotations

from typing import Protocol

from interlock.core.health import Answer, SmokeTest
from interlock.core.release import Revision


class Prober(Protocol):
    """Asks questions over the network; never raises for what the other side does."""

    async def smoke(self, test: SmokeTest, revision: Revision, preview: str) -> Answer:
        """Run one smoke test against the preview URL; an answer of another release than this one is not ok."""

    async def identify(self, revision: Revision, preview: str) -> Answer:
        """Say whether the preview is answered by this release (its version where the file names a header or field)."""
