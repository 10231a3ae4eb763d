"""Which incidents are open in PagerDuty? By its REST API v2, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from interlock.adapters.web import WebError, ask
from interlock.core.incidents import Incident, PagerDuty
from interlock.ports.incidents import IncidentsError

PAGE = 100
_PAGES = 10


class Incidents:
    """Asks PagerDuty. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def active(self, source: PagerDuty, within: timedelta) -> tuple[Incident, ...]:
        """Return the incidents triggered or acknowledged of the services named, of all when none is."""
        found: list[Incident] = []
        for page in range(_PAGES):
            incidents, more = await self._page(source, page * PAGE, within)
            found += incidents
            if not more:
                break
        return tuple(found)

    async def _page(self, source: PagerDuty, offset: int, within: timedelta) -> tuple[list[Incident], bool]:
        query = [("statuses[]", "triggered"), ("statuses[]", "acknowledged"), ("limit", PAGE), ("offset", offset)]
        query += [("service_ids[]", service) for service in source.services]
        headers = {
            "Authorization": f"Token token={self._secret(source.token_secret)}",
            "Accept": "application/vnd.pagerduty+json;version=2",
        }
        try:
            answer = await ask("GET", f"{source.url}/incidents?{urlencode(query)}", headers=headers, timeout=within)
            found = answer.good().json()
        except WebError as error:
            raise IncidentsError(str(error)) from error
        try:
            return [_incident(one, source) for one in found["incidents"]], bool(found["more"])
        except (KeyError, TypeError) as error:
            raise IncidentsError(f"{source.url} is no PagerDuty: its answer lacks {error}") from error


def _incident(found: Mapping[str, Any], source: PagerDuty) -> Incident:
    service = (found.get("service") or {}).get("id")
    return Incident(found["id"], str(found.get("title", "")), _moment(found), service in source.mine, "PagerDuty")


def _moment(found: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(found.get("created_at"))).astimezone(UTC)
    except ValueError:
        return None
