"""Does one question get one answer, in time, or a clear reason why not?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.adapters.http import Connection, HttpError, HttpTimeout, ask

SOON = timedelta(seconds=20)
SHORT = timedelta(milliseconds=200)
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Side: new\r\n\r\nhello"


class Server:
    """Answers each request with the next of its replies; None is silence, b"" closes."""

    def __init__(self, *replies: bytes | None) -> None:
        self.replies, self.requests, self.connections = list(replies), list[bytes](), 0
        self.tasks: set[asyncio.Future[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.ensure_future(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                reply = self.replies.pop(0) if self.replies else HELLO
                if reply is None:
                    await reader.read()
                    break
                writer.write(reply)
                await writer.drain()
                if not reply:
                    break
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def listening(*replies: bytes | None) -> AsyncIterator[tuple[Server, str]]:
    answers = Server(*replies)
    server = await asyncio.start_server(answers.accept, "127.0.0.1", 0)
    async with server:
        yield answers, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(SOON.total_seconds()):
        await asyncio.gather(*answers.tasks, return_exceptions=True)


async def test_an_answer_is_status_headers_and_body() -> None:
    async with listening() as (server, target):
        response = await ask(target, "POST", "/a?b", (("X-Key", "1"),), b"body", timeout=SOON)
        assert (response.status, response.body, response.header("x-side")) == (200, b"hello", "new")
        assert response.header("x-other") is None
        head = server.requests[0].decode()
        assert head.startswith("POST /a?b HTTP/1.1\r\n")
        for line in (f"Host: {target}", "Content-Length: 4", "X-Key: 1", "Connection: close"):
            assert line in head


async def test_a_connection_is_kept_for_the_next_question_and_renewed_when_it_was_closed() -> None:
    closes = HELLO.replace(b"X-Side: new", b"Connection: close")
    async with listening(HELLO, HELLO, closes, HELLO) as (server, target), Connection(target) as connection:
        assert [(await connection.ask(timeout=SOON)).status for _ in range(4)] == [200] * 4
        assert server.connections == 2


async def test_after_a_time_out_the_next_question_has_a_connection_of_its_own() -> None:
    async with listening(None, HELLO) as (server, target), Connection(target) as connection:
        with pytest.raises(HttpTimeout, match=r"GET /slow at .*: no complete answer within 0\.2 s"):
            await connection.ask(path="/slow", timeout=SHORT)
        assert (await connection.ask(timeout=SOON)).body == b"hello"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "closed|reset"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", "no complete answer"),
    ],
)
async def test_what_is_no_answer_is_an_error_with_its_reason(reply: bytes, reason: str) -> None:
    async with listening(reply) as (_, target):
        with pytest.raises(HttpError, match=reason):
            await ask(target, timeout=SHORT)


async def test_a_unix_socket_is_asked_like_a_port(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = Server()
    async with await asyncio.start_unix_server(server.accept, path):
        assert (await ask(f"unix:{path}", timeout=SOON)).body == b"hello"
    await asyncio.gather(*server.tasks, return_exceptions=True)


@pytest.mark.parametrize("target", ["unix:/nowhere/socket", "127.0.0.1:1", "nonsense"])
async def test_where_nobody_listens_is_an_error_that_names_the_target(target: str) -> None:
    with pytest.raises(HttpError, match=f"GET / at {target}"):
        await ask(target, timeout=SOON)
