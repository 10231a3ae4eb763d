"""How do the feature flags of an environment stand now, which rollout has them, and could they be moved?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.app.finding import Finding
from interlock.app.secrets import SecretError, keep
from interlock.app.state import StateDirectory
from interlock.config.file import Environment, File
from interlock.core import flag as flags
from interlock.core.flag import Flag, FlagSource, FlagState, FlagUse
from interlock.core.rollout import Rollout
from interlock.core.toggle import TogglingError, owner, sane
from interlock.ports.flags import Flags, FlagsError, Unmovable
from interlock.ports.store import StoreError

if TYPE_CHECKING:
    from interlock.adapters.store.sqlite import SQLite


@dataclass(frozen=True, slots=True)
class Stands:
    """How a flag stands in an environment, or why that is not known. `rollout` is the one under way that has it."""

    environment: str
    flag: str
    state: FlagState | None
    trouble: str = ""
    rollout: str = ""


def known(file: File, environment: str) -> Environment:
    """Return an environment that keeps flags; raise TogglingError when there is none of that name."""
    if environment not in (names := [one.name for one in file.environments]):
        raise TogglingError(f'expected an environment of {file.path.name} ({", ".join(names)}), found "{environment}"')
    found = file.environment(environment)
    if found.flag_source is None:
        raise TogglingError(
            f"{file.path.name} does not say who keeps the flags of {environment}: name unleash or file under flags "
            "(interlock explain flags)"
        )
    return found


def sealed(state: StateDirectory, where: Environment) -> FlagSource:
    """Return where an environment's flags are kept, with its token in the state directory."""
    assert where.flag_source is not None, "asked of environments that keep flags"
    state.make()
    return flags.sealed(where.flag_source, keep(state.secrets, flags.references([where.flag_source])))


async def stands(state: StateDirectory, file: File, name: str, environment: str | None = None) -> list[Stands]:
    """Say how a flag stands in one environment, or in each that keeps flags; raise FlagsError."""
    sane(name)
    under_way, found = await _active(state), []
    async with _asking(state) as asks:
        for where in _wanted(file, environment):
            one = Flag(name, sealed(state, where))
            held = _id(owner(under_way, one))
            try:
                found.append(Stands(where.name, name, await asks.look(one), "", held))
            except Unmovable as error:  # there is none of that name there
                found.append(Stands(where.name, name, None, str(error), held))
    return found


async def every(state: StateDirectory, file: File, environment: str) -> list[Stands]:
    """Say how all flags of an environment stand; raise FlagsError when that is not to be had."""
    source = sealed(state, known(file, environment))
    under_way = await _active(state)
    async with _asking(state) as asks:
        listed = await asks.every(source)
    return [Stands(environment, name, seen, "", _id(owner(under_way, Flag(name, source)))) for name, seen in listed]


async def movable(state: StateDirectory, where: Environment) -> tuple[Stands, ...]:
    """Say of each flag that a release moves here whether it could be moved now.

    Where a release moves none, whoever keeps them is asked whether they answer: that stands under the name "".
    """
    try:
        source = sealed(state, where)
        async with _asking(state) as asks:
            if not where.flags:
                await asks.every(source)
                return (Stands(where.name, "", None),)
            return tuple([await _checked(asks, where.name, Flag(use.flag.name, source)) for use in where.flags])
    except FlagsError as error:
        return (Stands(where.name, "", None, str(error)),)


async def looked(state: StateDirectory, environment: str, one: Flag) -> Stands:
    """Say whether a flag could be moved now."""
    async with _asking(state) as asks:
        return await _checked(asks, environment, one)


async def examine_flags(state: StateDirectory, file: File) -> list[Finding]:
    """Look, for the doctor, whether those who keep flags answer, and whether the flags of releases can be moved."""
    found = []
    for where in (one for one in file.environments if one.flag_source is not None):
        try:
            seen = await movable(state, where)
        except SecretError as error:
            seen = (Stands(where.name, "", None, str(error)),)
        for one in seen:
            said = f"{one.flag} is {one.state} and can be moved" if one.flag else "whoever keeps them answers"
            found.append(Finding("flags", not one.trouble, f"{where.name}: {one.trouble or said}"))
    return found


async def checked(state: StateDirectory, one: Flag) -> FlagState:
    """Return how a flag stands that can be moved now; raise FlagsError."""
    async with _asking(state) as asks:
        return await asks.check(one)


async def notes(state: StateDirectory, uses: Iterable[FlagUse]) -> tuple[str, ...]:
    """Say in a plan how the flags stand that it moves, and which could not be moved now."""
    wanted = tuple(uses)
    if not wanted:
        return ()
    async with _asking(state) as asks:
        seen = [await _checked(asks, "", use.flag) for use in wanted]
    return tuple(
        f"flag {one.flag} is {one.state} now" if one.state is not None else f"WARNING: {one.trouble}" for one in seen
    )


async def _checked(asks: Flags, environment: str, one: Flag) -> Stands:
    try:
        return Stands(environment, one.name, await asks.check(one))
    except FlagsError as error:
        return Stands(environment, one.name, None, str(error))


@asynccontextmanager
async def _asking(state: StateDirectory) -> AsyncIterator[Flags]:
    from interlock.app.flag_sources import flag_sources  # imported late: few files name flags

    asks = flag_sources(state)
    try:
        yield asks
    finally:
        await asks.close()


async def _active(state: StateDirectory) -> tuple[Rollout, ...]:
    """Return what is under way; nothing where nothing was ever deployed."""
    try:
        store = _records(state)
    except StoreError:
        return ()
    try:
        return await store.active()
    finally:
        store.close()


def _records(state: StateDirectory) -> SQLite:
    from interlock.adapters.store.sqlite import SQLite

    return SQLite(state.database, read_only=True)


def _wanted(file: File, environment: str | None) -> list[Environment]:
    if environment is not None:
        return [known(file, environment)]
    found = [one for one in file.environments if one.flag_source is not None]
    return found or [known(file, file.production.name)]


def _id(rollout: Rollout | None) -> str:
    return rollout.id if rollout else ""
