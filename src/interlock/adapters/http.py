"""How do we ask one HTTP/1.1 question and never wait longer than we said?

A small client on h11 for what Interlock itself asks: the proxy's admin socket, our own weight probes, readiness and
smoke tests. No redirects, no cookies, no TLS, no pool: each of these would blur what was asked of whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

import h11

Headers = Sequence[tuple[str, str]]

LONGEST_BODY = 32 * 1024 * 1024
_CHUNK = 64 * 1024


class HttpError(Exception):
    """No proper answer came; the message says from whom, to what, and what happened instead."""


class HttpTimeout(HttpError):
    """The answer was not complete in time."""


@dataclass(frozen=True, slots=True)
class Response:
    """One complete answer; header names are in lower case, as they came otherwise."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of this name, whatever its case; None when there is none."""
        return next((value for key, value in self.headers if key == name.lower()), None)


async def ask(
    target: str,
    method: str = "GET",
    path: str = "/",
    headers: Headers = (),
    body: bytes = b"",
    *,
    timeout: timedelta,
) -> Response:
    """Ask `target` ("host:port" or "unix:/path") once, on a connection of its own, in `timeout` all told.

    Any status is an answer. Raises HttpError when nobody listens or what comes is not HTTP, HttpTimeout when late.
    """
    async with Connection(target) as connection:
        return await connection.ask(method, path, (*headers, ("Connection", "close")), body, timeout=timeout)


class Connection:
    """One connection, kept open between questions that are asked one after the other.

    It connects when first asked, and again when the other side has closed meanwhile; a question that was already sent
    is never sent twice. Use it with `async with`.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._protocol = h11.Connection(h11.CLIENT)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def ask(
        self, method: str = "GET", path: str = "/", headers: Headers = (), body: bytes = b"", *, timeout: timedelta
    ) -> Response:
        """Ask once; see `ask`. After an error the next question opens a new connection."""
        what = f"{method} {path} at {self.target}"
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                response = await self._exchange(method, path, headers, body)
        except TimeoutError as error:
            self.close()
            raise HttpTimeout(f"{what}: no complete answer within {timeout.total_seconds():g} s") from error
        except (OSError, h11.ProtocolError) as error:
            self.close()
            raise HttpError(f"{what}: {_reason(error)}") from error
        except BaseException:
            self.close()
            raise
        self._reuse()
        return response

    def close(self) -> None:
        """Close the connection at once; asking again opens another."""
        if self._streams is not None:
            with suppress(OSError, RuntimeError):
                self._streams[1].transport.abort()
        self._streams = None

    async def _exchange(self, method: str, path: str, headers: Headers, body: bytes) -> Response:
        reader, writer = await self._open()
        request = h11.Request(method=method, target=path, headers=_complete(self.target, headers, body))
        writer.write(
            self._send(request) + (self._send(h11.Data(body)) if body else b"") + self._send(h11.EndOfMessage())
        )
        await writer.drain()
        return await self._receive(reader)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and not self._streams[0].at_eof() and not self._streams[1].is_closing():
            return self._streams
        self.close()
        self._protocol = h11.Connection(h11.CLIENT)
        self._streams = await _connect(self.target)
        return self._streams

    def _send(self, event: h11.Event) -> bytes:
        return self._protocol.send(event) or b""

    async def _receive(self, reader: asyncio.StreamReader) -> Response:
        status, body = 0, bytearray()
        headers: tuple[tuple[str, str], ...] = ()
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(_CHUNK)
                if not data and not status:
                    raise ConnectionResetError("the connection was closed without an answer")
                self._protocol.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > LONGEST_BODY:
                    raise h11.RemoteProtocolError(f"the answer is longer than {LONGEST_BODY} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return Response(status, headers, bytes(body))
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError(f"the answer is not plain HTTP/1.1, but {event!r}")

    def _reuse(self) -> None:
        try:
            self._protocol.start_next_cycle()
        except h11.LocalProtocolError:
            self.close()


async def _connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("unix:"):
        return await asyncio.open_unix_connection(target.removeprefix("unix:"))
    host, separator, port = target.rpartition(":")
    if not separator or not port.isdigit():
        raise OSError(f'expected "host:port" or "unix:/path", found "{target}"')
    return await asyncio.open_connection(host.strip("[]"), int(port))


def _complete(target: str, headers: Headers, body: bytes) -> list[tuple[str, str]]:
    given = {name.lower() for name, _ in headers}
    added = []
    if "host" not in given:
        added.append(("Host", "localhost" if target.startswith("unix:") else target))
    if body and not given & {"content-length", "transfer-encoding"}:
        added.append(("Content-Length", str(len(body))))
    return [*added, *headers]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
