"""Who are we to a registry, as `docker login` or `podman login` left it?

Read are the files of both, in their order of precedence, and the credential helpers that they name (`credHelpers`,
`credsStore`; docs.docker.com/reference/cli/docker/login, containers-auth.json(5)). A value is never shown.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from interlock.core.image import DOCKER_HUB
from interlock.ports.images import Credential, ImageError

HUB_KEY = "https://index.docker.io/v1/"
_HELPED_WITHIN = timedelta(seconds=20)
_LARGEST = 1 << 20
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOBODY = ("credentials not found", "no credentials")
_TOKEN = "<token>"


def files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files in which credentials may be, first what takes precedence."""
    home = Path(environment.get("HOME") or Path.home())
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"


async def found(registry: str, repository: str = "", environment: Mapping[str, str] | None = None) -> Credential | None:
    """Return who we are to a registry; None when nobody has logged in to it.

    Raises ImageError when a file or a helper that should know cannot be asked.
    """
    variables = os.environ if environment is None else environment
    for path in files(variables):
        record = _read(path)
        if record is None:
            continue
        credential = await _in(record, path, registry, repository, variables)
        if credential is not None:
            return credential
    return None


def login(
    registry: str, credential: Credential | None, environment: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """Return what a configuration of Docker's would say, so that a tool is to every registry whoever we are.

    It is what all the files say together, and to this registry the credential; empty when that is nobody.
    """
    if credential is None:
        return {}
    record: dict[str, Any] = {}
    auths: dict[str, Any] = {}
    helpers: dict[str, Any] = {}
    for path in files(os.environ if environment is None else environment):
        one = _read(path) or {}
        record = {**one, **record}
        auths = {**_mapping(one, "auths"), **auths}
        helpers = {**_mapping(one, "credHelpers"), **helpers}
    key = HUB_KEY if registry == DOCKER_HUB else registry
    both = base64.b64encode(f"{credential.user}:{credential.password}".encode()).decode()
    mine = {"auth": both} if credential.user else {}
    mine |= {"identitytoken": credential.token} if credential.token else {}
    return {**record, "auths": {**auths, key: mine}, "credHelpers": helpers}


def _mapping(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


async def _in(
    record: Mapping[str, Any], path: Path, registry: str, repository: str, environment: Mapping[str, str]
) -> Credential | None:
    key = HUB_KEY if registry == DOCKER_HUB else registry
    helpers = record.get("credHelpers")
    by_registry = helpers.get(registry) if isinstance(helpers, dict) else None
    helper = by_registry if by_registry is not None else record.get("credsStore")
    if helper:
        answered = await _ask_helper(str(helper), key, path, environment)
        if answered is not None or by_registry:
            return answered
    auths = record.get("auths")
    return _listed(auths, path, registry, repository) if isinstance(auths, dict) else None


def _listed(auths: Mapping[str, Any], path: Path, registry: str, repository: str) -> Credential | None:
    """Return what a file has of a registry; an entry for a part of its repositories goes before one for all."""
    known = {_plainly(name): entry for name, entry in auths.items() if isinstance(entry, dict)}
    parts = repository.split("/") if repository else []
    for length in range(len(parts), -1, -1):
        entry = known.get("/".join([registry, *parts[:length]]))
        if entry is not None and (credential := _credential(entry, path)) is not None:
            return credential
    return None


def _credential(entry: Mapping[str, Any], path: Path) -> Credential | None:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            both = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise ImageError(f"{path}: an `auth` in it is not base64; log in again") from error
        user, _, password = both.partition(":")
    token = str(entry.get("identitytoken") or "")
    return Credential(user, password.rstrip("\x00"), token) if user or password or token else None


async def _ask_helper(name: str, key: str, path: Path, environment: Mapping[str, str]) -> Credential | None:
    if not _HELPER.fullmatch(name):
        raise ImageError(f"{path} names a credential helper that is no name of a program")
    program = f"docker-credential-{name}"
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            env=dict(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise ImageError(f"{path} names {program}, which does not start: {error.strerror}; is it installed?") from error
    try:
        async with asyncio.timeout(_HELPED_WITHIN.total_seconds()):
            said, _ = await process.communicate(key.encode())
    except TimeoutError:
        raise ImageError(f"{program} did not answer within {_HELPED_WITHIN.total_seconds():g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return _helped(program, process.returncode, said)


def _helped(program: str, status: int | None, said: bytes) -> Credential | None:
    if status != 0:
        if any(word in said.decode(errors="replace").lower() for word in _NOBODY):
            return None
        raise ImageError(f"{program} ended with status {status}; try `{program} get` by hand")
    try:
        record = json.loads(said)
        user, secret = str(record["Username"]), str(record["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise ImageError(f"{program} answered with something that is no credential") from error
    return Credential(token=secret) if user == _TOKEN else Credential(user, secret)


def _plainly(name: str) -> str:
    """Return the registry of an entry, which may be written as a URL of its API."""
    if name == HUB_KEY or name in ("index.docker.io", "https://index.docker.io"):
        return DOCKER_HUB
    bare = name.split("://", 1)[-1].rstrip("/")
    return bare.removesuffix("/v1").removesuffix("/v2")


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ImageError(f"{path}, which may have credentials, cannot be read: {error.strerror}") from error
    if not content.strip():
        return None
    try:
        record = json.loads(content[:_LARGEST])
    except ValueError as error:
        raise ImageError(f"{path}, which may have credentials, is not JSON: mend it or log in again") from error
    return record if isinstance(record, dict) else None
