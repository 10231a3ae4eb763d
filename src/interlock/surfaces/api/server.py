"""How does the site listen, and how is nobody able to hold it up?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from interlock.app.verbs import App
from interlock.surfaces.api.site import application

HEAD_WITHIN = timedelta(seconds=10)
"""So long the head of a first request may take to arrive."""

LONGEST_HEAD = 16 * 1024
AT_ONCE = 100
"""So many connections are served at a time; one more is told to come again."""


class ListenError(Exception):
    """Nobody can be served at that address; the message says why."""


class Impatient(H11Protocol):
    """Closes a connection on which nothing whole was asked in time, which uvicorn would keep for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEAD_WITHIN.total_seconds(), self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


async def serve(app: App, address: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is told the address. Raises ListenError.

    Nothing is logged of who asks what: addresses hold tokens.
    """
    with _listening(address, port) as listener:
        ready(_address(listener))
        settings: dict[str, Any] = {
            "http": Impatient,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "h11_max_incomplete_event_size": LONGEST_HEAD,
            "limit_concurrency": AT_ONCE,
            "timeout_keep_alive": 5,
            "timeout_graceful_shutdown": 5,
            "backlog": 64,
        }
        await Server(Config(application(app), **settings)).serve(sockets=[listener])


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise ListenError(f"nobody can listen on {address}, port {port}: {error.strerror or error}") from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
