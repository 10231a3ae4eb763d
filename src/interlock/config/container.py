"""What may stand under `docker` in interlock.yaml, and what does it mean in values of the core?"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from interlock.config.block import Block
from interlock.config.quantity import Argv, Size, found
from interlock.core.container import Container, Log, Reach, SecretsAs

_container, _log = Container(), Log()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LIMIT = re.compile(r"(-1|\d+)(?::(-1|\d+))?")


def volume(value: str) -> str:
    """Accept ``NAME:/path`` or ``/path:/path``, with options after another colon."""
    parts = value.split(":")
    source = parts[0]
    fits = len(parts) in (2, 3) and parts[1].startswith("/")
    if not fits or not (source.startswith("/") or _NAME.fullmatch(source)):
        raise ValueError(f'expected a volume such as "data:/data" or "/srv/shop:/data:ro", found {found(value)}')
    return value


def tmpfs(value: str) -> str:
    """Accept ``/path``, with options after a colon."""
    if not value.startswith("/"):
        raise ValueError(f'expected a path in the container such as "/tmp" or "/run:size=16m", found {found(value)}')
    return value


def socket(value: str) -> str:
    """Accept an engine's socket."""
    if not value.startswith("unix:///"):
        raise ValueError(f'expected a socket such as "unix:///run/podman/podman.sock", found {found(value)}')
    return value


def host(value: str) -> str:
    """Accept ``NAME:ADDRESS``."""
    if ":" not in value:
        raise ValueError(f'expected a name and its address such as "db:10.0.0.5", found {found(value)}')
    return value


def limit(value: object) -> tuple[int, int]:
    """Read ``1024`` or ``1024:4096`` as soft and hard limit; -1 is none."""
    match = _LIMIT.fullmatch(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    if match is None:
        raise ValueError(f'expected a limit such as "1024:4096" (soft:hard), found {found(value)}')
    return int(match[1]), int(match[2] or match[1])


Volume = Annotated[str, AfterValidator(volume)]
Tmpfs = Annotated[str, AfterValidator(tmpfs)]
Socket = Annotated[str, AfterValidator(socket)]
HostEntry = Annotated[str, AfterValidator(host)]
Limit = Annotated[
    tuple[int, int], PlainValidator(limit), WithJsonSchema({"type": ["string", "integer"], "examples": ["1024:4096"]})
]


class LogBlock(Block):
    driver: str = Field(
        _log.driver,
        description="the engine's log driver; by default `json-file`, two files of 10 MB for each instance",
    )
    options: dict[str, str] = Field(default_factory=dict, description="its options, such as `max-size`")

    SHORT_PATTERN = "^[a-z]"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"driver": text}


class DockerBlock(Block):
    engine: Socket | None = Field(
        None, description="the socket of Docker or Podman; by default the first that is there, which stays the one"
    )
    port: int = Field(
        _container.port, ge=1, le=65535, description="the port on which the program listens in its container"
    )
    reach: Literal["auto", "bridge", "loopback", "host"] = Field(
        _container.reach.value,
        description="how an instance is reached: `bridge` at an address of its own, `loopback` at a published port, "
        "`host` on the host's network, where its port is in the variable PORT; `auto` is `bridge`, and `loopback` "
        "where the engine does not run as root",
    )
    networks: tuple[str, ...] = Field(
        _container.networks, strict=False, description="networks that an instance is in besides, such as a database's"
    )
    entrypoint: Argv | None = Field(None, description="in place of the image's own")
    user: str = Field(_container.user, description="who it runs as: a name or number, and a group after a colon")
    read_only: bool = Field(_container.read_only, description="let nothing be written into the container")
    init: bool = Field(_container.init, description="run a small init as its first process, which reaps and forwards")
    tmpfs: tuple[Tmpfs, ...] = Field(
        _container.tmpfs, strict=False, description="directories in memory: `/tmp`, or `/run:size=16m`"
    )
    volumes: tuple[Volume, ...] = Field(
        _container.volumes,
        strict=False,
        description="what outlives an instance, and all share: `NAME:/path` or `/host/path:/path[:ro]`",
    )
    cpus: float | None = Field(None, gt=0, le=1024, strict=False, description="how many cores it may use, such as 0.5")
    pids: int | None = Field(None, ge=1, description="how many processes and threads it may have")
    shm_size: Size | None = Field(None, description="how large its /dev/shm is")
    ulimits: dict[str, Limit] = Field(default_factory=dict, description="limits by name: `nofile: 1024:4096`")
    cap_add: tuple[str, ...] = Field(_container.cap_add, strict=False, description="capabilities that it gets")
    cap_drop: tuple[str, ...] = Field(_container.cap_drop, strict=False, description="capabilities that it loses")
    hosts: tuple[HostEntry, ...] = Field(
        _container.hosts, strict=False, description="names that it knows besides, each as `NAME:ADDRESS`"
    )
    labels: dict[str, str] = Field(default_factory=dict, description="labels besides ours")
    log: LogBlock = Field(default_factory=LogBlock, description="where the engine writes what it writes; or the driver")
    secrets: Literal["env", "files"] = Field(
        _container.secrets.value,
        description="how it gets them: `env` as variables, which `docker inspect` shows; `files` as /run/secrets/NAME, "
        "whose path is in the variable NAME_FILE",
    )
    keep_images: int = Field(
        _container.keep_images, ge=1, le=100, description="the images of so many proven releases stay on the machine"
    )


def container(block: DockerBlock) -> Container:
    """Make the core's value."""
    as_it_is = ("port", "networks", "entrypoint", "user", "read_only", "init", "tmpfs", "volumes", "cpus", "pids")
    more = ("shm_size", "cap_add", "cap_drop", "hosts", "keep_images")
    return Container(
        engine=block.engine or "",
        reach=Reach(block.reach),
        ulimits=tuple((name, *limits) for name, limits in sorted(block.ulimits.items())),
        labels=tuple(sorted(block.labels.items())),
        log=Log(block.log.driver, tuple(sorted(block.log.options.items()))),
        secrets=SecretsAs(block.secrets),
        **{name: getattr(block, name) for name in (*as_it_is, *more)},
    )
