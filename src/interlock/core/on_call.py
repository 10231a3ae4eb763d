"""Who is on call?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.core.channel import Apprise, Webhook


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """Those on call now by PagerDuty's schedules or escalation policies, by id."""

    schedules: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    token_secret: str = ""
    url: str = "https://api.pagerduty.com"


@dataclass(frozen=True, slots=True)
class Roster:
    """These people in turn, each for `every`, the first from `start` on; without `every` all of them, always."""

    people: tuple[str, ...]
    start: datetime | None = None
    every: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rota:
    """An iCalendar feed, by URL or path, whose events are named after who is on call; whole days are `timezone`'s.

    `calendar_secret` names the secret that holds its URL instead.
    """

    calendar: str
    timezone: str = "UTC"
    calendar_secret: str = ""


Source = PagerDuty | Roster | Rota


@dataclass(frozen=True, slots=True)
class Reach:
    """How `person` is told: by all of `by`, and by mail to `mail`."""

    person: str
    mail: str = ""
    by: tuple[Webhook | Apprise, ...] = ()


@dataclass(frozen=True, slots=True)
class OnCall:
    """Somebody must be on call. With `acknowledge` one of them must say that they know, `within` this time.

    `reach` says how people are told of whom the source knows no address, or another one than is wanted.
    """

    source: Source
    acknowledge: bool = False
    within: timedelta = timedelta(minutes=15)
    timeout: timedelta = timedelta(seconds=10)
    reach: tuple[Reach, ...] = ()

    def reaches(self, person: Person) -> Reach | None:
        """Return how the file says that somebody is told, by their name or address."""
        known = {person.name.lower(), person.contact.lower()} - {""}
        return next((one for one in self.reach if one.person.lower() in known), None)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on call: a name as approvals and acknowledgements give it, and how to reach them."""

    name: str
    contact: str = ""


def turn(roster: Roster, at: datetime) -> tuple[Person, ...]:
    """Return whose turn it is; everybody where nobody takes turns, nobody before the first turn."""
    if roster.start is None or roster.every is None:
        return tuple(Person(name) for name in roster.people)
    if at < roster.start or not roster.people:
        return ()
    return (Person(roster.people[(at - roster.start) // roster.every % len(roster.people)]),)
