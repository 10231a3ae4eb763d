"""Are requests of our own sent evenly, to this machine only, and no longer than wanted?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from interlock.adapters.load.loopback import AT_A_TIME, LoopbackLoader
from interlock.core.steps import Load
from interlock.ports.load import LoadError

SOON = timedelta(seconds=20)


@dataclass
class Server:
    """Answers each request after `latency` seconds, and notes when which path was asked for."""

    latency: float = 0.0
    asked: list[tuple[float, str]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    open: int = 0
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open, self.connections = self.open + 1, self.connections + 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.asked.append((asyncio.get_running_loop().time(), head.split()[1]))
                self.heads.append(head)
                if self.latency:
                    await asyncio.wait({asyncio.ensure_future(reader.read(1))}, timeout=self.latency)
                    if reader.at_eof():
                        return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def listening(latency: float = 0.0) -> AsyncIterator[tuple[Server, str]]:
    one = Server(latency)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, backlog=1024)
    yield one, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def of(rate: float, requests: int, *paths: str) -> Load:
    return Load("new", "old", rate, requests, timedelta(minutes=1), paths or ("/",))


async def test_all_requests_are_sent_at_the_rate_and_the_paths_in_turn() -> None:
    async with listening() as (server, preview):
        load = of(100, 60, "/a", "/b")
        await LoopbackLoader().send(preview, load, 60, SOON)
        times = [at for at, _ in server.asked]
        assert [path for _, path in server.asked] == ["/a", "/b"] * 30
        assert times[-1] - times[0] >= 0.55, "faster than 100 a second"
        assert all(head.startswith("GET ") and "User-Agent: interlock-load" in head for head in server.heads)
        assert server.connections < 30, "connections are used again"


async def test_a_slow_side_is_asked_as_often_as_a_fast_one() -> None:
    async with listening(latency=0.5) as (server, preview):
        await LoopbackLoader().send(preview, of(100, 50), 50, SOON)
        times = [at for at, _ in server.asked]
        assert len(times) == 50
        assert times[-1] - times[0] < 5, "one after the other they would take 25 s"


async def test_no_more_than_so_many_are_under_way_at_a_time() -> None:
    async with listening(latency=30) as (server, preview):
        sending = asyncio.create_task(LoopbackLoader().send(preview, of(2000, 1000), 1000, SOON))
        async with asyncio.timeout(SOON.total_seconds()):
            while server.open < AT_A_TIME:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        assert server.open == len(server.asked) == AT_A_TIME
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_when_it_is_cancelled_it_stops_at_once_and_lets_go_of_what_is_under_way() -> None:
    async with listening(latency=30) as (server, preview):
        sending = asyncio.create_task(LoopbackLoader().send(preview, of(100, 1000), 1000, SOON))
        async with asyncio.timeout(SOON.total_seconds()):
            while len(server.asked) < 5:
                await asyncio.sleep(0.02)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            asked = len(server.asked)
            while server.open:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert len(server.asked) == asked


async def test_a_request_without_an_answer_is_given_up_and_the_load_ends() -> None:
    async with listening(latency=30) as (server, preview):
        async with asyncio.timeout(SOON.total_seconds()):
            await LoopbackLoader().send(preview, of(100, 5), 5, timedelta(milliseconds=300))
        assert len(server.asked) == 5


async def test_a_side_that_is_not_there_ends_nothing_before_its_time() -> None:
    await LoopbackLoader().send("http://127.0.0.1:1", of(100, 5), 5, SOON)


@pytest.mark.parametrize("preview", ["http://192.0.2.1:80", "http://example.test:80", "https://127.0.0.1:1", "x", ""])
async def test_it_sends_to_no_other_machine(preview: str) -> None:
    with pytest.raises(LoadError, match="expected a preview on this machine"):
        await LoopbackLoader().send(preview, of(100, 5), 5, SOON)
