"""Which incidents does a list in JSON have? Any list, told by the file where to look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from interlock.adapters.web import WebError, ask
from interlock.core.incidents import Incident, Web
from interlock.ports.incidents import IncidentsError


class Listed:
    """Asks any server. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def active(self, source: Web, within: timedelta) -> tuple[Incident, ...]:
        """Return the items that are open."""
        token = self._secret(source.token_secret) if source.token_secret else ""
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            found = at((await ask("GET", source.url, headers=headers, timeout=within)).good().json(), source.items)
        except WebError as error:
            raise IncidentsError(str(error)) from error
        if not isinstance(found, list):
            where = source.items or "the answer"
            raise IncidentsError(f"{source.url}: expected a list at {where}, found {type(found).__name__}")
        return tuple(_incident(item, source) for item in found if _open(item, source))


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
    return state is None or str(state) in source.open_values


def _incident(item: object, source: Web) -> Incident:
    id = at(item, source.id)
    if id is None:
        raise IncidentsError(f"{source.url}: expected an id at {source.id} in each item, found none")
    mine = bool(source.mine_field) and str(at(item, source.mine_field)) in source.mine_values
    since = _moment(at(item, source.since)) if source.since else None
    return Incident(str(id), str(at(item, source.title) or ""), since, mine, source.url)


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
