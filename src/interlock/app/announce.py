"""Whom will a plan tell, as the file says now, and can they be told from here?"""

from __future__ import annotations

from dataclasses import replace

from interlock.app.secrets import SecretError, keep
from interlock.app.state import StateDirectory
from interlock.config.file import File
from interlock.core.channel import Channel, references
from interlock.core.plan import Plan
from interlock.ports.store import Store, StoreError


def announced(plan: Plan, file: File, state: StateDirectory) -> Plan:
    """Return the plan with those whom the file names; raise SecretError or ChannelError when one cannot be told."""
    _reached(file, state)
    if not file.channels:
        return replace(plan, log=file.log, links=file.links)
    return replace(plan, channels=tuple(_settled(one, state) for one in file.channels), log=file.log, links=file.links)


async def announced_anyway(plan: Plan, file: File, state: StateDirectory, store: Store) -> Plan:
    """Return the plan with those who can be told: to go back is not held up by a secret that is not at hand.

    For a channel whose secret is missing the one of the newest plan is taken, which has its secret still.
    """
    if not file.channels:
        return replace(plan, log=file.log, links=file.links)
    from interlock.app.readers import ChannelError

    last, found = await _last(store), []
    for channel in file.channels:
        try:
            found.append(_settled(channel, state))
        except (SecretError, ChannelError):
            found += [one for one in last if one.name == channel.name]
    return replace(plan, channels=tuple(found), log=file.log, links=file.links)


def _settled(channel: Channel, state: StateDirectory) -> Channel:
    from interlock.app.readers import settled  # imported late: few files have channels

    fingerprints = keep(state.secrets, references(channel))
    (one,) = settled((channel,), fingerprints, state.secrets)
    return one


def _reached(file: File, state: StateDirectory) -> None:
    """Raise an error where somebody on call could not be told as the file says."""
    declared = [one.conditions.on_call for one in file.environments if one.conditions.on_call is not None]
    if any(one.reach for one in declared):
        from interlock.app.duty import checked

        for one in declared:
            checked(one, file.channels, lambda channel: _settled(channel, state))


async def _last(store: Store) -> tuple[Channel, ...]:
    try:
        for rollout in await store.rollouts(1):
            plan = await store.plan(rollout.plan)
            return plan.channels if plan is not None else ()
    except StoreError:  # written by another version
        pass
    return ()
