"""Which tools that build images are here?"""

from __future__ import annotations

import shutil

from interlock.adapters.images.tools.buildah import Buildah
from interlock.adapters.images.tools.docker import Docker
from interlock.ports.images import Builder, ImageError

NAMES = ("docker", "buildah", "podman")
"""In the order in which they are looked for."""


async def find(name: str = "") -> Builder:
    """Return the builder of this name, else the first that is here; raise ImageError when there is none."""
    for candidate in (name,) if name else NAMES:
        builder = await _find(candidate)
        if builder is not None:
            return builder
    raise ImageError(_none(name))


async def _find(name: str) -> Builder | None:
    if name == "docker":
        return await Docker.find()
    program = shutil.which(name)
    return None if program is None else Buildah(program)


def _none(name: str) -> str:
    if name == "docker":
        return (
            "image.builder is docker, and no docker here has BuildKit and a daemon that answers: install "
            "docker-buildx, start the daemon, or choose another builder (buildah, podman)"
        )
    if name:
        return f"image.builder is {name}, which is not installed here (Debian, Ubuntu: apt install {name})"
    return "nothing here can build an image: install docker with buildx, buildah or podman (apt install buildah)"


__all__ = ["NAMES", "Buildah", "Docker", "find"]
