"""How does a user speak gRPC? One connection of HTTP/2, one call after the other, over h2."""

from __future__ import annotations

import asyncio
import random

import h2.config
import h2.connection
import h2.events
import h2.exceptions

_MESSAGE = b"\0\0\0\0\0"


class Calls(asyncio.Protocol):
    """One connection of one user; what `ask` returns is resolved by (status, version that answered).

    The status is "200" when the call went well, else "grpc" and its code.
    """

    transport: asyncio.Transport
    answered: asyncio.Future[tuple[str, str]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._connection.initiate_connection()
        self._over = False

    def ask(self, path: str, keeps: bool) -> asyncio.Future[tuple[str, str]]:
        """Call the method with an empty message."""
        self.answered = asyncio.get_running_loop().create_future()
        self._headers: dict[str, str] = {}
        stream = self._connection.get_next_available_stream_id()
        self._connection.send_headers(stream, _headers(path))
        self._connection.send_data(stream, _MESSAGE, end_stream=True)
        self._flush()
        return self.answered

    def data_received(self, data: bytes) -> None:
        try:
            events = self._connection.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.connection_lost(error)
            self.transport.close()
            return
        for event in events:
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self._headers |= {str(name): str(value) for name, value in event.headers or ()}
            case h2.events.DataReceived():
                self._connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case h2.events.StreamEnded():
                self._resolve()
            case h2.events.StreamReset():
                self._headers.setdefault("grpc-status", f"none, reset by {event.error_code}")
                self._resolve()
            case h2.events.ConnectionTerminated():
                self._over = True  # the calls under way may still be answered

    def _resolve(self) -> None:
        status, version = self._headers.get("grpc-status", "none"), self._headers.get("x-version", "")
        if not self.answered.done():
            self.answered.set_result(("200" if status == "0" else f"grpc {status}", version))

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self, "answered") and not self.answered.done():
            self.answered.set_exception(error if isinstance(error, OSError) else EOFError())

    @property
    def usable(self) -> bool:
        return not self.transport.is_closing() and not self._over

    def _flush(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._connection.data_to_send())


def _headers(path: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "shop"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("x-user", f"u{random.randrange(10_000)}"),
    ]
