"""What do users see? Many of them, on kept connections and on new ones, and a record of all that failed.

A process of its own (`python -m bench.traffic PORT …`), so that nothing else holds users up: each line on its standard
input is answered by a line of counts, and its end ends the traffic. `Traffic` is its other end. Each user asks, waits
for the answer, and asks again when its next turn comes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.calls import Calls

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without a good answer: `kind` is its status, or what broke it.

    `side` is the version that answered, if any; `at` is when it failed, in seconds since 1970.
    """

    at: float
    path: str
    side: str
    kind: str
    kept: bool
    seconds: float


@dataclass(slots=True)
class Counts:
    """What came of all requests so far; `answered` is by version, and `last` when each version last answered."""

    answered: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    last: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """All requests that ended, well or not."""
        return self.answered.total() + len(self.failures)

    def failed_by(self, bad: Iterable[str], blame: Mapping[str, str]) -> tuple[list[Failure], list[Failure]]:
        """Return the failures of bad releases, and all others: those are failures by moving.

        A bad release is named by version (as answers are) or by revision, as in `blame`, which holds the revision that
        the proxy had chosen for a path when it answered in its place.
        """
        names = set(bad)
        own = [one for one in self.failures if (one.side or blame.get(one.path, "")) in names]
        return own, [one for one in self.failures if one not in own]


def blame(cuts: Path) -> dict[str, str]:
    """Read from the proxy's log of requests that went wrong which revision each path was for."""
    found = {}
    for file in (cuts.with_name(f"{cuts.name}.1"), cuts):
        with suppress(OSError):
            for line in file.read_bytes().splitlines():
                with suppress(ValueError, KeyError):
                    record = json.loads(line)
                    found[record["path"]] = record["cluster"] or ""
    return found


