"""Who is on call by PagerDuty's schedules and escalation policies? By its REST API v2, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from interlock.adapters.web import WebError, ask, shown
from interlock.core.on_call import PagerDuty, Person
from interlock.ports.on_call import OnCallError

PAGE = 100
_PAGES = 10


class OnCalls:
    """Asks PagerDuty. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def people(self, source: PagerDuty, at: datetime, within: timedelta) -> tuple[Person, ...]:
        """Return those on call at this moment, the first in the escalation first, each once."""
        found: list[tuple[int, Person]] = []
        for page in range(_PAGES):
            people, more = await self._page(source, at, page * PAGE, within)
            found += people
            if not more:
                break
        return tuple(dict.fromkeys(person for _, person in sorted(found, key=lambda each: each[0])))

    async def _page(
        self, source: PagerDuty, at: datetime, offset: int, within: timedelta
    ) -> tuple[list[tuple[int, Person]], bool]:
        query = [("since", _moment(at)), ("until", _moment(at + timedelta(seconds=1))), ("include[]", "users")]
        query += [("limit", str(PAGE)), ("offset", str(offset))]
        query += [("schedule_ids[]", one) for one in source.schedules]
        query += [("escalation_policy_ids[]", one) for one in source.policies]
        address = f"{source.url}/oncalls?{urlencode(query)}"
        try:
            found = (await ask("GET", address, headers=self._headers(source), timeout=within)).good().json()
        except WebError as error:
            raise OnCallError(str(error)) from error
        try:
            people = [(int(one["escalation_level"]), _person(one["user"])) for one in found["oncalls"]]
            return people, bool(found["more"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OnCallError(
                f"{shown(source.url)} is no PagerDuty: expected on-calls with a level and a user, and whether there "
                f"are more ({type(error).__name__}: {error})"
            ) from error

    def _headers(self, source: PagerDuty) -> dict[str, str]:
        try:
            token = self._secret(source.token_secret)
        except OSError as error:
            raise OnCallError(f"the token for {shown(source.url)} cannot be read: {error.strerror}") from error
        return {"Authorization": f"Token token={token}", "Accept": "application/vnd.pagerduty+json;version=2"}


def _person(user: Mapping[str, Any]) -> Person:
    return Person(str(user.get("name") or user["summary"]), str(user.get("email") or ""))


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
