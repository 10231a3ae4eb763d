"""A mail server that keeps what it is given, and a receiver of webhooks: real sockets, for tests.

The mail server speaks as much SMTP as smtplib asks for. What it does wrong is chosen by `manners`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any


@dataclass
class MailSink:
    """Keeps mail. `manners`: "cut" loses the connection after it has kept a message, before it says so; "hang" says
    nothing at all; "later" and "never" answer a message with 451 and 554. `refuses` names people with a code."""

    manners: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    refuses: dict[str, int] = field(default_factory=dict)
    takers: list[list[str]] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._talk(reader, writer)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        if self.manners == "hang":
            await reader.read()
            return
        say("220 sink")
        while line := (await reader.readline()).decode().strip():
            match line.split()[0].upper():
                case "EHLO":
                    say("250-sink")
                    say("250 AUTH PLAIN")
                case "AUTH":
                    self.logins.append(base64.b64decode(line.split()[-1]).decode())
                    say("235 welcome" if self.manners != "stranger" else "535 who are you?")
                case "MAIL":
                    self.takers.append([])
                    say("250 fine")
                case "RCPT":
                    who = line.partition("<")[2].partition(">")[0]
                    self.takers[-1] += [who] if who not in self.refuses else []
                    say(f"{self.refuses.get(who, 250)} {who}")
                case "DATA":
                    say("354 go on")
                    if not await self._data(reader, say):
                        return
                case "QUIT":
                    say("221 bye")
                    return
                case _:
                    say("250 fine")

    async def _data(self, reader: asyncio.StreamReader, say: Any) -> bool:
        content = await reader.readuntil(b"\r\n.\r\n")
        if self.manners in ("later", "never"):
            say("451 not now" if self.manners == "later" else "554 not such a thing")
            return True
        self.mails.append(message_from_bytes(content[:-3].replace(b"\r\n..", b"\r\n."), policy=policy.default))
        if self.manners == "cut":
            self.manners = ""
            return False
        say("250 kept")
        return True


@dataclass
class Receiver:
    """Takes webhooks and checks their signature. With `honours` it shows each id once; `status` is what it answers."""

    key: bytes = b""
    honours: bool = True
    status: int = 202
    manners: str = ""
    shown: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in head[1:] if one)}
            body = await reader.readexactly(int(headers["content-length"]))
            if self.manners == "hang":
                await reader.read()
            self._take(headers, body)
            if self.manners != "cut":
                writer.write(f"HTTP/1.1 {self.status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
            self.manners = ""

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        if not 200 <= self.status < 300:
            return
        if self.key:
            assert verified(headers, body, self.key), "the signature is wrong"
        event = json.loads(body)
        assert headers["webhook-id"] == event["id"]
        if self.honours and event["id"] in self.seen:
            return
        self.seen.add(event["id"])
        self.headers.append(headers)
        self.shown.append(event)


def verified(headers: dict[str, str], body: bytes, key: bytes) -> bool:
    """Check a signature as the manual says."""
    id, at = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(at)) > 300:
        return False
    signed = f"{id}.{at}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [one.removeprefix("v1,") for one in headers["webhook-signature"].split() if one.startswith("v1,")]
    return any(hmac.compare_digest(one, expected) for one in given)


@asynccontextmanager
async def listening(what: MailSink | Receiver, port: int = 0) -> AsyncIterator[int]:
    """Have it listen on 127.0.0.1; yield the port."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            try:
                await what.serve(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", port, limit=1 << 22)
    what.port = server.sockets[0].getsockname()[1]
    try:
        yield what.port
    finally:
        server.close()
        await asyncio.wait(talks, timeout=1) if talks else None
        for one in talks:
            one.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
