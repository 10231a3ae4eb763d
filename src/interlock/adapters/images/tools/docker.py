"""How does Docker's BuildKit build an image and push it, with buildx or without?

The old builder, which is what a client without BuildKit falls back on, is not used: it writes secrets nowhere safely.
Whom the daemon trusts, and where it speaks plain HTTP, is the daemon's own configuration.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from interlock.adapters.images.tools import files
from interlock.adapters.images.tools.run import Output, asked, flags, run
from interlock.core.image import BuildRequest
from interlock.ports.images import ImageError, Pushing

_VERSION = re.compile(r"version (\d+)\.")
_NEEDS_BUILDX_FROM = 23


class Docker:
    """The client found under `program`, and the daemon that it finds; `buildx` says that the client has that."""

    name = "docker"

    def __init__(self, program: str, *, buildx: bool) -> None:
        self._program, self._buildx = program, buildx

    @classmethod
    async def find(cls) -> Docker | None:
        """Return the first client in the PATH that has BuildKit, where its daemon answers; None when there is none."""
        for directory in os.get_exec_path():
            program = str(Path(directory) / "docker")
            if not os.access(program, os.X_OK):
                continue
            status, _ = await asked([program, "version", "--format", "{{.Server.Version}}"])
            if status == 0 and (kind := await cls._kind(program)) is not None:
                return cls(program, buildx=kind)
        return None

    @classmethod
    async def _kind(cls, program: str) -> bool | None:
        """Say whether the client has buildx; None when it has no way to BuildKit."""
        status, _ = await asked([program, "buildx", "version"])
        if status == 0:
            return True
        _, said = await asked([program, "--version"])
        version = _VERSION.search(said)
        return False if version and int(version[1]) < _NEEDS_BUILDX_FROM else None

    async def build_and_push(
        self, request: BuildRequest, pushing: Pushing, log: Path, told: Callable[[str], None]
    ) -> frozenset[str]:
        if len(request.platforms) > 1 and not self._buildx:
            raise ImageError(
                f"{self._program} has no buildx, so it builds for one platform only; asked for are "
                f"{', '.join(map(str, request.platforms))}. Install docker-buildx, or use image.builder: buildah"
            )
        output = Output(log, told, pushing.hidden)
        variables = {
            **files.variables(request),
            "DOCKER_BUILDKIT": "1",
            "SOURCE_DATE_EPOCH": str(request.epoch),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            **self._login(request, pushing),
        }
        made, id = pushing.scratch / "metadata", pushing.scratch / "image"
        argv = [self._program, *self._build(request, made, id)]
        await run(argv, f"building {request.image} with docker", output, request.within, variables)
        if request.push and not self._pushes_itself(request):
            pushed = [self._program, "push", str(request.image)]
            await run(pushed, f"pushing {request.image} with docker", output, request.within, variables)
        return _known(made, id)

    def _pushes_itself(self, request: BuildRequest) -> bool:
        return self._buildx and request.push

    def _build(self, request: BuildRequest, made: Path, id: Path) -> Iterator[str]:
        yield from ("buildx", "build", "--metadata-file", str(made)) if self._buildx else ("build",)
        yield from ("--iidfile", str(id))
        yield from ("--progress", "plain")
        yield from ("--file", str(Path(request.context) / request.dockerfile))
        yield from ("--tag", str(request.image))
        yield from flags("--build-arg", [f"{name}={value}" for name, value in request.arguments])
        yield from flags("--label", [f"{name}={value}" for name, value in request.labels])
        yield from flags("--secret", files.secrets(request))
        yield from ("--platform", ",".join(map(str, request.platforms))) if request.platforms else ()
        yield from ("--target", request.target) if request.target else ()
        yield from () if request.cache else ("--no-cache",)
        if self._pushes_itself(request):
            yield "--push"
        elif self._buildx:
            yield "--load"
        yield request.context

    def _login(self, request: BuildRequest, pushing: Pushing) -> dict[str, str]:
        if not pushing.login:
            return {}
        return {"DOCKER_CONFIG": str(files.for_docker(pushing.login, request.image.registry, pushing.scratch))}


def _known(made: Path, id: Path) -> frozenset[str]:
    """Return the digests that the build left behind (docs.docker.com/reference/cli/docker/buildx/build)."""
    found = {id.read_text().strip()} if id.exists() else set()
    with suppress(OSError, ValueError):
        record = json.loads(made.read_text())
        found |= {str(record.get(f"containerimage.{name}") or "") for name in ("digest", "config.digest")}
    return frozenset(digest for digest in found if digest.startswith("sha256:"))
