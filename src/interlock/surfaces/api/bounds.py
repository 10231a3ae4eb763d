"""How much, and for how long, may whoever asks us say something, and what may a browser do with our answers?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.surfaces.api.pages import STYLE_HASH
from interlock.surfaces.api.problems import Problem

LARGEST = 16 * 1024
"""So many bytes of a body at most; the longest link has a few hundred."""

LONGEST_HEAD = 8 * 1024
"""So many bytes of address and headers at most."""

SAID_WITHIN = timedelta(seconds=10)
"""So long a body may take to arrive."""

ANSWERED_WITHIN = timedelta(seconds=60)
"""So long an answer may take: the keeper has 30 s, and may have to be started first."""

_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src '{STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Connection": "close",  # or the head of a next request could take for ever
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Bounded:
    """Lets nobody say more or wait longer, and marks each answer with what a browser must not do with it."""

    def __init__(self, app: ASGIApp, answer: Callable[[Request, Problem], Response]) -> None:
        self._app, self._answer = app, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        head = sum(len(name) + len(value) for name, value in scope["headers"])
        begun = False

        async def marked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            async with asyncio.timeout(ANSWERED_WITHIN.total_seconds()):
                if head + len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_HEAD:
                    raise Problem(431, f"an address and headers of at most {LONGEST_HEAD} bytes are read")
                await self._app(scope, _short(scope, receive), marked)
        except Problem as found:
            if not begun:
                await self._answer(Request(scope), found)(scope, receive, marked)
        except TimeoutError:
            if not begun:
                late = Problem(503, f"not answered within {ANSWERED_WITHIN.total_seconds():g} s")
                await self._answer(Request(scope), late)(scope, receive, marked)


def _short(scope: Scope, receive: Receive) -> Receive:
    """Receive a body of the size that is allowed, in the time that is; raise Problem."""
    told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    heard = 0

    async def received() -> Message:
        nonlocal heard
        if not told.isdigit() or int(told) > LARGEST:
            raise Problem(413, f"a body of at most {LARGEST} bytes is read")
        try:
            async with asyncio.timeout(SAID_WITHIN.total_seconds()):
                message = await receive()
        except TimeoutError:
            raise Problem(408, f"the body did not arrive within {SAID_WITHIN.total_seconds():g} s") from None
        heard += len(message.get("body", b""))
        if heard > LARGEST:
            raise Problem(413, f"a body of at most {LARGEST} bytes is read")
        return message

    return received
