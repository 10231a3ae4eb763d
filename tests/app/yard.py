"""A place to build images in: a project in git, a registry, and tools that keep what they have below a test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.registry.registries import Docked
from tests.engines import needed

from interlock.app.build import Builds
from interlock.app.state import StateDirectory
from interlock.core.image import Image, ImageSource

DOCKERFILE = """FROM scratch AS base
COPY app.txt /app.txt
FROM scratch
ARG VERSION=none
COPY app.txt /app.txt
"""
SHELL = """FROM scratch
COPY busybox /bin/busybox
RUN --mount=type=secret,id=npm --mount=type=secret,id=pem [{run}]
COPY app.txt /app.txt
"""


@dataclass
class Yard:
    """A project, its state, and what was told of its builds."""

    place: Path
    registry: Docked
    source: ImageSource
    told: list[str] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.place / "project"

    @property
    def state(self) -> StateDirectory:
        return StateDirectory(self.place / "state")

    def builds(self, **source: Any) -> Builds:
        return Builds(self.state, replace(self.source, **source), told=self.told.append)

    def write(self, name: str, content: str) -> None:
        (self.project / name).parent.mkdir(parents=True, exist_ok=True)
        (self.project / name).write_text(content)

    def shell(self) -> None:
        """Put a busybox into the project, for what runs something."""
        needed("busybox")
        shutil.copy(str(shutil.which("busybox")), self.project / "busybox")

    def commit(self) -> str:
        """Commit all that is there; return the commit."""
        git(self.project, "add", "-A")
        git(self.project, "commit", "-q", "--allow-empty", "-m", "a change")
        return git(self.project, "rev-parse", "HEAD")


def git(place: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def yard(place: Path, registry: Docked, name: str = "t/shop") -> Yard:
    """Make a project that can be built, in a git repository."""
    project = place / "project"
    project.mkdir(parents=True)
    one = Yard(place, registry, ImageSource(Image(registry.host, name), str(project), builder="buildah"))
    one.write("Dockerfile", DOCKERFILE)
    one.write("app.txt", "one\n")
    git(project, "init", "-q")
    one.commit()
    return one


@contextmanager
def tools(place: Path) -> Iterator[None]:
    """Let Buildah and Podman keep what they have below `place`, and run without cgroups."""
    needed("buildah")
    if os.geteuid() != 0:
        pytest.skip("builds in a namespace of a test's own are made by root")
    place.mkdir(parents=True, exist_ok=True)
    (place / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_STORAGE_CONF", str(place / "storage.conf"))
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        patch.setenv("HOME", str(place))
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
            patch.delenv(name, raising=False)
        yield


@contextmanager
def watched(values: Collection[str]) -> Iterator[list[str]]:
    """Look at the command line of every process while the block lasts; yield those that have one of the values."""
    found: list[str] = []
    over = threading.Event()
    seen = [0]

    def look() -> None:
        while not over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    line = path.read_bytes().decode(errors="replace")
                    found.extend(line for value in values if value in line)
            seen[0] += 1
            time.sleep(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
    assert seen[0] > 5, "looked often enough to see something"


def bytes_below(*places: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every file below the places."""
    for place in places:
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):
                    yield path, path.read_bytes()
