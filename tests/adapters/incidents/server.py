"""A server of JSON that does what it is told, well or badly, and keeps what it was asked: a real socket, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

Query = dict[str, list[str]]


@dataclass
class Served:
    """What is answered to (path, query), and how. `manners`: "hang" says nothing, "drip" never ends, "cut" ends in the
    middle, "rubbish" is no HTTP, "page" is no JSON; a number is a status without what was asked for."""

    answer: Callable[[str, Query], object]
    manners: str = ""
    url: str = ""
    asked: list[tuple[str, Query, dict[str, str]]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        parts = urlsplit(head[0].split()[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        query = parse_qs(parts.query)
        if length := int(headers.get("content-length", 0)):
            query |= parse_qs((await reader.readexactly(length)).decode())
        self.asked.append((parts.path, query, headers))
        match self.manners:
            case "hang":
                await reader.read()
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[")
                await reader.read()
            case "cut":
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[{"id":')
            case "rubbish":
                writer.write(b"\x00\x01 what?\r\n\r\n")
            case "page":
                writer.write(_whole(200, b"<html>Log in, please</html>"))
            case "":
                writer.write(_whole(200, json.dumps(self.answer(parts.path, query)).encode()))
            case status:
                writer.write(_whole(int(status), b'{"error": "no"}'))
        with suppress(ConnectionError):
            await writer.drain()


def _whole(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def serving(answer: Callable[[str, Query], object], manners: str = "") -> AsyncIterator[Served]:
    """Serve until the block is left."""
    served, tasks = Served(answer, manners), set[asyncio.Task[None]]()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await served.serve(reader, writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
