"""Who is on call by PagerDuty's schedules and escalation policies?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

from interlock.adapters.web import WebError, ask
from interlock.core.on_call import PagerDuty, Person
from interlock.ports.on_call import OnCallError


class OnCalls:
    """Asks PagerDuty. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def people(self, source: PagerDuty, at: datetime, within: timedelta) -> tuple[Person, ...]:
        """Return those on call at this moment, the first in the escalation first, each once."""
        moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        query = [("since", moment), ("until", moment), ("limit", "100"), ("include[]", "users")]
        query += [("schedule_ids[]", one) for one in source.schedules]
        query += [("escalation_policy_ids[]", one) for one in source.policies]
        headers = {
            "Authorization": f"Token token={self._secret(source.token_secret)}",
            "Accept": "application/vnd.pagerduty+json;version=2",
        }
        try:
            answer = await ask("GET", f"{source.url}/oncalls?{urlencode(query)}", headers=headers, timeout=within)
            found = answer.good().json()["oncalls"]
            people = [(one["escalation_level"], _person(one["user"])) for one in found]
        except WebError as error:
            raise OnCallError(str(error)) from error
        except (KeyError, TypeError) as error:
            raise OnCallError(f"{source.url} is no PagerDuty: its answer lacks {error}") from error
        return tuple(dict.fromkeys(person for _, person in sorted(people, key=lambda each: each[0])))


def _person(user: Mapping[str, str]) -> Person:
    return Person(user.get("name") or user["summary"], user.get("email") or "")
