"""Which address answers what, and to whom?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from interlock.app.tokens import shown
from interlock.app.verbs import App
from interlock.surfaces.api.bounds import Bounded
from interlock.surfaces.api.links import Links
from interlock.surfaces.api.problems import Problem, answer, problem
from interlock.surfaces.api.rollouts import Rollouts

CHANNEL = "api"
"""By which surface it came, where a program spoke."""

Endpoint = Callable[[Request], Awaitable[Response]]


def application(app: App) -> ASGIApp:
    """Return all that is served over one state directory."""
    links, rollouts = Links(app), Rollouts(App(app.state, CHANNEL))
    routes = [
        Route("/healthz", _well, methods=["GET"]),
        Route("/acknowledge", _told(links.show), methods=["GET"]),
        Route("/acknowledge", _told(links.press), methods=["POST"]),
        Route("/api/v1/rollouts/{id}:acknowledge", _told(_trusted(app, rollouts.acknowledge)), methods=["POST"]),
    ]
    return Bounded(Starlette(routes=routes, exception_handlers={HTTPException: _unknown}), answer)


def _told(endpoint: Endpoint) -> Endpoint:
    """Answer an error with what it means."""

    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            return answer(request, problem(error))

    return told


def _trusted(app: App, endpoint: Endpoint) -> Endpoint:
    """Let only those in who show the token."""

    async def trusted(request: Request) -> Response:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not shown(app.state, given.strip()):
            raise Problem(401, "show the token that `interlock serve --token` prints: Authorization: Bearer TOKEN")
        return await endpoint(request)

    return trusted


async def _well(request: Request) -> Response:
    """Say that this server answers; whether the keeper does, it is asked by `interlock doctor`."""
    return PlainTextResponse("ok\n")


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "there is nothing here", 405: f"{request.method} is not taken here"}
    return answer(request, Problem(error.status_code, said.get(error.status_code, error.detail)))
