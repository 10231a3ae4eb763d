"""A tiny service that behaves as the file beside it says. It needs nothing but the standard library, and starts fast.

`manners.json` holds: `version`; `says`, the version its answers claim (else the same); `errors`, the share of requests
answered 500 once it has had `errors_after` of them; `latency`, seconds for an answer; `hangs`, whether it answers no
user; `dies_after`, so many users' requests; `start`, seconds until it listens, in all slots `from_slot` on; `crashes`,
whether it ends before that; `sick`, whether it is never ready; `stubborn`, whether it ignores SIGTERM; `spread`, the
deviation of the logarithm of its latency, whose median is `latency` then; `outage`, two numbers of seconds: it fails
all users in the last so many of every so many by the clock; `flag`, a file in flagd's format, and `flag_errors`, the
share of failed requests among those of the users to whom its `new_feature` gives the feature.

Paths: /healthz and /smoke, which are always answered well, /slow/SECONDS, /stream/SECONDS, all others. With ACCEPTS in
its environment, it appends the time of each user's request to that file, and with BADS the time of each that it fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

MANNERS: dict[str, Any] = json.loads((Path(__file__).parent / "manners.json").read_text())
VERSION: str = MANNERS["version"]


def _log(variable: str) -> int:
    file = os.environ.get(variable)
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if file else -1


_accepts, _bads = _log("ACCEPTS"), _log("BADS")
_served = 0


class Conversation(asyncio.Protocol):
    """One connection: HTTP/1.1 without bodies of requests, one request after the other."""

    transport: asyncio.Transport
    _received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            line = head[: head.find(b"\r\n")]
            self._received = self._received[end + 4 :]
            self._begin(line.split(b" ")[1].partition(b"?")[0].decode(), head)

    def _begin(self, path: str, head: bytes) -> None:
        if path in ("/healthz", "/smoke"):
            self._answer("503 Sick" if MANNERS.get("sick") else "200 OK")
            return
        _count()
        kind, _, seconds = path.removeprefix("/").partition("/")
        if MANNERS.get("hangs"):
            _write(_bads)
            return
        if kind == "stream":
            self._stream(float(seconds))
            return
        fails = _served > MANNERS.get("errors_after", 0) and random.random() < MANNERS.get("errors", 0)
        fails = fails or _in_outage() or (_has_the_feature(head) and random.random() < MANNERS["flag_errors"])
        if fails:
            _write(_bads)
        status = "500 Oops" if fails else "200 OK"
        later = float(seconds) if kind == "slow" else _latency()
        asyncio.get_running_loop().call_later(later, self._answer, status)

    def _answer(self, status: str) -> None:
        body = json.dumps({"version": says(), "database": "ok"})
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Version: {says()}\r\n"
        self._write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    def _stream(self, seconds: float) -> None:
        self._write(f"HTTP/1.1 200 OK\r\nX-Version: {says()}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        self._go_on(time.monotonic() + seconds)

    def _go_on(self, until: float) -> None:
        if time.monotonic() >= until:
            self._write(b"0\r\n\r\n")
            return
        self._write(b"5\r\ntick\n\r\n")
        asyncio.get_running_loop().call_later(0.1, self._go_on, until)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


def says() -> str:
    """Return the version that answers claim."""
    return str(MANNERS.get("says", VERSION))


def _latency() -> float:
    usual = float(MANNERS.get("latency", 0.02))
    if "spread" in MANNERS:
        return usual * random.lognormvariate(0, MANNERS["spread"])
    return usual * random.uniform(0.75, 1.25)


def _has_the_feature(head: bytes) -> bool:
    """Say whether the flag gives this request's user the feature, by the file as it is now."""
    if "flag" not in MANNERS:
        return False
    flag = json.loads(Path(MANNERS["flag"]).read_text())["flags"]["new_feature"]
    if flag["state"] != "ENABLED":
        return False
    user = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"x-user:")), b"")
    shares = dict(flag["targeting"]["fractional"])
    return zlib.crc32(user) % 100 < int(shares["on"])


def _in_outage() -> bool:
    every, lasting = map(float, MANNERS.get("outage", (1, 0)))
    return time.time() % every >= every - lasting if lasting else False


def _write(log: int) -> None:
    if log >= 0:
        os.write(log, struct.pack("<d", time.time()))


def _count() -> None:
    global _served
    _served += 1
    _write(_accepts)
    if _served >= MANNERS.get("dies_after", sys.maxsize):
        print("fatal: as asked", flush=True)
        os._exit(3)


async def serve() -> None:
    """Listen where we are told, as late as our manners say."""
    if MANNERS.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif os.getpid() == 1:  # alone in a container: whoever says nothing of SIGTERM there is deaf to it
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if int(os.environ["INTERLOCK_SLOT"]) >= MANNERS.get("from_slot", 0):
        await asyncio.sleep(MANNERS.get("start", 0))
    if MANNERS.get("crashes"):
        print(f"fatal: no such database: {os.environ.get('PASSWORD', '')}", flush=True)
        sys.exit(4)
    server = await asyncio.get_running_loop().create_server(
        Conversation, os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"]), backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    print(f"{VERSION} starts", flush=True)
    asyncio.run(serve())
