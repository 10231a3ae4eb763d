"""How is a flag rolled out by itself: to which percentages, one after another, each watched, by which plan?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from interlock.app.planner import NONE, Excuse, Planner
from interlock.app.standing import checked, known, sealed
from interlock.app.state import StateDirectory
from interlock.config.file import Environment, File
from interlock.core.flag import Flag, FlagUse
from interlock.core.plan import Plan
from interlock.core.toggle import TogglingError, sane

_LOOK = timedelta(seconds=5)


async def flag_rollout(
    state: StateDirectory,
    file: File,
    name: str,
    environment: str,
    *,
    steps: Sequence[int] | None = None,
    to: int | None = None,
    bake: timedelta | None = None,
    off: bool = False,
    excuse: Excuse = NONE,
) -> Plan:
    """Plan the rollout of a flag alone, as the file releases it where it does; nothing changes.

    `steps` are percentages from 1 to 100 that rise, by default those of the file above what the flag has now; with `to`
    they end there. With `off` it is only turned off, and watched. Raises TogglingError, FlagsError, and Blocked where
    nothing runs whose code could read the flag.
    """
    where = known(file, environment)
    one = Flag(sane(name), sealed(state, where))
    stands = await checked(state, one)
    declared = _declared(where, one)
    baked = replace(declared, bake=bake or declared.bake)
    if off:
        return await Planner(state, file).flag_alone(where, replace(baked, disable=True, ramp=()))
    ramp = _ended(tuple(steps) if steps is not None else declared.ramp or FlagUse(one).ramp, to)
    if steps is None:
        ramp = tuple(step for step in ramp if step > stands.exposure)
    if not ramp:
        raise TogglingError(
            f"flag {one} is {stands} in {environment} already: nothing is left to roll out. To begin lower down, "
            "name the percentages with --steps"
        )
    return await Planner(state, file).flag_alone(where, replace(baked, disable=False, ramp=ramp), excuse)


def _declared(where: Environment, one: Flag) -> FlagUse:
    """Return what the file says of the flag here; where nobody is judged, a look at health is enough."""
    found = next((use for use in where.flags if use.flag.name == one.name), None)
    if found is not None:
        return replace(found, flag=one, during=())
    return FlagUse(one) if where.criteria else FlagUse(one, bake=_LOOK, recovered_for=_LOOK)


def _ended(steps: tuple[int, ...], to: int | None) -> tuple[int, ...]:
    """Return the steps as far as `to`; raise TogglingError for those that could not be a way up."""
    ends = steps if to is None else (*(step for step in steps if step < to), to)
    for step in ends:
        if not 1 <= step <= 100:
            raise TogglingError(f"expected percentages from 1 to 100 as steps of a flag, found {step}")
    for before, after in pairwise(ends):
        if after <= before:
            raise TogglingError(f"expected percentages that rise as steps of a flag, found {after} after {before}")
    return ends
