"""How do agents come in over HTTP? On this machine only, and with a token that lies in a file of the local user's."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from interlock.app.state import StateDirectory
from interlock.surfaces.mcp.server import NAME

HOST, PATH = "127.0.0.1", "/mcp"
_SCHEME = b"bearer "


class TokenError(Exception):
    """The token cannot be kept as it must be; the message says why and what to do."""


def token_of(state: StateDirectory, *, new: bool = False) -> str:
    """Return the token, made when there is none or a `new` one is wanted; raise TokenError when others may read it."""
    state.make()
    if new:
        state.mcp_token.unlink(missing_ok=True)
    if not state.mcp_token.exists():
        _write(state.mcp_token, secrets.token_urlsafe(32))
    found = state.mcp_token.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise TokenError(f"{state.mcp_token} can be read by others: chmod 600 it, or make a new one with --new-token")
    token = state.mcp_token.read_text().strip()
    if len(token) < 32:
        raise TokenError(f"{state.mcp_token} holds no token of ours: make a new one with --new-token")
    return token


class Guarded:
    """Lets nobody in without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(scope):
            await _unauthorised(send)
            return
        await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if len(given) != 1 or not given[0].lower().startswith(_SCHEME):
            return False
        return hmac.compare_digest(given[0][len(_SCHEME) :].strip(), self._token)


def listen(port: int) -> socket.socket:
    """Open the port, any free one for 0; raises OSError when it is taken."""
    line = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio lets answers wait
    line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        line.bind((HOST, port))
        line.listen(128)
    except OSError:
        line.close()
        raise
    return line


def address_of(line: socket.socket) -> str:
    """Return where clients come in."""
    return f"http://{HOST}:{line.getsockname()[1]}{PATH}"


async def serve(server: Any, line: socket.socket, token: str) -> None:
    """Serve until told to stop. No request is logged: its headers hold the token."""
    app = Guarded(server.streamable_http_app(streamable_http_path=PATH, host=HOST), token)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, log_level="warning", timeout_graceful_shutdown=5, server_header=False
    )
    await uvicorn.Server(config).serve(sockets=[line])


async def _unauthorised(send: Send) -> None:
    body = b"the token is missing or wrong: send Authorization: Bearer TOKEN, with the content of the file mcp-token\n"
    headers = [(b"content-type", b"text/plain"), (b"www-authenticate", f'Bearer realm="{NAME}"'.encode())]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _write(path: Path, text: str) -> None:
    """Write a file that was never readable by others."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    beside.replace(path)
