"""Which alerts fire in Alertmanager? By its API v2; what a silence or an inhibition hides does not come at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from interlock.adapters.web import Answer, WebError, ask, shown
from interlock.core.incidents import Alertmanager, Incident
from interlock.ports.incidents import IncidentsError

_ONLY = (("active", "true"), ("silenced", "false"), ("inhibited", "false"), ("unprocessed", "false"))


class Alerts:
    """Asks any Alertmanager. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def active(self, source: Alertmanager, within: timedelta) -> tuple[Incident, ...]:
        """Return the alerts that match; those that match `mine` too name this service.

        Both are always asked for, at once: a matcher of `mine` that is wrong must not be found out in the incident.
        """
        every = self._alerts(source, source.matchers, within)
        if not source.mine:
            return tuple(_incident(one, False, shown(source.url)) for one in await every)
        found, mine = await asyncio.gather(every, self._alerts(source, (*source.matchers, *source.mine), within))
        ours = {one["fingerprint"] for one in mine}
        return tuple(_incident(one, one["fingerprint"] in ours, shown(source.url)) for one in found)

    async def _alerts(
        self, source: Alertmanager, matchers: tuple[str, ...], within: timedelta
    ) -> tuple[Mapping[str, Any], ...]:
        query = urlencode([*_ONLY, *(("filter", matcher) for matcher in matchers)])
        try:
            headers = self._headers(source)
            answer = await ask("GET", f"{source.url}/api/v2/alerts?{query}", headers=headers, timeout=within)
            return tuple(_alert(one, source.url) for one in _list(_understood(answer, matchers), source.url))
        except WebError as error:
            raise IncidentsError(str(error)) from error

    def _headers(self, source: Alertmanager) -> dict[str, str]:
        if not source.token_secret:
            return {}
        try:
            return {"Authorization": f"Bearer {self._secret(source.token_secret)}"}
        except OSError as error:
            raise IncidentsError(f"the token for {shown(source.url)} cannot be read: {error.strerror}") from error


def _understood(answer: Answer, matchers: tuple[str, ...]) -> object:
    if answer.status == 400:
        said = answer.body[:200].decode(errors="replace").strip()
        raise IncidentsError(f"{shown(answer.url)} does not understand {', '.join(matchers)}: {said}")
    return answer.good().json()


def _list(found: object, url: str) -> list[object]:
    if not isinstance(found, list):
        raise IncidentsError(
            f"{shown(url)} is no Alertmanager: expected a list of alerts, found {type(found).__name__}"
        )
    return found


def _alert(found: object, url: str) -> Mapping[str, Any]:
    if not isinstance(found, dict) or not isinstance(found.get("labels"), dict) or "fingerprint" not in found:
        raise IncidentsError(f"{shown(url)} is no Alertmanager: an alert without labels or fingerprint")
    return found


def _incident(alert: Mapping[str, Any], mine: bool, url: str) -> Incident:
    labels, notes = alert["labels"], alert.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    title = str(notes.get("summary") or notes.get("description") or "")
    name = str(labels.get("alertname") or "alert")
    return Incident(f"{name}-{str(alert['fingerprint'])[:8]}", title, _moment(alert.get("startsAt")), mine, url)


def _moment(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.astimezone(UTC)
