"""Which alerts fire in Alertmanager? By its API v2; what a silence or an inhibition hides does not come at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from interlock.adapters.web import WebError, ask
from interlock.core.incidents import Alertmanager, Incident
from interlock.ports.incidents import IncidentsError

_ONLY = (("active", "true"), ("silenced", "false"), ("inhibited", "false"), ("unprocessed", "false"))


class Alerts:
    """Asks any Alertmanager. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def active(self, source: Alertmanager, within: timedelta) -> tuple[Incident, ...]:
        """Return the alerts that match; those that match `mine` too name this service."""
        found = await self._alerts(source, source.matchers, within)
        mine = {one["fingerprint"] for one in await self._alerts(source, (*source.matchers, *source.mine), within)}
        ours = mine if source.mine else set()
        return tuple(_incident(one, one["fingerprint"] in ours, source.url) for one in found)

    async def _alerts(
        self, source: Alertmanager, matchers: tuple[str, ...], within: timedelta
    ) -> tuple[Mapping[str, Any], ...]:
        query = urlencode([*_ONLY, *(("filter", matcher) for matcher in matchers)])
        token = self._secret(source.token_secret) if source.token_secret else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = await ask("GET", f"{source.url}/api/v2/alerts?{query}", headers=headers, timeout=within)
            return tuple(_alert(one, source.url) for one in _list(answer.good().json(), source.url))
        except WebError as error:
            raise IncidentsError(str(error)) from error


def _list(found: object, url: str) -> list[object]:
    if not isinstance(found, list):
        raise IncidentsError(f"{url} is no Alertmanager: expected a list of alerts, found {type(found).__name__}")
    return found


def _alert(found: object, url: str) -> Mapping[str, Any]:
    if not isinstance(found, dict) or not isinstance(found.get("labels"), dict) or "fingerprint" not in found:
        raise IncidentsError(f"{url} is no Alertmanager: an alert without labels or fingerprint")
    return found


def _incident(alert: Mapping[str, Any], mine: bool, url: str) -> Incident:
    labels, notes = alert["labels"], alert.get("annotations") or {}
    title = str(notes.get("summary") or notes.get("description") or "")
    name = str(labels.get("alertname") or "alert")
    return Incident(f"{name}-{str(alert['fingerprint'])[:8]}", title, _moment(alert.get("startsAt")), mine, url)


def _moment(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.astimezone(UTC)
