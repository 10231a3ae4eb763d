"""How does a person or a program move one flag, whichever surface they use?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from interlock.app.planner import NONE, Excuse
from interlock.app.secrets import SecretError, keep
from interlock.app.standing import known, sealed
from interlock.app.state import StateDirectory
from interlock.app.verbs import App, Blocked, KeeperError
from interlock.config.file import Environment, File
from interlock.core.conditions import Conditions
from interlock.core.flag import OFF, Flag, FlagSource, place
from interlock.core.toggle import Action, Toggle, Toggled, sane, understood
from interlock.ports.flags import FlagsError
from interlock.ports.store import StoreError

__all__ = ["flags_first", "known", "toggle_feature_flag"]

_WITHIN, _BACK_WITHIN = timedelta(seconds=60), timedelta(seconds=5)
_HISTORY = 200


async def toggle_feature_flag(
    app: App,
    file: File,
    flag_name: str,
    action: str,
    environment: str,
    rollout_percentage: int | None = None,
    *,
    wait: bool = False,
    excuse: Excuse = NONE,
) -> Toggled:
    """Enable or disable a flag, or give it to a percentage of users; return how it stood and stands, read back.

    `action` is enable (with the percentage that it has, where none is given), disable, or update_strategy (which needs
    a percentage from 0 to 100, and enables; 0 disables). With `wait` it returns when clients must know of it.
    Raises TogglingError for what cannot be meant, Blocked while a rollout has the flag (but for disable) and, for more
    users, past a closed gate that no `excuse` is for, and FlagsError when it could not be moved.
    """
    name = sane(flag_name)
    meant, percentage = understood(action, rollout_percentage)
    where = known(file, environment)
    one = Flag(name, await _source(app, where, off=percentage == OFF))
    conditions = Conditions() if percentage == OFF else _asked(app.state, where.conditions, excuse)
    wanted = Toggle(file.service, environment, one, meant, percentage, app.by, app.channel, conditions, wait)
    return await app.toggle(wanted, _longest(wanted))


async def _source(app: App, where: Environment, *, off: bool) -> FlagSource:
    """Return where the flags are kept, with a token; to turn off, that of an earlier rollout does where none is set."""
    try:
        return sealed(app.state, where)
    except SecretError:
        if not off or where.flag_source is None:
            raise
        try:
            earlier = (use.flag.source for one in await app.history(_HISTORY) for use in one.stage.flags)
            known_by_then = next((one for one in earlier if place(one) == place(where.flag_source)), None)
        except StoreError:
            known_by_then = None
        if known_by_then is None:
            raise
        return known_by_then


async def flags_first(app: App, file: File) -> tuple[str, ...]:
    """Turn off what came to users with the release that production is to leave, before it does; say what became of it.

    Whoever keeps the flags is waited for a few seconds, not longer: going back needs nobody's leave. Never raises.
    """
    try:
        moved = await _moved(app, file)
    except StoreError as error:
        return (f"WARNING: which flags came with the release is not known: {error}",)
    return tuple(await asyncio.gather(*(_off(app, file, one) for one in moved)))


async def _moved(app: App, file: File) -> list[Flag]:
    """Return the flags that rollouts of what runs in production have moved."""
    proofs = await app.records.proofs(file.service, file.production.name)
    if not proofs:
        return []
    leaves = proofs[0].revision.name
    rollouts = [one for one in await app.history(_HISTORY) if one.stage.revision.name == leaves]
    return [*{use.flag.place: use.flag for one in reversed(rollouts) for use in one.stage.flags}.values()]


async def _off(app: App, file: File, one: Flag) -> str:
    where = file.production.name
    wanted = Toggle(file.service, where, one, Action.DISABLE, OFF, app.by, app.channel)
    try:
        return str(await app.toggle(wanted, _BACK_WITHIN))
    except (FlagsError, KeeperError, Blocked, StoreError) as error:
        again = f"interlock flag set {one} --environment {where} --off"
        return f"WARNING: flag {one} is not confirmed off ({error}). It goes back all the same; try again: {again}"


def _asked(state: StateDirectory, declared: Conditions, excuse: Excuse) -> Conditions:
    """Return what is asked before more users get a feature: of what is declared, what is not about a release."""
    narrowed = Conditions(incidents=declared.incidents, window=declared.window)
    excuse.check([narrowed])
    return replace(excuse, fixes="").applied(narrowed.sealed(keep(state.secrets, narrowed.references())))


def _longest(wanted: Toggle) -> timedelta:
    """Return how long it may take at most, gates and waiting for clients included."""
    return _WITHIN + (wanted.flag.source.refresh * 2 if wanted.wait else timedelta(0))
