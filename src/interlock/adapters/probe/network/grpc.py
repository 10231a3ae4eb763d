"""Is a gRPC service SERVING? Asked as grpc.health.v1 defines it.

The two messages are a string and an enum, so they are written by hand; HTTP/2 is h2's.
https://github.com/grpc/grpc/blob/master/doc/health-checking.md and …/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import unquote

from interlock.adapters.http import HttpError, HttpTimeout, Response
from interlock.adapters.probe.network import h2c
from interlock.core.health import GRPC_HEALTH, Answer

_SERVING = 1
_STATUS = {0: "UNKNOWN", _SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_LONGEST_REPLY = 1 << 16
_HEADERS = (("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "interlock-probe"))


async def check(address: str, service: str, timeout: timedelta) -> Answer:
    """Call grpc.health.v1.Health/Check for `service` ("" means the server as a whole)."""
    what = f"grpc health of {service or 'the server'} at {address}"
    try:
        response = await call(address, GRPC_HEALTH, _request(service), timeout)
    except HttpTimeout:
        return Answer(False, f"{what}: no answer within {timeout.total_seconds():g} s")
    except HttpError as problem:
        return Answer(False, f"{what}: {problem}")
    return _judge(what, response)


async def call(address: str, method: str, message: bytes, timeout: timedelta) -> Response:
    """Call a method with one message; status and message of the call are among the headers. Raises HttpError."""
    framed = b"\0" + len(message).to_bytes(4, "big") + message  # one byte "not compressed" and four of length
    return await h2c.ask(address, "POST", method, _HEADERS, framed, timeout=timeout, longest=_LONGEST_REPLY)


def _judge(what: str, response: Response) -> Answer:
    called = response.header("grpc-status")
    if response.status != 200 or called is None:
        return Answer(False, f"{what}: answered HTTP {response.status or 'nothing'}; is it a gRPC server?")
    if called != "0":
        message = unquote(response.header("grpc-message") or "")
        hint = "; does it register the health service?" if called == "12" else ""
        return Answer(False, f"{what}: gRPC status {called} {message}".rstrip() + hint)
    status = _status(response.body)
    if status is None:
        return Answer(False, f"{what}: the answer is not a HealthCheckResponse")
    return Answer(status == _SERVING, "" if status == _SERVING else f"{what} is {_STATUS.get(status, status)}")


def _request(service: str) -> bytes:
    """HealthCheckRequest{string service = 1}."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


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
