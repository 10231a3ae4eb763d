"""What exactly is being released, and how does it run as one side of an environment?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from interlock.core.container import Container
from interlock.core.health import Identify, Probe, ProbeKind, SmokeTest
from interlock.core.record import plain


@dataclass(frozen=True, slots=True)
class Artefact:
    """An immutable build: its content's digest (``sha256:…``), and where it came from in words.

    An image's is the digest that its registry has for it, and its source its full name with that digest (see
    `core.image`). `commit` is the whole name of the commit that it was made from; empty where that was a directory.
    `log` is the file of its build's log, where one was kept.
    """

    digest: str
    source: str
    commit: str = ""
    log: str = ""


class StickyBy(StrEnum):
    """What keeps a user on one side while the weight stands."""

    NOTHING = "nothing"
    HEADER = "header"
    COOKIE = "cookie"
    SOURCE_ADDRESS = "source-address"


@dataclass(frozen=True, slots=True)
class Sticky:
    """The key by which users are assigned to hash buckets; `name` is the header's or the cookie's name.

    `trusted_hops` is how many proxies in front of ours append to X-Forwarded-For and are believed.
    """

    by: StickyBy = StickyBy.NOTHING
    name: str = ""
    trusted_hops: int = 0


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files of a certificate (with its chain) and of its key, by absolute paths."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Front:
    """What is shared of a public port: users who ask for one of these names and paths are an environment's.

    No name is every name, no path every path. `strip` takes the path off before an instance sees it. With `tls` users
    come by TLS; from the plain port `redirect` they are sent there (0: there is none).
    """

    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    strip: bool = False
    tls: Tls | None = None
    redirect: int = 0


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where users of one environment come in, and how their requests are carried.

    `port` is the public listener's, on `address`; with a `front` it is shared with others. A request is given up, and
    counted as a failure of the side that had it, when the instance sends nothing for `request_timeout`; a stream
    without a byte for `idle_timeout` is closed. `hosts` are the machines, each with such an entrance; none is this one.
    """

    port: int
    address: str = "127.0.0.1"
    sticky: Sticky = Sticky()
    request_timeout: timedelta = timedelta(seconds=30)
    idle_timeout: timedelta = timedelta(minutes=5)
    front: Front | None = None
    hosts: tuple[str, ...] = ()


class Protocol(StrEnum):
    """What an instance speaks on its port. `h2c` is HTTP/2 without TLS, begun at once; gRPC is spoken over it."""

    HTTP1 = "http1"
    H2C = "h2c"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class Configuration:
    """How a release runs in one environment.

    `command` is the argv of one instance, run in the artefact's directory; the port to listen on is in `PORT`.
    `secrets` are (variable, keyed fingerprint): the values stay in the state directory and never in a record.
    `memory_max` is in bytes of resident memory. With a `container` it runs as one, `command` () is the image's own, and
    the port is the container's. `unhealthy_after` failed liveness probes in a row end an instance.
    """

    command: tuple[str, ...]
    instances: int = 1
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    readiness: Probe = Probe()
    liveness: Probe | None = None
    memory_max: int | None = None
    unhealthy_after: int = 3
    identify: Identify | None = None
    smoke_tests: tuple[SmokeTest, ...] = ()
    start_within: timedelta = timedelta(seconds=60)
    drain_within: timedelta = timedelta(seconds=30)
    stop_within: timedelta = timedelta(seconds=10)
    protocol: Protocol = Protocol.HTTP1
    container: Container | None = None

    @property
    def speaks_http2(self) -> bool:
        """Whether instances are spoken to by HTTP/2; before there was `protocol`, only the readiness probe told."""
        return self.protocol is not Protocol.HTTP1 or self.readiness.kind is ProbeKind.GRPC


@dataclass(frozen=True, slots=True)
class Release:
    """The intent: one artefact with one configuration, for one environment.

    `common` is the fingerprint of the configuration that does not differ by environment: what staging proves.
    `identity` names the whole: quarantine, approvals and "proven healthy" name it.
    """

    service: str
    version: str
    artefact: Artefact
    configuration: Configuration
    common: str

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits over artefact digest and configuration; the version's name is not part of it."""
        return fingerprint({"artefact": self.artefact.digest, "configuration": naming(self.configuration)})

    @property
    def proven_as(self) -> str:
        """The name of what staging proves for production: artefact digest and common configuration."""
        return fingerprint({"artefact": self.artefact.digest, "common": self.common})


@dataclass(frozen=True, slots=True)
class Revision:
    """A release running as one side of an environment, under a name of its own for clusters, endpoints and counters."""

    name: str
    environment: str
    release: Release

    @property
    def offset(self) -> int:
        """The first of the 10,000 hash buckets of this release's users, the same at each weight (see `Route`)."""
        return int(hashlib.sha256(self.release.identity.encode()).hexdigest(), 16) % 10_000


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a revision, as last observed.

    `address` is host:port. `ready` is the verdict of our own readiness probe, `reason` why it is not.
    """

    revision: str
    slot: int
    address: str
    alive: bool
    ready: bool
    restarts: int = 0
    reason: str = ""
    process: str = field(default="", compare=False)


def naming(value: object) -> Any:
    """Return the plain JSON by which a value is named.

    Fields that came later are not in it at the values that were meant before: what has a name keeps it.
    """
    return _without_later(plain(value))


_LATER = (("protocol", Protocol.HTTP1.value), ("grpc", None), ("container", None))

# Whoever pulls an image: it is the same image.
_UNNAMED = frozenset({"login"})


def _without_later(record: Any) -> Any:
    if isinstance(record, dict):
        kept = {key: item for key, item in record.items() if key not in _UNNAMED and (key, item) not in _LATER}
        return {key: _without_later(item) for key, item in kept.items()}
    return [_without_later(item) for item in record] if isinstance(record, list) else record


def fingerprint(value: object) -> str:
    """Return sixteen hexadecimal digits that name `value`, which must be plain JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
