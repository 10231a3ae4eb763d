"""How do revisions run as containers of Docker or Podman, kept alive and found again by whoever comes after us?"""

from __future__ import annotations

from interlock.adapters.workload.containers.containers import ContainerRuntime, Containers
from interlock.adapters.workload.containers.engine import NEWEST, About, Engine, EngineError
from interlock.adapters.workload.containers.images import Credentials
from interlock.adapters.workload.containers.migrations import ContainerMigrations
from interlock.adapters.workload.containers.places import sockets

__all__ = [
    "NEWEST",
    "About",
    "ContainerMigrations",
    "ContainerRuntime",
    "Containers",
    "Credentials",
    "Engine",
    "EngineError",
    "sockets",
]
