"""What does a proxy's test need? Instances that behave as told, users who ask, and a real Envoy between them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from tests.adapters.traffic.grpc_instance import GrpcInstance

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import LocalHost
from interlock.adapters.http import Connection, Headers, HttpError, Response, ask
from interlock.adapters.metrics.envoy import EnvoyMetrics
from interlock.adapters.traffic.envoy import Envoy, SharedFront
from interlock.adapters.traffic.envoy.files import Files
from interlock.core.health import Probe
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision, Sticky, StickyBy
from interlock.core.sample import Counters

SOON = timedelta(seconds=20)
BY_USER = Sticky(StickyBy.HEADER, "x-user")
READY = Probe(path="/ready")


class Instance:
    """One instance in this process. It answers with its revision's name; some paths misbehave."""

    def __init__(self, name: str) -> None:
        self.name, self.ready, self.served = name, True, 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._release = asyncio.Event()

    async def begin(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def release(self) -> None:
        """Let the requests to /hold be answered."""
        self._release.set()

    async def die(self) -> None:
        """End as a killed process does: nobody listens, every connection is reset."""
        self._server.close()
        self._release.set()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await reader.readexactly(_length(head))
                await self._answer(head.split()[1].partition("?")[0], writer)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path != "/ready":
            self.served += 1
        match path:
            case "/hang":
                await asyncio.sleep(600)
            case "/hold":
                await self._release.wait()
                writer.write(_plain(200, self.name))
            case "/stream":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(12):
                    writer.write(b"2\r\nhi\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.1)
                writer.write(b"0\r\n\r\n")
            case "/socket":
                writer.write(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(1)  # silent for longer than tests let a request wait for its answer
                writer.write(b"hi")
                await writer.drain()
                writer.close()
            case "/break":
                writer.close()
            case "/ready":
                writer.write(_plain(200 if self.ready else 503, self.name))
            case "/404":
                writer.write(_plain(404, self.name))
            case "/500":
                writer.write(_plain(500, self.name))
            case _:
                writer.write(_plain(200, self.name))


class Town:
    """A real Envoy, its environment "production", and whoever is asked for."""

    def __init__(self, place: Path, *, retries: bool = True, front: SharedFront | None = None) -> None:
        self.place, self.label, self.retries = place, f"test-{uuid.uuid4()}/envoy", retries
        self.front = front
        self.host, self.clock = LocalHost(), SystemClock()
        self.envoy = self.successor()
        self.metrics = EnvoyMetrics(self.envoy.socket, self.clock)
        self.instances: list[Instance] = []
        self.others: list[GrpcInstance] = []
        self.port = 0

    def successor(self) -> Envoy:
        """Return the adapter anew, as after the keeper's death: nothing is known but what is on disk."""
        here = self.place
        files, label = (here / "envoy", here / "run"), self.label
        return Envoy(LocalHost(), *files, self.clock, label, retries=self.retries, workers=2, front=self.front)

    async def open(self, entrance: Entrance | None = None) -> None:
        """Open production at a free port."""
        self.port = entrance.port if entrance else await self.host.free_port()
        await self.envoy.open("production", entrance or Entrance(self.port, sticky=BY_USER))

    async def instance(self, revision: str) -> Instance:
        """Begin an instance."""
        one = Instance(revision)
        await one.begin()
        self.instances.append(one)
        return one

    async def admit(self, name: str, instances: int = 1, readiness: Probe = READY) -> list[Instance]:
        """Begin a revision's instances, admit them and wait until Envoy finds them healthy."""
        begun = [await self.instance(name) for _ in range(instances)]
        await self.serve(revision(name, readiness), *begun)
        return begun

    async def serve(self, one: Revision, *instances: Instance) -> None:
        """Admit instances and wait until Envoy finds them healthy."""
        addresses = tuple(instance.address for instance in instances)
        await self.envoy.admit(one, addresses)
        await eventually(lambda: self._healthy(one.name, addresses))

    async def get(self, path: str = "/", user: str = "someone", headers: Headers = ()) -> Response:
        """Ask as a user does, on a connection of its own."""
        return await ask(f"127.0.0.1:{self.port}", path=path, headers=(("x-user", user), *headers), timeout=SOON)

    def secret(self, revisions: tuple[str, ...]) -> str:
        """Return what opens our own routes on the public port while a route names these revisions."""
        return Files(self.host, self.place / "envoy").secret(revisions)

    async def side_of(self, user: str, headers: Headers = ()) -> str:
        """Return which revision answers this user."""
        response = await self.get(user=user, headers=headers)
        assert response.status == 200, response
        return response.body.decode()

    async def users_of(self, revision: str, users: int) -> frozenset[int]:
        """Return which of so many users this revision answers."""
        async with Connection(f"127.0.0.1:{self.port}") as connection:
            found = set()
            for user in range(users):
                response = await connection.ask(headers=(("x-user", f"user-{user}"),), timeout=SOON)
                if response.body.decode() == revision:
                    found.add(user)
        return frozenset(found)

    async def counters(self, revision: str) -> Counters:
        """Return the revision's counters, with every answer's latency merged in."""
        await asyncio.sleep(1.2)  # Envoy gathers its workers' histograms once a second
        return (await self.metrics.read((revision,))).revisions[revision]["envoy"]

    async def end(self) -> None:
        """Stop everything."""
        await self.envoy.close(timedelta(0))
        for one in self.instances:
            await one.die()
        for other in self.others:
            await other.die()

    async def _healthy(self, name: str, addresses: tuple[str, ...]) -> bool:
        return frozenset(addresses) <= await self.envoy.healthy(name)


class Load:
    """Users who ask without pause, some on one connection, some on a new one each time, and remember what failed."""

    def __init__(self, port: int, users: int = 8) -> None:
        self._target, self._over = f"127.0.0.1:{port}", False
        self._tasks = [asyncio.ensure_future(self._user(n, n % 4 == 0)) for n in range(users)]
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []

    async def end(self) -> None:
        """Have the users finish what they asked."""
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _user(self, number: int, closes: bool) -> None:
        connection, turn = Connection(self._target), 0
        while not self._over:
            turn += 1
            try:
                headers = (("x-user", f"{number}-{turn}"),)
                response = await connection.ask(headers=headers, timeout=SOON)
                if response.status == 200:
                    self.answered[response.body.decode()] += 1
                else:
                    self.failed.append(f"{response.status} {response.body!r}")
            except HttpError as error:
                self.failed.append(str(error))
            if closes:
                connection.close()
        connection.close()


@asynccontextmanager
async def a_town(
    *, retries: bool = True, place: Path | None = None, front: SharedFront | None = None
) -> AsyncIterator[Town]:
    """Give a test its town, and leave nothing of it. The place has a short path, as sockets need."""
    where = place or Path(tempfile.mkdtemp(prefix="interlock-"))
    town = Town(where, retries=retries, front=front)
    try:
        yield town
    finally:
        await town.end()
        shutil.rmtree(where, ignore_errors=True)


def revision(name: str, readiness: Probe = READY) -> Revision:
    """Return a revision that differs from others by its artefact."""
    configuration = Configuration(("serve",), readiness=readiness)
    return Revision(name, "production", Release("web", name, Artefact(f"sha256:{name}", "here"), configuration, ""))


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds, for a generous time."""
    async with asyncio.timeout(SOON.total_seconds()):
        while not await holds():
            await asyncio.sleep(0.01)


def _plain(status: int, body: str) -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _length(head: str) -> int:
    lines = (line.partition(":") for line in head.splitlines()[1:])
    return next((int(value) for name, _, value in lines if name.lower() == "content-length"), 0)
