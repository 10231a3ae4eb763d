"""Which adapter speaks with whoever keeps a flag? The kind of its source says."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.adapters.flags.flagd_file import FlagFiles
from interlock.adapters.flags.unleash import UnleashFlags
from interlock.app.state import StateDirectory
from interlock.core.flag import Flag, FlagFile, FlagSource, FlagState, Unleash
from interlock.ports.flags import Flags


class FlagSources:
    """The adapters of the port `Flags`, each for one kind of source."""

    def __init__(self, unleash: UnleashFlags, files: FlagFiles) -> None:
        self._unleash = unleash
        self._by: Mapping[type, Flags] = {Unleash: unleash, FlagFile: files}

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._unleash.close()

    async def look(self, flag: Flag) -> FlagState:
        """Return how the flag stands."""
        return await self._of(flag.source).look(flag)

    async def check(self, flag: Flag) -> FlagState:
        """Return how it stands, and that it can be moved."""
        return await self._of(flag.source).check(flag)

    async def turn_off(self, flag: Flag) -> FlagState:
        """Have nobody get the feature."""
        return await self._of(flag.source).turn_off(flag)

    async def turn_on(self, flag: Flag, percentage: int | None) -> FlagState:
        """Have so many users get it."""
        return await self._of(flag.source).turn_on(flag, percentage)

    async def restore(self, flag: Flag, state: FlagState, *, off: bool = False) -> FlagState:
        """Put back what stood, or all of it but that it was on."""
        return await self._of(flag.source).restore(flag, state, off=off)

    async def taken(self, flag: Flag, state: FlagState) -> str:
        """Wait until clients must have it."""
        return await self._of(flag.source).taken(flag, state)

    async def every(self, source: FlagSource) -> tuple[tuple[str, FlagState], ...]:
        """Return all flags of a place."""
        return await self._of(source).every(source)

    def _of(self, source: FlagSource) -> Flags:
        return self._by[type(source)]


def flag_sources(state: StateDirectory) -> FlagSources:
    """Return whoever keeps the flags that this state directory has tokens for."""

    def secret(name: str) -> str:
        return (state.secrets / name).read_text().strip()

    return FlagSources(UnleashFlags(secret), FlagFiles())
