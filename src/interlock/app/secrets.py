"""How do a release's secrets get to its instances without ever being in a record?

A release names each secret by a fingerprint keyed for this state directory. The values lie beside it in files that only
this user can read, so that going back brings the old values back too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path


class SecretError(Exception):
    """A secret cannot be had; the message names the reference, never a value."""


def keep(directory: Path, references: Iterable[str]) -> dict[str, str]:
    """Read every reference (``env:NAME``, ``file:PATH``), keep its value, return reference -> fingerprint."""
    wanted = tuple(references)
    if not wanted:
        return {}
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = _key(directory)
    return {reference: _keep(directory, key, _value(reference)) for reference in wanted}


def value(reference: str) -> str:
    """Return the value of a reference without keeping it; raises SecretError."""
    return os.fsdecode(_value(reference))


def key_for(directory: Path, purpose: str) -> bytes:
    """Return a key of this state directory for one purpose, which nothing that has another one's can be read by."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return hmac.new(_key(directory), f"interlock {purpose}".encode(), hashlib.sha256).digest()


def _value(reference: str) -> bytes:
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise SecretError(f"the secret {reference} is not set: export {name}, or name a file with file:PATH")
        return os.environ[name].encode()
    try:
        return Path(name).read_bytes().rstrip(b"\n")
    except OSError as error:
        raise SecretError(f"the secret {reference} cannot be read: {error.strerror}") from error


def _keep(directory: Path, key: bytes, value: bytes) -> str:
    name = hmac.new(key, value, hashlib.sha256).hexdigest()[:32]
    if (directory / name).exists():
        os.utime(directory / name)  # planned with again: see `forget`
    else:
        write_once(directory / name, value)
    return name


def _key(directory: Path) -> bytes:
    path = directory / "key"
    if not path.exists():
        write_once(path, secrets.token_bytes(32))
    return path.read_bytes()


def write_once(path: Path, content: bytes) -> None:
    """Write a file that was never readable by others, whole or not at all; whoever comes second keeps the first's."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()
