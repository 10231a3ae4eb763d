"""Does a question to somebody else's server end in time, with an error that says what and gives nothing away?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from interlock.adapters.web import BrokenError, Kept, WebError, ask, shown

SOON = timedelta(seconds=10)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    served: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.append(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        listening.close()
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


def says(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await reader.read()  # until the other side has enough

    return serve


async def test_no_question_is_written_into_the_log_where_its_address_may_hold_a_token() -> None:
    written: list[str] = []
    log = logging.getLogger()
    handler, level = logging.Handler(), log.level
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)  # as the keeper's is
    try:
        async with server(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as url:
            await ask("POST", f"{url}/services/T0K3N?key=geheim", timeout=SOON)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    assert written == []


async def test_an_answer_comes_whole_with_its_status() -> None:
    async with server(says(b'HTTP/1.1 404 No\r\nX-A: b\r\nContent-Length: 7\r\n\r\n{"a":1}')) as url:
        answer = await ask("GET", f"{url}/x", query={"token": "geheim"}, timeout=SOON)
        assert (answer.status, answer.headers["x-a"], answer.json()) == (404, "b", {"a": 1})
        with pytest.raises(WebError, match=r"/x answered 404$"):
            answer.good()


async def test_a_server_that_hangs_is_left_in_time() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with server(hang) as url:
        with pytest.raises(WebError, match="no complete answer within"):
            await ask("GET", url, timeout=timedelta(seconds=0.3))


async def test_a_server_that_drips_is_left_in_time() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b".")
            await asyncio.sleep(0.1)

    async with server(drip) as url:
        with pytest.raises(WebError, match="no complete answer"):
            await ask("GET", url, timeout=timedelta(seconds=0.5))


async def test_an_answer_longer_than_allowed_is_refused() -> None:
    async with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)) as url:
        with pytest.raises(WebError, match="more than 1000 bytes"):
            await ask("GET", url, timeout=SOON, largest=1000)


async def test_no_redirect_is_followed() -> None:
    async with server(says(b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")) as url:
        with pytest.raises(WebError, match="a redirect, which is not followed"):
            (await ask("GET", url, timeout=SOON)).good()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x?token=geheim", "https://ada:geheim@127.0.0.1:1/x", "nonsense"])
async def test_no_error_gives_a_secret_away(url: str) -> None:
    with pytest.raises(WebError) as caught:
        await ask("GET", url, query={"key": "geheim"}, headers={"Authorization": "geheim"}, timeout=SOON)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("token", ["geheim\nX: 1", "geheim-ü€", "geheim\x00"])
async def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str) -> None:
    async with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as url:
        with pytest.raises(WebError) as caught:
            await ask("GET", url, headers={"Authorization": token}, timeout=SOON)
    assert "geheim" not in str(caught.value)


def counts(opened: list[int], questions: int) -> Serve:
    """Answer so many questions a connection, then close it without an answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(0)
        for _ in range(questions):
            await reader.readuntil(b"\r\n\r\n")
            opened[-1] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
        await reader.readuntil(b"\r\n\r\n")

    return serve


async def test_a_kept_connection_answers_more_than_one_question_and_can_be_closed() -> None:
    opened: list[int] = []
    async with server(counts(opened, 3)) as url:
        kept = Kept()
        for _ in range(3):
            assert (await kept.ask("GET", url, timeout=SOON)).json() == {}
        assert opened == [3]
        await kept.close()
        await kept.ask("GET", url, timeout=SOON)
        assert opened == [3, 1]
        await kept.close()


async def test_a_kept_connection_that_breaks_is_told_or_the_question_asked_again_where_that_does_no_harm() -> None:
    opened: list[int] = []
    async with server(counts(opened, 1)) as url:
        kept = Kept()
        await kept.ask("GET", url, timeout=SOON)
        with pytest.raises(BrokenError):
            await kept.ask("POST", url, body=b"", timeout=SOON)
        await kept.ask("GET", url, timeout=SOON)
        assert (await kept.ask("GET", url, timeout=SOON, again=True)).json() == {}
        assert opened == [1, 1, 1]
        await kept.close()


async def test_rubbish_is_no_answer() -> None:
    async with server(says(b"\x00\x01rubbish\r\n\r\n")) as url:
        with pytest.raises(WebError):
            await ask("GET", url, timeout=SOON)


def test_a_url_is_shown_without_what_may_be_secret() -> None:
    assert shown("https://ada:pw@host:8443/path?key=1#x") == "https://host:8443/path"
