"""What may we ask of whoever keeps the feature flags?"""

from __future__ import annotations

from typing import Protocol

from interlock.core.flag import Flag, FlagSource, FlagState


class FlagsError(Exception):
    """A flag could not be seen or moved; the message says which, where, why, and what to do."""


class Unmovable(FlagsError):
    """Asking again will not help: the flag is missing, archived, or set up so that it cannot be moved safely."""


class Gone(Unmovable):
    """There is no such flag (any more): it is archived or deleted, so nobody can have it."""


class Flags(Protocol):
    """Moves flags. Every verb names the state to reach and reads it back; one that returns has been seen to hold.

    A verb gives up by itself after a few seconds without an answer. All raise FlagsError.
    """

    async def look(self, flag: Flag) -> FlagState:
        """Return how the flag stands; raise Gone when there is none."""

    async def check(self, flag: Flag) -> FlagState:
        """Return how it stands; raise Unmovable, with what to do, when `turn_on` could not move it safely."""

    async def turn_off(self, flag: Flag) -> FlagState:
        """Have nobody get the feature; nothing else of the flag changes."""

    async def turn_on(self, flag: Flag, percentage: int | None) -> FlagState:
        """Have `percentage` (1 to 100) of users get it, at no time more than the greater of then and now.

        The strategy that is there is moved, none is added where one is. None enables it with the percentage it has.
        """

    async def restore(self, flag: Flag, state: FlagState, *, off: bool = False) -> FlagState:
        """Put back exactly what stood, never passing through a greater exposure than it had or has.

        With `off`, all of it but that it was enabled: nobody gets the feature before, while or after.
        """

    async def taken(self, flag: Flag, state: FlagState) -> str:
        """Wait until clients must have this state (at most some refresh intervals); say how that is known."""

    async def every(self, source: FlagSource) -> tuple[tuple[str, FlagState], ...]:
        """Return all flags of one environment, by name."""
