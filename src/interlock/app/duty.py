"""How are those on call reached, and what proves that it was them who answered?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from interlock.app.outside import surroundings
from interlock.app.secrets import key_for
from interlock.app.state import StateDirectory
from interlock.core.channel import Channel, Mail
from interlock.core.events import OrderKind
from interlock.core.link import CHANNEL, Link
from interlock.core.news import News
from interlock.core.on_call import Person
from interlock.core.plan import Plan
from interlock.engine.duty import Duty
from interlock.ports.clock import Clock
from interlock.ports.notify import Outlet
from interlock.ports.store import Store


def duty(
    state: StateDirectory,
    store: Store,
    clock: Clock,
    plan: Plan,
    hide: Callable[[str], str],
    outlet: Callable[[Channel], Outlet],
) -> tuple[Duty, ...]:
    """Make the reader that tells those on call; none where the plan asks for nobody.

    They get mail through the first channel of the plan that sends it, at the address that the rota has for them.
    """
    if not any(stage.conditions.on_call for stage in plan.stages):
        return ()
    channel, by = next(((one, one.by) for one in plan.channels if isinstance(one.by, Mail)), (None, None))

    def reached(person: Person) -> Outlet | None:
        address = next((one for one in (person.contact, person.name) if "@" in one and " " not in one), "")
        if channel is None or by is None or not address:
            return None
        return outlet(replace(channel, by=replace(by, to=(address,))))

    def link(news: News, person: Person) -> str:
        return token(state.secrets, news, person)

    return (Duty(surroundings(state), store, clock, hide, reached, link),)


def token(secrets: Path, news: News, person: Person) -> str:
    """Return what lets a person acknowledge a rollout by their name, until that must be done."""
    declared = news.rollout.stage.conditions.on_call
    assert declared is not None, "others are told of nothing"
    link = Link(OrderKind.ACKNOWLEDGE.value, news.rollout.id, person.name, news.at + declared.within)
    return link.token(key_for(secrets, CHANNEL))
