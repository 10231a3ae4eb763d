"""How do we send requests at an even pace to a preview of our own proxy? The port `Loader`, over HTTP/1.1.

The pace is open: when a request begins does not depend on how long those before it take, or a slow release would be
asked less and look better than it is.
"""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import suppress
from datetime import timedelta
from itertools import cycle, islice
from urllib.parse import urlsplit

from interlock.adapters.http import Connection, HttpError
from interlock.core.load import GRPC
from interlock.core.steps import Load
from interlock.ports.load import LoadError

AT_A_TIME = 200
"""So many requests may be under way to one side."""

# A pause of ours is made good at once only for so long: what was missed before is sent later, never in one heap.
_CATCHES_UP = 0.25
_USER_AGENT = "interlock-load"
# A method is called with an empty message, by HTTP/1.1 as far as Envoy, which counts how the call ended.
_CALL, _EMPTY = (("Content-Type", "application/grpc"), ("TE", "trailers")), b"\0\0\0\0\0"


class LoopbackLoader:
    """Sends from this very process, on connections that are kept open and used again."""

    async def send(self, preview: str, load: Load, requests: int, patience: timedelta) -> None:
        """See the port."""
        sender = _Sender(_loopback(preview), load, patience)
        try:
            async with asyncio.TaskGroup() as asked:
                await sender.pace(asked, requests)
        finally:
            sender.close()


class _Sender:
    """Asks one side; a connection is used for one request at a time."""

    def __init__(self, target: str, load: Load, patience: timedelta) -> None:
        self._target, self._load, self._patience = target, load, patience
        calls = load.method == GRPC
        self._method, self._body = ("POST", _EMPTY) if calls else (load.method, b"")
        self._headers = (("User-Agent", _USER_AGENT), *(_CALL if calls else ()))
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(AT_A_TIME)

    async def pace(self, asked: asyncio.TaskGroup, requests: int) -> None:
        """Begin one request after another, each when its time has come."""
        loop, interval = asyncio.get_running_loop(), 1.0 / self._load.rate
        due = loop.time()
        for path in islice(cycle(self._load.paths), requests):
            await self._free.acquire()
            due = max(due, loop.time() - _CATCHES_UP)
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            asked.create_task(self._ask(path))
            due += interval

    async def _ask(self, path: str) -> None:
        connection = self._idle.pop() if self._idle else Connection(self._target)
        try:
            with suppress(HttpError):  # the proxy has counted it, if it came that far
                await connection.ask(self._method, path, self._headers, self._body, timeout=self._patience)
            self._idle.append(connection)
        except BaseException:
            connection.close()
            raise
        finally:
            self._free.release()

    def close(self) -> None:
        """Close what is still open."""
        for connection in self._idle:
            connection.close()


def _loopback(preview: str) -> str:
    """Return the preview's "host:port"; raise LoadError when that is not on this machine."""
    parts = urlsplit(preview)
    try:
        local = ipaddress.ip_address(parts.hostname or "").is_loopback and parts.port is not None
    except ValueError:
        local = False
    if not local or parts.scheme != "http":
        raise LoadError(f"expected a preview on this machine such as http://127.0.0.1:20001, found {preview}")
    return parts.netloc
