"""A proxy in front of a flag server, which does wrong whatever a test wants: it refuses, hangs, is slow, breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

import h11

from interlock.adapters.http import Connection, HttpError

LONG = timedelta(seconds=60)
_OURS = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive"}


@dataclass(frozen=True)
class Fault:
    """What is done with one question. Nothing of it: it is passed on, and so is the answer.

    `delay` comes first. Then a `status` is answered instead, the connection `resets`, or it `hangs` for good; with
    `reaches` the server is asked before that, so what was asked is done and only its answer is lost.
    """

    delay: timedelta = timedelta(0)
    status: int = 0
    resets: bool = False
    hangs: bool = False
    reaches: bool = False


NONE = Fault()
REFUSES = Fault(status=500)
HANGS = Fault(hangs=True)
RESETS = Fault(resets=True)
SLOW = Fault(delay=timedelta(milliseconds=300))
LOSES = Fault(resets=True, reaches=True)
FAULTS = (NONE, REFUSES, HANGS, RESETS, SLOW, LOSES)


@dataclass
class Proxy:
    """One that runs at `url`. `fault` says what is done with a question, by method and path, and may be changed.

    `asked` are all questions in order, `connections` is how many were opened to it.
    """

    server: str
    fault: Callable[[str, str], Fault] = field(default=lambda method, path: NONE)
    asked: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it goes."""
        self.connections += 1
        protocol = h11.Connection(h11.SERVER)
        async with Connection(urlsplit(self.server).netloc) as upstream:
            while (request := await _question(protocol, reader)) is not None:
                head, body = request
                method, path = head.method.decode(), head.target.decode()
                self.asked.append((method, path.partition("?")[0]))
                await self._answer(head, body, self.fault(method, path), upstream, protocol, writer)
                if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
                    return
                protocol.start_next_cycle()

    async def _answer(
        self,
        head: h11.Request,
        body: bytes,
        fault: Fault,
        upstream: Connection,
        protocol: h11.Connection,
        writer: asyncio.StreamWriter,
    ) -> None:
        await asyncio.sleep(fault.delay.total_seconds())
        broken = fault.status or fault.resets or fault.hangs
        status, headers, content = fault.status, [("Content-Type", "text/plain")], b"told to fail"
        if not broken or fault.reaches:
            passed = [(name.decode(), value.decode()) for name, value in head.headers if name.decode() not in _OURS]
            answer = await upstream.ask(head.method.decode(), head.target.decode(), passed, body, timeout=LONG)
            if not broken:
                status, content = answer.status, answer.body
                headers = [(name, value) for name, value in answer.headers if name not in _OURS]
        if fault.hangs:
            await asyncio.sleep(LONG.total_seconds())
        if fault.resets or fault.hangs:
            writer.transport.abort()
            raise ConnectionAbortedError
        headers.append(("Content-Length", str(len(content))))
        sent = protocol.send(h11.Response(status_code=status, headers=headers)) or b""
        if head.method != b"HEAD" and status not in (204, 304):
            sent += protocol.send(h11.Data(content)) or b""
        writer.write(sent + (protocol.send(h11.EndOfMessage()) or b""))
        await writer.drain()


@asynccontextmanager
async def proxied(server: str) -> AsyncIterator[Proxy]:
    """Have one in front of the server at this address while the block lasts."""
    proxy, talks = Proxy(server), set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, HttpError, h11.ProtocolError):
                await proxy.serve(reader, writer)
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listening.close()
        for one in talks:
            one.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _question(protocol: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes] | None:
    """Return the next question with its body; None when the client goes."""
    head, body = None, b""
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return head, body
        else:
            return None
