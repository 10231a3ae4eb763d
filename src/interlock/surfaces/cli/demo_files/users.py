"""What do the shop's users see? So many requests a second, and a record of every one that failed.

A program of its own, which nothing else holds up: `users.py PORT RATE`. A line on its standard input is answered by a
line of counts, the input's end ends it. Requests come at their times whether or not others have been answered. Each is
by one of ten thousand users, who stay on their side; half come on kept connections, half on new ones, closed by each.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

USERS = 10_000
GIVEN_UP_AFTER = 10.0


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    transport: asyncio.Transport
    answered: asyncio.Future[tuple[str, str]]
    received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[tuple[str, str]]:
        """Send a request; the future has the answer's status and version."""
        self.received, self.answered = b"", asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank or len(body) < int(header(head, b"content-length") or 0) or self.answered.done():
            return
        self.answered.set_result((head[9:12].decode(), header(head, b"x-version")))

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self, "answered") and not self.answered.done():
            self.answered.set_exception(error or EOFError())


def header(head: bytes, name: bytes) -> str:
    """Return a header's value, "" when it is not there."""
    _, found, rest = head.lower().partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip().decode() if found else ""


class Users:
    """All users, and what came of their requests."""

    def __init__(self, port: int, rate: float) -> None:
        self.port, self.rate = port, rate
        self.idle: list[Connection] = []
        self.asking: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.answered: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self.failures: list[tuple[float, str, str]] = []

    async def come(self, leave: asyncio.Event) -> None:
        """Ask at the rate until it is time to leave, then wait for the last answers."""
        clock = asyncio.get_running_loop().time
        turn = clock()
        while not leave.is_set():
            turn += 1 / self.rate
            await asyncio.sleep(max(0.0, turn - clock()))
            task = asyncio.create_task(self.ask(keep=self.sent % 2 == 0))
            self.sent += 1
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)
        await asyncio.gather(*self.asking)

    async def ask(self, *, keep: bool) -> None:
        """Ask once, and write down what came of it: nobody is told twice, no request is tried again."""
        connection: Connection | None = None
        status = side = ""
        try:
            async with asyncio.timeout(GIVEN_UP_AFTER):
                connection = await self.connected(keep=keep)
                close = "" if keep else "Connection: close\r\n"
                user = random.randrange(USERS)
                status, side = await connection.ask(
                    f"GET /order HTTP/1.1\r\nHost: shop\r\nX-User: {user}\r\n{close}\r\n".encode()
                )
        except (OSError, EOFError, TimeoutError) as error:
            status = {EOFError: "closed", TimeoutError: "timed out"}.get(type(error), type(error).__name__)
            keep = False
        self.note(status, side)
        if connection is not None and keep and not connection.transport.is_closing():
            self.idle.append(connection)
        elif connection is not None:
            connection.transport.close()

    async def connected(self, *, keep: bool) -> Connection:
        """Return a kept connection that is free, else a new one."""
        while keep and self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                return connection
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, "127.0.0.1", self.port))[1]

    def note(self, status: str, side: str) -> None:
        """Count an answer, or name a failure: when, by which version if one answered, and how."""
        if side:
            self.last[side] = time.time()
        if status == "200":
            self.answered[side] += 1
        else:
            self.failures.append((time.time(), side, status))

    def counts(self) -> dict[str, Any]:
        """Return everything so far."""
        return {"answered": self.answered, "last": self.last, "failures": self.failures, "at": time.time()}


async def main(port: int, rate: float) -> None:
    """Be the users until the standard input ends."""
    lines, leave = asyncio.StreamReader(), asyncio.Event()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    users = Users(port, rate)
    coming = asyncio.create_task(users.come(leave))
    while await lines.readline():
        print(json.dumps(users.counts()), flush=True)
    leave.set()
    await coming
    with suppress(BrokenPipeError):
        print(json.dumps(users.counts()), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us, also when Ctrl-C goes to all of us
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
