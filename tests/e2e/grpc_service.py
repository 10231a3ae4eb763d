"""A tiny gRPC service that behaves as the file beside it says. It needs nothing but h2.

`manners.json` holds: `version`; `errors`, the share of calls answered UNAVAILABLE; `latency`, seconds for an answer;
`hangs`, whether it answers no user; `sick`, whether it is NOT_SERVING.

Every method answers with one message, but for those whose name begins with "Watch", which answer with ten in a second.
grpc.health.v1.Health/Check is always answered well. With ACCEPTS in its environment, it appends the time of each user's
call to that file, and with BADS the time of each that it fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import struct
import time
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

MANNERS: dict[str, Any] = json.loads((Path(__file__).parent / "manners.json").read_text())
VERSION: str = MANNERS["version"]
SERVING, NOT_SERVING, MESSAGE = b"\0\0\0\0\2\x08\x01", b"\0\0\0\0\2\x08\x02", b"\0\0\0\0\0"
HEALTH = "/grpc.health.v1.Health/Check"
OK, UNAVAILABLE = "0", "14"


def _log(variable: str) -> int:
    file = os.environ.get(variable)
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if file else -1


_accepts, _bads = _log("ACCEPTS"), _log("BADS")


class Conversation(asyncio.Protocol):
    """One connection, with as many calls at a time as there are."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._connection = h2.connection.H2Connection(config)
        self._paths: dict[int, str] = {}
        self._connection.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._connection.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()
            self.transport.close()
            return
        for event in events:
            if isinstance(event, h2.events.RequestReceived) and event.stream_id:
                self._paths[event.stream_id] = next(str(v) for k, v in event.headers or () if str(k) == ":path")
            elif isinstance(event, h2.events.DataReceived) and event.stream_id:
                self._connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id:
                self._begin(event.stream_id, self._paths.pop(event.stream_id, ""))
        self._flush()

    def _begin(self, stream: int, path: str) -> None:
        later = asyncio.get_running_loop().call_later
        if path == HEALTH:
            self._answer(stream, NOT_SERVING if MANNERS.get("sick") else SERVING, OK)
            return
        _write(_accepts)
        if MANNERS.get("hangs"):
            _write(_bads)
        elif random.random() < MANNERS.get("errors", 0):
            _write(_bads)
            later(_latency(), self._answer, stream, b"", UNAVAILABLE)
        elif path.rpartition("/")[2].startswith("Watch"):
            for tenth in range(10):
                later(tenth / 10, self._answer, stream, MESSAGE, OK if tenth == 9 else "")
        else:
            later(_latency(), self._answer, stream, MESSAGE, OK)

    def _answer(self, stream: int, message: bytes, status: str) -> None:
        """Send a message, if there is one, after the headers of the first; a status ends the call."""
        try:
            self._say(stream, message, status)
        except h2.exceptions.ProtocolError:
            return  # the user has gone
        self._flush()

    def _say(self, stream: int, message: bytes, status: str) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("x-version", VERSION)]
        if not message:  # trailers only
            self._connection.send_headers(stream, [*headers, ("grpc-status", status)], end_stream=True)
            return
        if stream not in self._paths:
            self._connection.send_headers(stream, headers)
            self._paths[stream] = ""
        self._connection.send_data(stream, message)
        if status:
            del self._paths[stream]
            self._connection.send_headers(stream, [("grpc-status", status)], end_stream=True)

    def _flush(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._connection.data_to_send())


def _latency() -> float:
    return float(MANNERS.get("latency", 0.02)) * random.uniform(0.75, 1.25)


def _write(log: int) -> None:
    if log >= 0:
        os.write(log, struct.pack("<d", time.time()))


async def serve() -> None:
    """Listen where we are told."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Conversation, "127.0.0.1", int(os.environ["PORT"]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    print(f"{VERSION} starts", flush=True)
    asyncio.run(serve())
