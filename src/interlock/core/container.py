"""How does a release run as a container?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reach(StrEnum):
    """Where an instance is reached: at an address of its own, at a published port of loopback, or on the host itself.

    `AUTO` is `BRIDGE` where containers have addresses that this machine reaches (an engine that runs as root), and
    `LOOPBACK` elsewhere.
    """

    AUTO = "auto"
    BRIDGE = "bridge"
    LOOPBACK = "loopback"
    HOST = "host"


class SecretsAs(StrEnum):
    """How a container gets its secrets: as variables, which `docker inspect` shows, or as files in /run/secrets."""

    ENV = "env"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Log:
    """Where the engine writes what instances write. An empty driver is the engine's own file, bounded."""

    driver: str = ""
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """How an instance runs as a container of Docker or Podman.

    `engine` is its address (``unix:///run/docker.sock``), "" for the one that is found. The program listens on `port`
    in the container (on the host's network on the port in `PORT`). `entrypoint` is None for the image's own; `user`,
    `tmpfs` and `volumes` are as ``docker run`` has them, `cpus` in cores. `login` is who pulls: a user, and the
    password by reference in a file, by its keyed fingerprint in a release; without a user, whom `docker login` left.
    `ulimits` are (name, soft, hard). The images of the last `keep_images` proven releases stay on the machine.
    """

    engine: str = ""
    port: int = 8080
    reach: Reach = Reach.AUTO
    networks: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    read_only: bool = False
    init: bool = False
    tmpfs: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    cpus: float | None = None
    pids: int | None = None
    shm_size: int | None = None
    ulimits: tuple[tuple[str, int, int], ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    log: Log = Log()
    secrets: SecretsAs = SecretsAs.ENV
    keep_images: int = 5
    login: tuple[str, str] = ("", "")
