"""Is anything on fire, does it concern this service, and who says so?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Firing alerts of Alertmanager's API v2 that no silence and no inhibition hides.

    `matchers` select those that count, `mine` those of them that name this service; both in Alertmanager's notation,
    such as ``severity="critical"``.
    """

    url: str
    matchers: tuple[str, ...] = ('severity="critical"',)
    mine: tuple[str, ...] = ()
    token_secret: str = ""


@dataclass(frozen=True, slots=True)
class PagerDuty:
    """Incidents triggered or acknowledged in PagerDuty, of these services' ids; `mine` are the ids that are ours."""

    services: tuple[str, ...] = ()
    mine: tuple[str, ...] = ()
    token_secret: str = ""
    url: str = "https://api.pagerduty.com"


@dataclass(frozen=True, slots=True)
class Web:
    """Any JSON by HTTP: the list at the dotted name `items`, each with an id, a title, a time at these dotted names.

    An item counts when its field `open_field` is one of `open_values` (no field: every item is open); it is ours when
    `mine_field` is one of `mine_values`.
    """

    url: str
    token_secret: str = ""
    items: str = ""
    id: str = "id"
    title: str = "title"
    since: str = ""
    open_field: str = ""
    open_values: tuple[str, ...] = ()
    mine_field: str = ""
    mine_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flagged:
    """A file: as long as it is there and not empty, each of its lines is an incident (`ID title…`)."""

    path: str


Source = Alertmanager | PagerDuty | Web | Flagged


class Mine(StrEnum):
    """What an incident that names this service does to a rollout under way."""

    HOLD = "hold"
    ROLL_BACK = "rollback"


@dataclass(frozen=True, slots=True)
class Incidents:
    """Where to ask, once a second while a rollout is under way, each answer within `timeout`."""

    sources: tuple[Source, ...]
    mine: Mine = Mine.ROLL_BACK
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Incident:
    """One that is open now. `mine`: it names this service."""

    id: str
    title: str
    since: datetime | None = None
    mine: bool = False
    source: str = ""

    def __str__(self) -> str:
        began = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{self.id} ({self.title}){began}" if self.title else f"{self.id}{began}"
