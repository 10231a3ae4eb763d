"""How do we ask an instance whether it can take traffic, whether it lives, and which release it is?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

GRPC_HEALTH = "/grpc.health.v1.Health/Check"
"""The method by which a gRPC service is asked for its health; an empty message asks for the server as a whole."""


class ProbeKind(StrEnum):
    """How a probe reaches the instance."""

    HTTP = "http"
    TCP = "tcp"
    GRPC = "grpc"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to one instance.

    `http` asks for `path` and wants a status in 200..399 and, in a JSON body, each of `fields` (dotted name, expected
    value) equal; `tcp` connects; `grpc` calls grpc.health.v1.Health/Check for service `path`; `command` runs argv in
    the artefact's directory with the instance's environment and wants exit status 0.
    """

    kind: ProbeKind = ProbeKind.HTTP
    path: str = "/"
    fields: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    timeout: timedelta = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Identify:
    """Where an answer says which release gave it: a response header, or a dotted field of a JSON body.

    A gRPC service is called instead of asked: `path` is the method, called with an empty message, "/" the health check.
    """

    header: str | None = None
    field: str | None = None
    path: str = "/"


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """One check of a revision before it gets traffic.

    An HTTP test asks `path` through the preview route and wants `status`, every one of `fields` in the JSON body, and
    `matches` (a regular expression) somewhere in the body; a gRPC test calls grpc.health.v1.Health/Check for service
    `grpc` ("" is the whole server) there; a command test runs `command` with INTERLOCK_PREVIEW_URL in its environment
    and wants exit status 0.
    """

    name: str
    path: str = "/"
    method: str = "GET"
    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    matches: str | None = None
    command: tuple[str, ...] = ()
    timeout: timedelta = timedelta(seconds=10)
    grpc: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a probe or a smoke test: `ok`, or the reason why not in words for a person."""

    ok: bool
    reason: str = ""
