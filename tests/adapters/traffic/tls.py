"""What do tests of TLS need? Certificates made on the spot, and users who come by TLS."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from tests.adapters.traffic.town import SOON

from interlock.core.release import Tls


def certificate(place: Path, *names: str, days: int = 30, stem: str = "shop") -> Tls:
    """Make a certificate for these names that nobody has signed but itself, under the same file names each time."""
    certificate, key = place / f"{stem}.pem", place / f"{stem}.key"
    fresh, other = certificate.with_suffix(".pem.new"), key.with_suffix(".key.new")
    san = ",".join(f"DNS:{name}" for name in names)
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    more = ["-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={san}", "-days", str(days)]
    subprocess.run([*made, *more, "-keyout", str(other), "-out", str(fresh)], check=True, capture_output=True)
    other.replace(key)
    fresh.replace(certificate)
    return Tls(str(certificate), str(key))


@dataclass(frozen=True)
class Answer:
    """What came back: status, body, and the certificate that was shown."""

    status: int
    body: str
    shown: bytes
    protocol: str
    location: str = ""


def context(*trusted: Tls, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
    """Return a client that trusts these certificates only, and checks names and dates as browsers do."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for one in trusted:
        made.load_verify_locations(one.certificate)
    made.set_alpn_protocols(list(alpn))
    return made


async def get(port: int, name: str, path: str = "/", *trusted: Tls, more: str = "") -> Answer:
    """Ask by HTTP/1.1, with TLS when something is trusted, on a connection of its own."""
    tls = context(*trusted) if trusted else None
    async with asyncio.timeout(SOON.total_seconds()):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name if trusted else None
        )
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n{more}\r\n".encode())
            text = (await reader.read()).decode("latin-1")
            return _answer(text, writer.get_extra_info("ssl_object"))
        finally:
            writer.transport.abort()


def _answer(text: str, tls: ssl.SSLObject | None) -> Answer:
    head, _, body = text.partition("\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
    shown = (tls.getpeercert(binary_form=True) if tls else b"") or b""
    protocol = (tls.selected_alpn_protocol() if tls else "") or ""
    return Answer(int(head.split()[1]), body, shown, protocol, headers.get("location", ""))


async def call(port: int, name: str, path: str, tls: Tls) -> dict[str, str]:
    """Call by gRPC over TLS; return headers and trailers together."""
    async with asyncio.timeout(SOON.total_seconds()):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context(tls, alpn=("h2",)), server_hostname=name
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        headers = [(":method", "POST"), (":scheme", "https"), (":authority", name), (":path", path)]
        connection.send_headers(1, [*headers, ("content-type", "application/grpc"), ("te", "trailers")])
        connection.send_data(1, b"\0\0\0\0\0", end_stream=True)
        writer.write(connection.data_to_send())
        found: dict[str, str] = {}
        try:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                        found |= {str(key): str(value) for key, value in event.headers or ()}
                    if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                        return found
                writer.write(connection.data_to_send())
        finally:
            writer.transport.abort()
    return found


class TlsLoad:
    """Users who ask by TLS without pause: some keep their connection, some open one each time."""

    def __init__(self, port: int, name: str, *trusted: Tls, users: int = 4) -> None:
        self._port, self._name, self._context = port, name, context(*trusted)
        self.answered: Counter[str] = Counter()
        self.shown: set[bytes] = set()
        self.failed: list[str] = []
        self._over = False
        self._tasks = [asyncio.ensure_future(self._user(n % 2 == 0)) for n in range(users)]

    def trust(self, one: Tls) -> None:
        """Trust another certificate from now on, besides."""
        self._context.load_verify_locations(one.certificate)

    async def end(self) -> None:
        """Have the users finish what they asked."""
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _user(self, keeps: bool) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._over:
            try:
                async with asyncio.timeout(SOON.total_seconds()):
                    streams = streams or await self._connect()
                    await self._ask(*streams)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as problem:
                self.failed.append(repr(problem))
                await asyncio.sleep(0.05)
                streams = None
            if streams and not keeps:
                streams[1].close()
                with suppress(OSError, ssl.SSLError):
                    await streams[1].wait_closed()
                streams = None
        if streams:
            streams[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        streams = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context, server_hostname=self._name)
        self.shown.add(streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True))
        return streams

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"GET / HTTP/1.1\r\nHost: {self._name}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        body = await reader.readexactly(int(head.split("content-length: ")[1].split()[0]))
        if head.split()[1] != "200":
            self.failed.append(f"{head.split()[1]} {body!r}")
        self.answered[body.decode()] += 1
        await asyncio.sleep(0.005)
