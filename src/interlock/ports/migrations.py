"""What may we ask of whatever runs the command that a release needs done once?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from interlock.core.migration import Migration, Seen
from interlock.core.release import Revision


class Migrations(Protocol):
    """Runs migrations, and remembers them by release and environment. Raises WorkloadError.

    What was begun goes on whatever becomes of whoever began it; the next owner finds it, and how it ended.
    """

    async def look(self, revision: Revision, migration: Migration) -> Seen:
        """Return how far the migration of the revision's release is in its environment, whichever rollout began it."""

    async def begin(
        self, revision: Revision, migration: Migration, rollout: str, attempt: int, facts: Mapping[str, Any]
    ) -> None:
        """Begin this attempt, with the release's files, variables and secrets, and the facts; twice is once."""

    async def end(self, revision: Revision, migration: Migration) -> None:
        """Have it run no more: TERM, grace, KILL; nothing happens when it does not run."""
