"""Which incidents are open in PagerDuty? By its REST API v2, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from interlock.adapters.web import WebError, ask, shown
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
        # Without `date_range` PagerDuty leaves out what was opened more than a month ago.
        query = [("statuses[]", "triggered"), ("statuses[]", "acknowledged"), ("date_range", "all")]
        query += [("limit", str(PAGE)), ("offset", str(offset)), *(("service_ids[]", one) for one in source.services)]
        address = f"{source.url}/incidents?{urlencode(query)}"
        try:
            found = (await ask("GET", address, headers=self._headers(source), timeout=within)).good().json()
        except WebError as error:
            raise IncidentsError(str(error)) from error
        try:
            return [_incident(one, source) for one in found["incidents"]], bool(found["more"])
        except (KeyError, TypeError, AttributeError) as error:
            raise IncidentsError(
                f"{shown(source.url)} is no PagerDuty: expected incidents with an id and a service, and whether there "
                f"are more ({type(error).__name__}: {error})"
            ) from error

    def _headers(self, source: PagerDuty) -> dict[str, str]:
        try:
            token = self._secret(source.token_secret)
        except OSError as error:
            raise IncidentsError(f"the token for {shown(source.url)} cannot be read: {error.strerror}") from error
        return {"Authorization": f"Token token={token}", "Accept": "application/vnd.pagerduty+json;version=2"}


def _incident(found: Mapping[str, Any], source: PagerDuty) -> Incident:
    service = (found.get("service") or {}).get("id")
    title = str(found.get("title") or "")
    return Incident(str(found["id"]), title, _moment(found), service in source.mine, "PagerDuty")


def _moment(found: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(found.get("created_at"))).astimezone(UTC)
    except ValueError:
        return None
