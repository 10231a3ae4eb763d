"""How does a tool get what must not stand on its command line: who we are, whom we trust, and the secrets?"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.core.image import BuildRequest
from interlock.ports.images import ImageError


def secrets(request: BuildRequest) -> tuple[str, ...]:
    """Return the values of `--secret`: ids with the file or the variable in which the value is, never the value."""
    found = []
    for id, reference in request.secrets:
        kind, _, name = reference.partition(":")
        found.append(f"id={id},env={name}" if kind == "env" else f"id={id},src={name}")
    return tuple(found)


def variables(request: BuildRequest) -> dict[str, str]:
    """Return the variables of ours that hold secrets of this build; raise ImageError for one that is not set."""
    names = [reference.partition(":")[2] for _, reference in request.secrets if reference.startswith("env:")]
    for name in names:
        if name not in os.environ:
            raise ImageError(f"the secret env:{name} is not set: export {name}, or name a file with file:PATH")
    return {name: os.environ[name] for name in names}


def write(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a file that only this user can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(record, file)
    return path


def for_containers(login: Mapping[str, Any], registry: str, scratch: Path) -> Path:
    """Write an auth file as Podman and Buildah read it, which hold a helper above what the file itself says."""
    helpers = {name: helper for name, helper in (login.get("credHelpers") or {}).items() if name != registry}
    return write(scratch / "auth.json", {"auths": login.get("auths") or {}, "credHelpers": helpers})


def for_docker(login: Mapping[str, Any], registry: str, scratch: Path) -> Path:
    """Write a directory that Docker takes for its configuration: all that the user's has, with our own credentials."""
    place = scratch / "docker"
    place.mkdir(mode=0o700, exist_ok=True)
    theirs = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    for one in theirs.iterdir() if theirs.is_dir() else ():
        if one.name != "config.json" and not (place / one.name).exists():
            (place / one.name).symlink_to(one)
    helpers = {**(login.get("credHelpers") or {}), registry: ""}  # "": what the file itself says
    write(place / "config.json", {**login, "credHelpers": helpers})
    return place


def certificates(ca: str, scratch: Path) -> Path:
    """Return a directory with this CA, as Podman and Buildah take it."""
    place = scratch / "certs"
    place.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(ca, place / "ca.crt")
    return place
