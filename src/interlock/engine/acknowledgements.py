"""Is whoever says that they know of a rollout on call? Asked before the rollout hears of it."""

from __future__ import annotations

from dataclasses import replace

from interlock.core.approval import is_author
from interlock.core.events import Order, OrderKind
from interlock.core.link import CHANNEL
from interlock.core.on_call import Person
from interlock.core.rollout import Rollout
from interlock.core.transitions import Refused
from interlock.engine.outside import people
from interlock.engine.ports import Ports
from interlock.ports.on_call import OnCallError


async def on_duty(ports: Ports, order: Order, rollout: Rollout) -> Order:
    """Return an acknowledgement by the name under which its sender is on call now; raise Refused when they are not.

    Other orders are returned as they are. A name that is only claimed is called unproven.
    """
    if order.kind is not OrderKind.ACKNOWLEDGE or rollout.over or rollout.going_back:
        return order  # the table refuses what is over, and says why
    declared = rollout.stage.conditions.on_call
    if declared is None or ports.outside is None:
        where = f"{rollout.id}: {rollout.stage.environment}"
        raise Refused(f"{where} asks nobody on call: there is nothing to acknowledge")
    try:
        found = await people(ports.outside, declared, ports.clock.now())
    except OnCallError as error:
        raise Refused(f"who is on call is not known, so nobody can acknowledge now: {error}") from error
    claimed = order.claims or order.by
    person = next((one for one in found if _is(one, claimed)), None)
    if person is None:
        now = ", ".join(one.name for one in found) or "nobody"
        raise Refused(f"{claimed} is not on call now; on call is {now}. One of them: interlock acknowledge --as NAME")
    return replace(order, by=_said(person, order), claims="")


def _is(person: Person, claimed: str) -> bool:
    return any(is_author(name, claimed) for name in (person.name, person.contact) if name)


def _said(person: Person, order: Order) -> str:
    if order.channel == CHANNEL:
        return person.name
    return f"{person.name} ({'' if _is(person, order.by) else f'said by {order.by}, '}unproven)"
