"""How are those on call reached, and what proves that it was them who answered?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from interlock.app.outside import surroundings
from interlock.app.secrets import key_for
from interlock.app.state import StateDirectory
from interlock.core.channel import Channel, Mail
from interlock.core.events import OrderKind
from interlock.core.link import CHANNEL, Link
from interlock.core.news import News
from interlock.core.on_call import OnCall, Person
from interlock.core.plan import Plan
from interlock.engine.duty import Duty, Everywhere
from interlock.ports.clock import Clock
from interlock.ports.notify import Outlet
from interlock.ports.store import Store


class ChannelError(Exception):
    """A channel of the file cannot be used here; the message says which, why and what to do, and holds no secret."""


def duty(
    state: StateDirectory,
    store: Store,
    clock: Clock,
    plan: Plan,
    hide: Callable[[str], str],
    outlet: Callable[[Channel], Outlet],
) -> tuple[Duty, ...]:
    """Make the reader that tells those on call; none where the plan asks for nobody.

    They are told by what the file has for them under `reach`, and by mail at the address that the rota has, through
    the first channel of the plan that sends it.
    """
    if not any(stage.conditions.on_call for stage in plan.stages):
        return ()
    mails = next((one for one in plan.channels if isinstance(one.by, Mail)), None)

    def reached(declared: OnCall, person: Person) -> Outlet | None:
        ways = [outlet(one) for one in _ways(declared, person, mails)]
        return Everywhere(ways) if ways else None

    def link(news: News, person: Person) -> str:
        return token(state.secrets, news, person)

    return (Duty(surroundings(state), store, clock, hide, reached, link, plan.links),)


def checked(declared: OnCall | None, channels: Sequence[Channel], settled: Callable[[Channel], Channel]) -> None:
    """Raise ChannelError or SecretError when the file says that somebody is told by what cannot be used here."""
    for one in declared.reach if declared else ():
        if one.mail and not any(isinstance(channel.by, Mail) for channel in channels):
            raise ChannelError(
                f"gates.on_call.reach.{one.person}: mail goes through the first mail channel of notify, and there is "
                "none: add one, or reach them otherwise"
            )
        for way in one.by:
            settled(Channel(_called(one.person), way))


def _ways(declared: OnCall, person: Person, mails: Channel | None) -> Iterator[Channel]:
    """Yield how somebody is told; mail goes where the file says, or the rota."""
    said = declared.reaches(person)
    yield from (Channel(_called(person.name), way) for way in (said.by if said else ()))
    known = (said.mail if said else "", person.contact, person.name)
    address = next((one for one in known if "@" in one and " " not in one), "")
    if mails is not None and isinstance(mails.by, Mail) and address:
        yield replace(mails, by=replace(mails.by, to=(address,)))


def _called(name: str) -> str:
    return f"on-call {name}"


def token(secrets: Path, news: News, person: Person) -> str:
    """Return what lets a person acknowledge a rollout by their name, until that must be done."""
    declared = news.rollout.stage.conditions.on_call
    assert declared is not None, "others are told of nothing"
    link = Link(OrderKind.ACKNOWLEDGE.value, news.rollout.id, person.name, news.at + declared.within)
    return link.token(key_for(secrets, CHANNEL))
