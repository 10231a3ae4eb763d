"""Who is on call by a calendar, whose events are named after people?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from interlock.adapters.feed import Feed, FeedError
from interlock.core.on_call import Person, Rota
from interlock.ports.on_call import OnCallError

_AND = re.compile(r"\s*[,&+/]\s*")
_ADDRESS = re.compile(r"(?P<name>.*?)\s*<(?P<address>[^<>\s]+@[^<>\s]+)>")


class Rotas:
    """Reads rotas by URL or path."""

    def __init__(self, feed: Feed | None = None) -> None:
        self._feed = feed or Feed()

    async def people(self, source: Rota, at: datetime, within: timedelta) -> tuple[Person, ...]:
        """Return those whose events are now, each once; several events at once are several people."""
        try:
            copy = await self._feed.events(source.calendar, source.timezone, at, within, secret=source.calendar_secret)
        except FeedError as error:
            raise OnCallError(str(error)) from error
        now = [one for one in copy.events if one["start"] <= at < one["end"]]
        return tuple({person.name: person for one in now for person in _named(one)}.values())


def _named(event: Mapping[str, Any]) -> Iterator[Person]:
    """Read ``ada``, ``ada, grace`` or ``Ada <ada@example.org>``; whoever is invited alone is reached so."""
    invited = [one.split(":", 1)[1] for one in event["people"] if one.lower().startswith("mailto:")]
    names = [name for name in _AND.split(event["what"]) if name]
    for name in names:
        if match := _ADDRESS.fullmatch(name):
            yield Person(match["name"] or match["address"], match["address"])
        else:
            yield Person(name, invited[0] if len(invited) == len(names) == 1 else "")
