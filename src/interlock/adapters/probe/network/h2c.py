"""What was answered over HTTP/2 without TLS? One question on a connection of its own, begun as HTTP/2 at once.

"Prior knowledge", RFC 9113 section 3.3: there is no upgrade from HTTP/1.1, so that who speaks the other one is told so.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from interlock.adapters.http import Headers, HttpError, HttpTimeout, Response

_CHUNK = 1 << 14
_STREAM = 1


async def ask(
    target: str,
    method: str,
    path: str,
    headers: Headers = (),
    body: bytes = b"",
    *,
    timeout: timedelta,
    longest: int = 1 << 21,
) -> Response:
    """Ask `target` (host:port) once; what came in trailers is among the headers. Raises HttpError, HttpTimeout."""
    what = f"{method} {path} at {target} over HTTP/2"
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            return await _exchange(target, _pseudo(target, method, path) + list(headers), body, longest)
    except TimeoutError as error:
        raise HttpTimeout(f"{what}: no complete answer within {timeout.total_seconds():g} s") from error
    except (OSError, h2.exceptions.H2Error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise HttpError(f"{what}: {reason}") from error


def _pseudo(target: str, method: str, path: str) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", target)]


async def _exchange(target: str, headers: list[tuple[str, str]], body: bytes, longest: int) -> Response:
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        connection.send_headers(_STREAM, headers, end_stream=not body)
        if body:  # a few bytes, which fit in the window that every server grants at first
            connection.send_data(_STREAM, body, end_stream=True)
        return await _answer(connection, reader, writer, longest)
    finally:
        writer.transport.abort()


async def _answer(
    connection: h2.connection.H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, longest: int
) -> Response:
    headers: list[tuple[str, str]] = []
    body, first = bytearray(), True
    while len(body) <= longest:
        writer.write(connection.data_to_send())
        await writer.drain()
        received = await reader.read(_CHUNK)
        if not received:
            raise ConnectionResetError("the connection was closed without an answer")
        if first and received.startswith(b"HTTP/1"):
            raise ConnectionResetError("it was answered in HTTP/1.1; does the service speak `protocol: http1`?")
        first = False
        for event in connection.receive_data(received):
            if _take(connection, event, headers, body):
                status = next((value for name, value in headers if name == ":status"), "0")
                return Response(int(status), tuple(pair for pair in headers if pair[0] != ":status"), bytes(body))
    raise ConnectionResetError(f"the answer is longer than {longest} bytes")


def _take(
    connection: h2.connection.H2Connection, event: h2.events.Event, headers: list[tuple[str, str]], body: bytearray
) -> bool:
    """Take what came; say whether the answer is complete. Raises ConnectionResetError when it will never be."""
    match event:
        case h2.events.ResponseReceived() | h2.events.TrailersReceived():
            headers += [(str(name), str(value)) for name, value in event.headers or ()]
        case h2.events.DataReceived():
            body += event.data or b""
            connection.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
        case h2.events.StreamEnded():
            return True
        case h2.events.StreamReset() | h2.events.ConnectionTerminated():
            raise ConnectionResetError(f"the server ended the call (HTTP/2 error {event.error_code})")
    return False
