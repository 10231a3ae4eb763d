"""How does an instance behave that speaks HTTP/2 only? One in this process; the method called says what it does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

SERVING = b"\0\0\0\0\2\x08\x01"
MESSAGE = b"\0\0\0\0\3abc"


class GrpcInstance:
    """Answers by gRPC, and GET /ready and /SIDE by plain HTTP/2; anything by HTTP/1.1 is refused.

    `/t/unary-STATUS` answers with a message and that status in a trailer, `/t/only-STATUS` with nothing but the
    status, `/t/stream-STATUS` with three messages in 0.3 s before it, `/t/refused` the first time not at all (another
    may be asked), `/t/hang` never, `/t/long` after two seconds in which messages come.
    """

    def __init__(self, name: str) -> None:
        self.name, self.called, self.ready = name, 0, True
        self._refused = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def die(self) -> None:
        """End as a killed process does: nobody listens, every connection is reset."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        paths: dict[int, str] = {}
        with suppress(ConnectionError, h2.exceptions.ProtocolError):
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived) and event.stream_id is not None:
                        headers = {str(name): str(value) for name, value in event.headers or ()}
                        paths[event.stream_id] = headers[":path"]
                    elif isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                        task = asyncio.ensure_future(
                            self._answer(_Call(connection, writer, event.stream_id), paths.pop(event.stream_id))
                        )
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                writer.write(connection.data_to_send())
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, call: _Call, path: str) -> None:
        with suppress(ConnectionError, h2.exceptions.ProtocolError):
            _, kind, *rest = path.split("/")
            if kind == "grpc.health.v1.Health":
                call.begin(self.name)
                call.message(SERVING)
                call.end("0")
            elif kind != "t":
                call.plain("200" if self.ready else "503", self.name)
            else:
                self.called += 1
                await self._behave(call, *rest[0].split("-"))

    async def _behave(self, call: _Call, how: str, status: str = "0") -> None:
        match how:
            case "unary":
                call.begin(self.name)
                call.message(MESSAGE)
                call.end(status)
            case "only":
                call.only(status)
            case "stream" | "long":
                call.begin(self.name)
                for _ in range(3):
                    call.message(MESSAGE)
                    await asyncio.sleep(0.7 if how == "long" else 0.1)
                call.end(status)
            case "refused" if not self._refused:
                self._refused = True
                call.refuse()
            case "refused":
                call.only("0")
            case _:
                await asyncio.sleep(600)


class _Call:
    """One stream, as its answer is written."""

    def __init__(self, connection: h2.connection.H2Connection, writer: asyncio.StreamWriter, stream: int) -> None:
        self._connection, self._writer, self._stream = connection, writer, stream

    def plain(self, status: str, body: str) -> None:
        self._connection.send_headers(self._stream, [(":status", status), ("content-type", "text/plain")])
        self._connection.send_data(self._stream, body.encode(), end_stream=True)
        self._flush()

    def begin(self, version: str) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("x-version", version)]
        self._connection.send_headers(self._stream, headers)
        self._flush()

    def message(self, message: bytes) -> None:
        self._connection.send_data(self._stream, message)
        self._flush()

    def end(self, status: str) -> None:
        self._connection.send_headers(self._stream, [("grpc-status", status)], end_stream=True)
        self._flush()

    def only(self, status: str) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", status)]
        self._connection.send_headers(self._stream, headers, end_stream=True)
        self._flush()

    def refuse(self) -> None:
        self._connection.reset_stream(self._stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())
