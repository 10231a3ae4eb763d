"""Instances whose counters a real Prometheus collects, and our adapter, which asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.adapters.metrics.exposition import PROTOBUF
from tests.adapters.metrics.prometheus import PROGRAM, Monitor, job, prometheus

from interlock.adapters.clock import SystemClock
from interlock.adapters.metrics.prometheus import PrometheusMetrics
from interlock.core.metric import Metric, Prometheus
from interlock.core.sample import Events
from interlock.ports.metrics import Shown

Needs = Callable[[str], Path]
DEADLINE = 20.0
TOKEN = "geheim-0123456789"


@dataclass
class Instance:
    """A page of counters, in text or protobuf, at an address of its own; none, while it is None."""

    page: str | bytes | None
    address: str = ""
    scraped: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if self.page is not None:
            body = self.page if isinstance(self.page, bytes) else self.page.encode()
            kind = PROTOBUF if isinstance(self.page, bytes) else "text/plain"
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
            await writer.drain()
            self.scraped += 1
        writer.close()

    async def again(self, times: int = 2) -> None:
        """Wait until it was scraped so many times more: the last but one is stored then."""
        wanted = self.scraped + times
        await until(lambda: self.scraped >= wanted)


@dataclass
class Scene:
    """Instances, the Prometheus that scrapes them, and our adapter that asks it."""

    instances: list[Instance] = field(default_factory=list)
    monitor: Monitor = field(default_factory=lambda: Monitor(""))
    metrics: PrometheusMetrics = field(default_factory=lambda: PrometheusMetrics(lambda _: TOKEN, SystemClock()))

    @property
    def source(self) -> Prometheus:
        return Prometheus(self.monitor.url)

    async def show(self, metric: Metric, revision: str = "new") -> Shown:
        return await self.metrics.show(revision, (replace(metric, source=self.source, path=""),))

    async def events(self, metric: Metric, revision: str = "new") -> list[Events]:
        """Return what is shown, once all is there."""
        async with asyncio.timeout(DEADLINE):
            while True:
                shown = await self.show(metric, revision)
                if shown.events:
                    return sorted((one[metric.name] for one in shown.events.values()), key=lambda one: one.total)
                await asyncio.sleep(0.1)

    async def unseen(self, metric: Metric, revision: str = "new") -> str:
        async with asyncio.timeout(DEADLINE):
            while not (shown := await self.show(metric, revision)).unseen:
                await asyncio.sleep(0.1)
            return shown.unseen[metric.name]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def scene(
    needs: Needs, *pages: tuple[str, str | bytes], every: str = "1s", features: str = ""
) -> AsyncIterator[Scene]:
    """Scrape each (revision, page), all of them at least once."""
    found, servers = Scene(), []
    try:
        targets: dict[str, dict[str, str]] = {}
        for revision, page in pages:
            instance = Instance(page)
            server = await asyncio.start_server(instance.serve, "127.0.0.1", 0)
            servers.append(server)
            instance.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            found.instances.append(instance)
            targets[instance.address] = {"revision": revision}
        async with prometheus(needs(PROGRAM), job("shop", targets, every=every), features=features) as found.monitor:
            await until(lambda: all(one.scraped for one in found.instances))
            yield found
    finally:
        for server in servers:
            server.close()
