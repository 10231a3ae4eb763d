"""How is one flag moved by a person or a program, outside of a rollout, without getting in a rollout's way?

Turning off, and down, is always legal: nothing is asked first, and off needs not even to be seen before. More users is
a change like a deployment's: not while a rollout has the flag, nor past a closed gate, nor while the service is locked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from interlock.core.flag import OFF, FlagState
from interlock.core.lock import Locked
from interlock.core.record import plain
from interlock.core.release import Artefact, Configuration, Release
from interlock.core.rollout import Rollout
from interlock.core.toggle import GATES, Toggle, Toggled, act, asked, owned, owner, puts_back, said, shut, unknown
from interlock.engine.outside import ask
from interlock.engine.ports import Ports
from interlock.engine.puller import answered, flags_of
from interlock.ports.flags import FlagsError, Unmovable
from interlock.ports.store import Entry, StoreError


async def _nobody(id: str, wanted: Toggle) -> None:
    """Drive nothing, so that nobody has to hear of it."""


async def toggle(
    ports: Ports, wanted: Toggle, turned_off: Callable[[str, Toggle], Awaitable[None]] = _nobody
) -> Toggled:
    """Move the flag, read back, and write down who did it; `turned_off` tells the rollout that has it.

    Raises FlagHeld when a rollout has it or a gate is closed, Locked, and FlagsError when it could not be moved.
    """
    holder = await _holder(ports, wanted)
    if holder is not None and not wanted.off and not puts_back(holder, wanted):
        raise owned(holder, wanted)
    if holder is not None and wanted.off and holder.going_back:  # before anything is put back in this very moment
        await turned_off(holder.id, wanted)
    before = await _before(ports, wanted)
    if before is not None and wanted.raises(before):
        await _ask(ports, wanted)
        await ports.store.act(asked(wanted, before, ports.clock.now()))
    done = await _move(ports, wanted, before, holder)
    if holder is not None and wanted.off:
        await turned_off(holder.id, wanted)
    await _record(ports, wanted, done, holder)
    return done


async def _holder(ports: Ports, wanted: Toggle) -> Rollout | None:
    """Return the rollout under way that has the flag; where the records cannot be read, only off is possible."""
    try:
        return owner(await ports.store.active(), wanted.flag)
    except StoreError:
        if wanted.off:
            return None
        raise


async def _before(ports: Ports, wanted: Toggle) -> FlagState | None:
    """Return how the flag stands; what cannot be seen may be turned off all the same."""
    flags = flags_of(ports)
    try:
        return await answered(flags.look(wanted.flag) if wanted.off else flags.check(wanted.flag))
    except Unmovable:
        raise
    except FlagsError:
        if wanted.off:
            return None
        raise


async def _ask(ports: Ports, wanted: Toggle) -> None:
    """Raise when more users may not get the feature now."""
    now = ports.clock.now()
    lock = await ports.store.locked(wanted.service)
    if lock is not None and lock.holds(now):
        raise Locked(lock)
    nothing = Release(wanted.service, "", Artefact("", ""), Configuration(()), "")
    for gate in (gate for gate in GATES if gate in wanted.conditions.gates):
        if ports.outside is None:
            raise shut(gate, "it cannot be asked here", wanted)
        answer = await ask(ports.outside, gate, wanted.conditions, nothing, now)
        if not answer.open:
            raise shut(gate, answer.reason, wanted)


async def _move(ports: Ports, wanted: Toggle, before: FlagState | None, holder: Rollout | None) -> Toggled:
    flags, flag = flags_of(ports), wanted.flag
    try:
        if wanted.percentage == OFF:
            now = await answered(flags.turn_off(flag))
        else:
            now = await answered(flags.turn_on(flag, wanted.percentage))
    except Unmovable:
        raise
    except FlagsError as error:  # it may have been done: nobody can say
        with suppress(StoreError):
            await ports.store.act(unknown(wanted, str(error), ports.clock.now()))
        raise
    taken = await flags.taken(flag, now) if wanted.wait else ""
    held = holder.id if holder else ""
    return Toggled(ports.clock.now(), wanted.environment, flag.name, wanted.action, before, now, taken, held)


async def _record(ports: Ports, wanted: Toggle, done: Toggled, holder: Rollout | None) -> None:
    """Write it down: in the journal of the rollout that has the flag, which is audited, or in the audit itself.

    A flag that is off stays off, also when a full disk keeps that from being written.
    """
    try:
        if holder is None:
            await ports.store.act(act(wanted, done))
        else:
            await ports.store.note(holder.id, (_line(wanted, done, holder),))
    except StoreError:
        if not wanted.off:
            raise


def _line(wanted: Toggle, done: Toggled, holder: Rollout) -> Entry:
    captured = next((one.before for one in holder.flags if one.flag.place == wanted.flag.place), done.before)
    data = {"flag": done.flag, "before": plain(captured), "now": plain(done.now)}
    return Entry(done.at, "flag", said(wanted, done), {**data, "by": wanted.by, "channel": wanted.channel})
