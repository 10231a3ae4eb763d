"""How does a command speak with the keeper? One JSON line each way over a unix socket that only its user may open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from interlock.adapters.inquiry import question, result, unreachable

LONGEST = 16 * 1024 * 1024

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]


async def ask(path: Path, verb: str, arguments: dict[str, Any], within: timedelta) -> Any:
    """Ask the keeper one thing; raise Unreachable when nobody answers in time, Rejected when it says no."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LONGEST)
            try:
                writer.write(question(verb, arguments))
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise unreachable(path, error) from error
    return result(path, line)


@contextlib.asynccontextmanager
async def serve(path: Path, answer: Answer) -> Any:
    """Answer questions on the socket while the block lasts; only this user and root are heard."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _peer(writer) not in (os.getuid(), 0):
                return
            while line := await reader.readline():
                writer.write(json.dumps(await _reply(answer, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(conversation, str(path), limit=LONGEST)
    path.chmod(0o600)
    try:
        yield server
    finally:
        server.close()


async def _reply(answer: Answer, line: bytes) -> dict[str, Any]:
    try:
        question = json.loads(line)
        return {"result": await answer(question["verb"], question["arguments"])}
    except Exception as error:  # whatever goes wrong is told to who asked; the keeper lives on
        return {"error": {"kind": type(error).__name__, "message": str(error)}}


def _peer(writer: asyncio.StreamWriter) -> int:
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", raw)[1]
    return uid
