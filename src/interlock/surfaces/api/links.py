"""What does a link in a message do? To open it shows what it is for; only its button acknowledges.

Programs that look through mail open links, so a GET must change nothing. Whoever has the link is whom it was sent to.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from interlock.app.verbs import App
from interlock.surfaces.api.pages import acknowledged, asking
from interlock.surfaces.api.problems import Problem

FORM = "application/x-www-form-urlencoded"


class Links:
    """The page of a link, and its button."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def show(self, request: Request) -> Response:
        """Show what is to be acknowledged; change nothing."""
        token = _one(request.query_params.getlist("token"))
        link, rollout = await self._app.asked(token)
        return HTMLResponse(asking(link, rollout, token))

    async def press(self, request: Request) -> Response:
        """Acknowledge; the same link twice is once."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            raise Problem(415, f"expected a form ({FORM})")
        body = (await request.body()).decode("ascii", errors="replace")
        token = _one(parse_qs(body, max_num_fields=8).get("token", []))
        _, rollout = await self._app.asked(token)
        if rollout.acknowledged is None:
            rollout = await self._app.acknowledge(None, token=token)
        return HTMLResponse(acknowledged(rollout))


def _one(found: list[str]) -> str:
    if len(found) != 1:
        raise Problem(400, "a part of this link is missing: copy it whole")
    return found[0]
