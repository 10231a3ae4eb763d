"""What is answered when something cannot be done? To programs a problem by RFC 9457, to people a page."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from interlock.app.tokens import TokenError
from interlock.app.verbs import Blocked, KeeperError
from interlock.app.view import NoSuchRollout
from interlock.core.link import Expired, LinkError
from interlock.core.transitions import Refused
from interlock.ports.store import StoreError
from interlock.surfaces.api.pages import trouble

PROGRAMS = "/api/"
"""Where programs ask."""

log = logging.getLogger(__name__)


class Problem(Exception):
    """Why not, for whoever asked: `status` by HTTP, `detail` in a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail

    @property
    def title(self) -> str:
        """What the status means, in HTTP's own words."""
        return HTTPStatus(self.status).phrase


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Expired, 410),
    (LinkError, 403),
    (NoSuchRollout, 404),
    (Blocked, 409),
    (Refused, 409),
    (KeeperError, 503),
    (StoreError, 503),
    (TokenError, 503),
)


_TO_PEOPLE = {
    400: "This link is not whole",
    403: "This link does nothing",
    404: "There is nothing here",
    409: "That cannot be done now",
    410: "This link is too old",
    503: "Try again in a moment",
}


def problem(error: Exception) -> Problem:
    """Return what an error means to whoever asked; what nobody foresaw is written down here and not told there."""
    if isinstance(error, Problem):
        return error
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return Problem(status, str(error))
    log.error("a request broke", exc_info=error)
    return Problem(500, "this is a bug in Interlock, or the machine is in trouble: the server's log says more")


def answer(request: Request, found: Problem) -> Response:
    """Write it down for whoever asked."""
    headers = {"WWW-Authenticate": 'Bearer realm="interlock"'} if found.status == 401 else {}
    if found.status == 405:
        headers["Allow"] = "POST" if request.url.path.startswith(PROGRAMS) else "GET, HEAD, POST"
    if not request.url.path.startswith(PROGRAMS):
        title = _TO_PEOPLE.get(found.status, found.title)
        return Response(trouble(title, found.detail), found.status, headers, media_type="text/html")
    document = {"type": "about:blank", "title": found.title, "status": found.status, "detail": found.detail}
    return documented(document, found.status, headers, "application/problem+json")


def documented(
    document: Any, status: int = 200, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> Response:
    """Answer a program with a document."""
    return Response(json.dumps(document, ensure_ascii=False), status, headers, media_type=kind)
