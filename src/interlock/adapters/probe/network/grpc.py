"""Is a gRPC service SERVING? Asked as grpc.health.v1 defines it.

The two messages are a string and an enum, so they are written by hand; HTTP/2 is h2's.
https://github.com/grpc/grpc/blob/master/doc/health-checking.md and …/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from interlock.core.health import Answer

_SERVING = 1
_STATUS = {0: "UNKNOWN", _SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_LONGEST_REPLY = 1 << 16


async def check(address: str, service: str, timeout: timedelta) -> Answer:
    """Call grpc.health.v1.Health/Check for `service` ("" means the server as a whole)."""
    what = f"grpc health of {service or 'the server'} at {address}"
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            headers, body = await _call(address, _request(service))
    except TimeoutError:
        return Answer(False, f"{what}: no answer within {timeout.total_seconds():g} s")
    except (OSError, h2.exceptions.H2Error) as problem:
        return Answer(False, f"{what}: {getattr(problem, 'strerror', None) or problem or type(problem).__name__}")
    return _judge(what, headers, body)


def _judge(what: str, headers: dict[str, str], body: bytes) -> Answer:
    if headers.get(":status") != "200" or "grpc-status" not in headers:
        return Answer(False, f"{what}: answered HTTP {headers.get(':status', 'nothing')}; is it a gRPC server?")
    if headers["grpc-status"] != "0":
        message = unquote(headers.get("grpc-message", ""))
        hint = "; does it register the health service?" if headers["grpc-status"] == "12" else ""
        return Answer(False, f"{what}: gRPC status {headers['grpc-status']} {message}".rstrip() + hint)
    status = _status(body)
    if status is None:
        return Answer(False, f"{what}: the answer is not a HealthCheckResponse")
    return Answer(status == _SERVING, "" if status == _SERVING else f"{what} is {_STATUS.get(status, status)}")


def _request(service: str) -> bytes:
    """HealthCheckRequest{string service = 1}, behind one byte "not compressed" and four of length."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _status(body: bytes) -> int | None:
    """Read HealthCheckResponse{enum status = 1}; the enum's zero is not sent. None when it is something else."""
    if len(body) < 5 or body[0] != 0 or int.from_bytes(body[1:5], "big") != len(body) - 5:
        return None
    message = body[5:]
    if not message:
        return 0
    return message[1] if len(message) == 2 and message[0] == 0x08 and message[1] < 0x80 else None


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


async def _call(address: str, body: bytes) -> tuple[dict[str, str], bytes]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        connection.send_headers(1, _headers(address))
        connection.send_data(1, body, end_stream=True)
        return await _answer(connection, reader, writer)
    finally:
        writer.transport.abort()


def _headers(address: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", address),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "interlock-probe"),
    ]


async def _answer(
    connection: h2.connection.H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[dict[str, str], bytes]:
    headers: dict[str, str] = {}
    body = bytearray()
    while True:
        writer.write(connection.data_to_send())
        await writer.drain()
        received = await reader.read(1 << 14)
        if not received:
            raise ConnectionResetError("the connection was closed without an answer")
        for event in connection.receive_data(received):
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    headers |= {str(name): str(value) for name, value in event.headers or ()}
                case h2.events.DataReceived():
                    body += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                case h2.events.StreamEnded():
                    return headers, bytes(body)
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    raise ConnectionResetError(f"the server ended the call (HTTP/2 error {event.error_code})")
        if len(body) > _LONGEST_REPLY:
            raise ConnectionResetError("the answer is too long for a health check")
