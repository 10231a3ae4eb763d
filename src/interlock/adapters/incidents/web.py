"""Which incidents does a list in JSON have? Any list, told by the file where to look."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from interlock.adapters.web import WebError, ask, shown
from interlock.core.incidents import Incident, Web
from interlock.ports.incidents import IncidentsError


class Listed:
    """Asks any server. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def active(self, source: Web, within: timedelta) -> tuple[Incident, ...]:
        """Return the items that are open."""
        try:
            answer = await ask("GET", source.url, headers=self._headers(source), timeout=within)
            found = at(answer.good().json(), source.items)
        except WebError as error:
            raise IncidentsError(str(error)) from error
        if not isinstance(found, list):
            where = source.items or "the top"
            instead = "nothing" if found is None else type(found).__name__
            raise IncidentsError(f"{shown(source.url)}: expected a list at {where} of its answer, found {instead}")
        return tuple(_incident(item, source) for item in found if _open(item, source))

    def _headers(self, source: Web) -> dict[str, str]:
        if not source.token_secret:
            return {"Accept": "application/json"}
        try:
            token = self._secret(source.token_secret)
        except OSError as error:
            raise IncidentsError(f"the token for {shown(source.url)} cannot be read: {error.strerror}") from error
        return {"Accept": "application/json", "Authorization": f"Bearer {token}"}


def at(value: object, name: str) -> object:
    """Return what is at a dotted name; None when there is nothing."""
    for part in name.split(".") if name else ():
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _open(item: object, source: Web) -> bool:
    """An item without the state that was promised counts as open: not to know is to hold."""
    if not source.open_field:
        return True
    state = at(item, source.open_field)
    return state is None or _among(state, source.open_values)


def _among(value: object, wanted: tuple[str, ...]) -> bool:
    """Whether a value, or one of a list of them, is wanted; true and 1 are written as in JSON."""
    values = value if isinstance(value, list) else [value]
    return any((one if isinstance(one, str) else json.dumps(one)) in wanted for one in values)


def _incident(item: object, source: Web) -> Incident:
    id = at(item, source.id)
    if id in (None, ""):  # a name of nothing could be taken for that of the incident a release is to end
        raise IncidentsError(f"{shown(source.url)}: expected an id at {source.id} in each item, found none")
    mine = bool(source.mine_field) and _among(at(item, source.mine_field), source.mine_values)
    since = _moment(at(item, source.since)) if source.since else None
    return Incident(str(id), str(at(item, source.title) or ""), since, mine, shown(source.url))


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
