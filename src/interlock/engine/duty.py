"""What are those on call told of a rollout: that it begins, that it goes back, how it ended?

Each time it is whoever is on call then. The journal says who was told, and who could not be: reaching people is what
the file's channels are for, and a person whom none of them reaches is named all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from interlock.core.account import Account
from interlock.core.incident import incident_report, is_incident
from interlock.core.link import address
from interlock.core.news import ENDS, Kind, News, wanted
from interlock.core.on_call import OnCall, Person
from interlock.core.steps import spell
from interlock.engine.outside import people
from interlock.engine.ports import Outside
from interlock.engine.readers import incident, written
from interlock.ports.clock import Clock
from interlock.ports.notify import Letter, Outlet, Undelivered, Unwanted
from interlock.ports.on_call import OnCallError
from interlock.ports.store import Entry, Store

TOLD = "told"
KINDS = frozenset({Kind.STARTED, Kind.TURNED_BACK, Kind.FLAG_BACK, *ENDS})


@dataclass(frozen=True, slots=True)
class Duty:
    """Those on call. `reached` returns how a person is reached, None where they cannot be.

    `link` returns what proves that an acknowledgement comes from whom it was sent to, `links` is the address under
    which a server takes it; "" where none does.
    """

    outside: Outside
    store: Store
    clock: Clock
    hide: Callable[[str], str]
    reached: Callable[[OnCall, Person], Outlet | None]
    link: Callable[[News, Person], str]
    links: str = ""
    name: str = "on-call"

    def wants(self, all: Sequence[News]) -> tuple[News, ...]:
        mine = [one for one in all if one.rollout.stage.conditions.on_call is not None]
        began = [one for one in mine if one.seq == 1 and one.kind not in KINDS]  # it begins by waiting for a person
        return tuple(sorted((*began, *wanted(mine, KINDS)), key=lambda one: one.seq))

    async def take(self, news: News) -> None:
        lines = await self.store.entries(news.rollout.id)
        if any(line.kind == TOLD and line.data.get("key") == news.key for line in lines):
            return
        declared = news.rollout.stage.conditions.on_call
        assert declared is not None, "others are not wanted"
        try:
            found = await people(self.outside, declared, self.clock.now())
        except OnCallError as error:
            raise Undelivered(f"who is on call is not known: {error}") from error
        told = [(person, await self._tell(news, person)) for person in found]
        await self.store.note(news.rollout.id, (self._line(news, told),))

    async def _tell(self, news: News, person: Person) -> bool:
        """Send one person their letters; say whether they can be reached at all."""
        declared = news.rollout.stage.conditions.on_call
        outlet = None if declared is None else self.reached(declared, person)
        if outlet is None:
            return False
        head = str(await self.store.head())
        letter = self._asking(news, person, written(news, self.hide, head))
        await outlet.send(letter)
        if news.kind in ENDS and is_incident(news.rollout) and news.rollout.exposed:
            await outlet.send(incident(news, await self._report(news, head), self.hide, head))
        return True

    def _asking(self, news: News, person: Person, letter: Letter) -> Letter:
        """Ask for an acknowledgement in the first letter, where one is needed."""
        declared = news.rollout.stage.conditions.on_call
        if news.seq != 1 or declared is None or not declared.acknowledge:
            return letter
        token = self.link(news, person)
        page = f"\n\nOpen this, and press its button:\n{address(self.links, token)}\n\nOr" if self.links else ""
        asks = (
            f"You are on call. It begins only when one of those on call has acknowledged it, within "
            f"{spell(declared.within)}:{page} interlock acknowledge --token {token}"
        )
        return replace(letter, text=f"{asks}\n\n{letter.text}")

    async def _report(self, news: News, head: str) -> str:
        accounts = [
            Account.of(one, await self.store.entries(one.id), await self.store.last_checkpoint(one.id))
            for one in await self.store.run(news.rollout.run)
        ]
        return incident_report(news.plan, accounts, self.clock.now(), None, head)

    def _line(self, news: News, told: Sequence[tuple[Person, bool]]) -> Entry:
        what = "that it begins" if news.seq == 1 else _WHAT[news.kind]
        yes = ", ".join(_called(person) for person, reached in told if reached)
        no = ", ".join(_called(person) for person, reached in told if not reached)
        said = [f"on call and told {what}: {yes}"] if yes else []
        said += [f"on call and not told {what}, as nothing in the file reaches them: {no}"] if no else []
        text = "; ".join(said) or f"nobody was on call to be told {what}"
        return Entry(self.clock.now(), TOLD, text, {"key": news.key, "people": [one.name for one, _ in told]})


class Everywhere:
    """Tells somebody by all ways that there are to them; one that takes it is enough."""

    def __init__(self, ways: Sequence[Outlet]) -> None:
        self._ways = tuple(ways)

    async def send(self, letter: Letter) -> None:
        """Send it everywhere at once; raise what the first said when nobody took it."""
        said = await asyncio.gather(*(way.send(letter) for way in self._ways), return_exceptions=True)
        troubles = [one for one in said if isinstance(one, BaseException)]
        unforeseen = [one for one in troubles if not isinstance(one, Undelivered | Unwanted)]
        if unforeseen or len(troubles) == len(said):
            raise (unforeseen or [one for one in troubles if isinstance(one, Undelivered)] or troubles)[0]


_WHAT = {
    Kind.STARTED: "that it begins",
    Kind.TURNED_BACK: "that it goes back",
    Kind.FLAG_BACK: "that its flag goes back",
    Kind.ROLLED_BACK: "that it was rolled back",
    Kind.SUPERSEDED: "that it was superseded",
    Kind.SUCCEEDED: "that it succeeded",
    Kind.FAILED: "that its rollback could not be verified",
}


def _called(person: Person) -> str:
    return f"{person.name} <{person.contact}>" if person.contact and person.contact != person.name else person.name