class Traffic:
    """Users in a process of their own, as an asynchronous context; `counts` holds all once it has ended."""

    def __init__(
        self, port: int, rate: float = 100, users: int = 20, patience: float = 15, *, grpc: bool = False
    ) -> None:
        self.counts = Counts()
        options = ("--rate", str(rate), "--users", str(users), "--patience", str(patience), *["--grpc"][: int(grpc)])
        self._argv = (sys.executable, "-m", "bench.traffic", str(port), *options)

    async def __aenter__(self) -> Traffic:
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        self._process = await asyncio.create_subprocess_exec(
            *self._argv, stdin=pipe, stdout=pipe, env=environment, limit=1 << 26
        )
        await self.flows()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> Counts:
        """Let every user finish what was asked; return all counts."""
        if self._process.returncode is None:
            output, _ = await self._process.communicate(b"")  # Python 3.11 closes nothing without input
            self.counts = _read(output)
        return self.counts

    async def look(self) -> Counts:
        """Return what was counted until now."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(b"look\n")
        self.counts = _read(await self._process.stdout.readline())
        return self.counts

    async def flows(self, side: str = "", within: float = 20) -> None:
        """Wait until a version (any, when none is named) answers users."""
        since = time.time()
        while self.counts.last.get(side, 0) < since if side else not self.counts.requests:
            await asyncio.sleep(0.05)
            await self.look()
            if time.time() - since > within:
                raise TimeoutError(f"no answer by {side or 'anybody'} within {within:g} s: {self.counts}")


def _read(line: bytes) -> Counts:
    read = json.loads(line)
    failures = [Failure(**one) for one in read["failures"]]
    return Counts(Counter(read["answered"]), read["kept"], read["last"], failures)


class _Answer(asyncio.Protocol):
    """One connection of one user; `answered` is resolved once for each request."""

    transport: asyncio.Transport
    answered: asyncio.Future[tuple[str, str]]
    _received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, path: str, keeps: bool) -> asyncio.Future[tuple[str, str]]:
        self._received = b""
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(_request(path, keeps))
        return self.answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        length = int(_header(head, b"content-length") or 0)
        if len(self._received) >= end + 4 + length and not self.answered.done():
            self.answered.set_result((head[9:12].decode(), _header(head, b"x-version")))

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self, "answered") and not self.answered.done():
            self.answered.set_exception(error or EOFError())

    @property
    def usable(self) -> bool:
        return not self.transport.is_closing()


def _header(head: bytes, name: bytes) -> str:
    at = head.find(b"\r\n" + name + b":")
    return "" if at < 0 else head[at + 3 + len(name) :].split(b"\r\n", 1)[0].strip().decode()


class _Users:
    """The users of one process."""

    def __init__(
        self, port: int, rate: float, users: int, patience: float, speak: Callable[[], _Answer | Calls]
    ) -> None:
        self._port, self._users, self._every, self._patience = port, users, users / rate, patience
        self._speak = speak
        self._token, self._number = f"{os.getpid():x}{random.randrange(1 << 16):x}", 0
        self._over = asyncio.Event()
        self.counts = Counts()

    async def run(self) -> None:
        """Ask until told to end."""
        await asyncio.gather(*(self._user(number) for number in range(self._users)))

    def end(self) -> None:
        """Let each user finish what it has asked."""
        self._over.set()

    async def _user(self, number: int) -> None:
        keeps = number % 2 == 0
        connection: _Answer | Calls | None = None
        turn = asyncio.get_running_loop().time() + self._every * random.random()
        while await self._wait(turn):
            turn = max(turn + self._every, asyncio.get_running_loop().time())
            connection = await self._turn(connection, keeps)
        if connection is not None:
            connection.transport.close()

    async def _wait(self, turn: float) -> bool:
        if (pause := turn - asyncio.get_running_loop().time()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause)
        return not self._over.is_set()

    async def _turn(self, connection: _Answer | Calls | None, keeps: bool) -> _Answer | Calls | None:
        """Ask once; return the connection for the next time, if there is to be one."""
        self._number += 1
        path, began = f"/r/{self._token}-{self._number}", time.time()
        try:
            async with asyncio.timeout(self._patience):
                if connection is None or not connection.usable:
                    loop = asyncio.get_running_loop()
                    _, connection = await loop.create_connection(self._speak, "127.0.0.1", self._port)
                status, side = await connection.ask(path, keeps)
        except (OSError, EOFError, TimeoutError) as error:
            kind = {EOFError: "closed", TimeoutError: "timed out"}.get(type(error), type(error).__name__)
            self._failed(began, path, "", kind, keeps)
            status = ""
        else:
            if status == "200":
                self.counts.answered[side] += 1
                self.counts.kept += keeps
                self.counts.last[side] = time.time()
            else:
                self._failed(began, path, side, status, keeps)
        if connection is not None and not (keeps and status):
            connection.transport.close()
            return None
        return connection

    def _failed(self, began: float, path: str, side: str, kind: str, kept: bool) -> None:
        now = time.time()
        self.counts.failures.append(Failure(now, path, side, kind, kept, now - began))


def _request(path: str, keeps: bool) -> bytes:
    user = random.randrange(10_000)
    close = "" if keeps else "Connection: close\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\nX-User: u{user}\r\n{close}\r\n".encode()


async def _serve(users: _Users) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    asking = asyncio.ensure_future(users.run())
    while await lines.readline():
        _say(users.counts)
    users.end()
    await asking
    _say(users.counts)


def _say(counts: Counts) -> None:
    failures = [asdict(one) for one in counts.failures]
    record = {"answered": counts.answered, "kept": counts.kept, "last": counts.last, "failures": failures}
    print(json.dumps(record), flush=True)


def main() -> None:
    """Be the users."""
    parser = argparse.ArgumentParser(description="users of a service on a port of this machine")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=100, help="requests a second, of all users together")
    parser.add_argument("--users", type=int, default=20, help="half of them keep their connection")
    parser.add_argument("--patience", type=float, default=15, help="seconds after which a user gives up")
    parser.add_argument("--grpc", action="store_true", help="users call by gRPC, and do not ask by HTTP/1.1")
    chosen = parser.parse_args()
    speak: Callable[[], _Answer | Calls] = Calls if chosen.grpc else _Answer

    async def all_day() -> None:
        await _serve(_Users(chosen.port, chosen.rate, chosen.users, chosen.patience, speak))

    asyncio.run(all_day())


if __name__ == "__main__":
    main()
