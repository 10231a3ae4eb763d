"""How do we ask a server that somebody else runs, over HTTPS or HTTP, and never wait longer or read more than we said?

Gates, incidents and notifications speak to such servers; what is our own, on loopback and unix sockets, is asked by
`http`. No redirect is followed: a token must not go where it was not sent. Errors name the server and the path; never
a query, a header or a body, in which secrets may be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio
    import ssl
    from contextlib import AbstractAsyncContextManager

    import httpx2

LARGEST = 4 * 1024 * 1024


class WebError(Exception):
    """No usable answer came; the message says from whom and why."""


class BrokenError(WebError):
    """The connection broke before the answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer, whatever its status; header names are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; raise WebError when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise WebError(f"{shown(self.url)} answered {self.status} with something that is not JSON") from error

    def good(self) -> Answer:
        """Return the answer if its status is 2xx; raise WebError otherwise."""
        if not 200 <= self.status < 300:
            raise WebError(f"{shown(self.url)} answered {self.status}{_hint(self.status)}")
        return self


async def ask(
    method: str,
    url: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: timedelta,
    largest: int = LARGEST,
) -> Answer:
    """Ask once, in `timeout` all told; read at most `largest` bytes. Raises WebError."""
    return await _ask(_client, method, url, query=query, headers=headers, body=body, timeout=timeout, largest=largest)


class Kept:
    """Asks as `ask` does, by connections that stay open between questions: for what must be quick once it is needed.

    Those that have been idle for half a minute are given up. `close` ends them all.
    """

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = WeakKeyDictionary()

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: timedelta,
        largest: int = LARGEST,
        again: bool = False,
    ) -> Answer:
        """Ask once, or `again` on another connection at once when this one broke: that does no harm if twice is once.

        The other side may close a connection just when it is used.
        """
        once = partial(_ask, self._open, method, url, headers=headers, body=body, timeout=timeout, largest=largest)
        try:
            return await once()
        except BrokenError:
            if not again:
                raise
        return await once()

    async def close(self) -> None:
        """Close what this event loop has open."""
        import asyncio

        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _open(self) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        import asyncio
        from contextlib import nullcontext

        import httpx2

        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=30)
            self._clients[loop] = httpx2.AsyncClient(limits=limits, follow_redirects=False, verify=_trusted())
        return nullcontext(self._clients[loop])


def _client() -> AbstractAsyncContextManager[httpx2.AsyncClient]:
    import httpx2

    return httpx2.AsyncClient(follow_redirects=False, verify=_trusted())


async def _ask(
    opened: Callable[[], AbstractAsyncContextManager[httpx2.AsyncClient]],
    method: str,
    url: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None,
    body: bytes | None,
    timeout: timedelta,
    largest: int,
) -> Answer:
    import asyncio

    import httpx2  # imported late: looking at a rollout must be quick

    _say_nothing()
    seconds = timeout.total_seconds()
    try:
        async with (
            asyncio.timeout(seconds),
            opened() as client,
            client.stream(method, url, params=query, headers=headers, content=body, timeout=seconds) as response,
        ):
            read = bytearray()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > largest:
                    raise WebError(f"{shown(url)} answered with more than {largest} bytes")
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(url, response.status_code, found, bytes(read))
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise WebError(f"{shown(url)} gave no complete answer within {seconds:g} s") from error
    except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError) as error:
        raise BrokenError(f"{shown(url)} cannot be reached: {_plainly(error)}") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise WebError(f"{shown(url)} cannot be reached: {_plainly(error)}") from error
    except UnicodeEncodeError:  # which quotes all that was to be sent
        raise WebError(f"{shown(url)} was not asked: a character in its token or address cannot be sent") from None


@cache
def _say_nothing() -> None:
    """Keep the library from writing into our log whom it asks: it writes whole addresses, with the tokens in them."""
    import logging

    for library in ("httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.WARNING)


@cache
def _trusted() -> ssl.SSLContext:
    """Return whom we trust, read once: that takes 30 ms of a core, a question itself 1. Each has its own connection."""
    import httpx2

    return httpx2.create_ssl_context()


def shown(url: str) -> str:
    """Return a URL as it may be written down: without user, password and query."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))


def _hint(status: int) -> str:
    if status in (401, 403):
        return ": is the token right, and may it read this?"
    return ": a redirect, which is not followed; name the final address" if 300 <= status < 400 else ""


def _plainly(error: Exception) -> str:
    """Say what went wrong without what was asked: a request that is no HTTP is quoted by its error."""
    quotes = isinstance(error, ValueError) or type(error).__name__ == "LocalProtocolError"
    return type(error).__name__ if quotes else (str(error).split(" for url ")[0] or type(error).__name__)
