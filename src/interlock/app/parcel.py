"""What does a command need of here when it is carried out on another machine, where the state is?

The file, what it names beside itself, the values of the secrets that it takes from this shell, and the artefact. It
goes through one connection by standard input; nothing of it is an argument of a process, on either side. There it lies
in a file that only its user can read, until the command that it is for takes it, once.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import IO, Any

from interlock.app.state import StateDirectory
from interlock.core.release import Artefact

HOME = "INTERLOCK_HOME"
"""The variable that says by which address this machine was reached: what is run here is not sent elsewhere again."""
BY = "INTERLOCK_BY"
SENT = "INTERLOCK_SENT"
"""The artefact that came along, for a version that only the sender could read."""

_LARGEST = 1 << 20
_OF_SHELL = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")


class ParcelError(Exception):
    """What was sent cannot be used; the message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent. `files` are by path below the project, in base64; `sent` names the artefact."""

    service: str
    home: str
    by: str
    argv: tuple[str, ...]
    files: Mapping[str, str]
    environment: Mapping[str, str] = field(repr=False)
    sent: str = ""
    version: str = ""


def pack(file: Path, service: str, home: str, by: str, argv: tuple[str, ...], sent: str = "") -> Parcel:
    """Gather what a command needs of this project."""
    text = file.read_text(encoding="utf-8-sig")
    beside = {name: base64.b64encode((file.parent / name).read_bytes()).decode() for name in _beside(text, file)}
    files = {file.name: base64.b64encode(text.encode()).decode(), **beside}
    named = {name: os.environ[name] for name in _OF_SHELL.findall(text) if name in os.environ}
    return Parcel(service, home, by, argv, files, named, sent, ours())


def ours() -> str:
    """Return the version of this Interlock; one that runs from its source without being installed has none."""
    try:
        return version("interlock")
    except PackageNotFoundError:
        return "of a source tree"


def _beside(text: str, file: Path) -> Iterator[str]:
    """Yield what the file names that lies in its directory: hooks, secrets, lists of signers, results of tests."""
    from interlock.config.document import parse

    for value in dict.fromkeys(_texts(parse(text, file.name).data)):
        name = value.removeprefix("file:")
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or name == file.name:
            continue
        there = file.parent / name
        if there.is_file() and there.stat().st_size <= _LARGEST:
            yield str(path)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def write(parcel: Parcel, artefact: Artefact | None, root: Path, to: IO[bytes]) -> None:
    """Write the parcel as one line, and the artefact's files after it."""
    to.write(json.dumps(asdict(parcel)).encode() + b"\n")
    if artefact is not None:
        tar(artefact.digest, root, to)


def tar(digest: str, root: Path, to: IO[bytes]) -> None:
    """Write a kept artefact, with the note of where it came from."""
    name = digest.removeprefix("sha256:")
    with tarfile.open(fileobj=to, mode="w|") as archive:
        for one in (name, f"{name}.source"):
            if (root / one).exists():
                archive.add(root / one, one)


def receive(stream: IO[bytes]) -> str:
    """Take a parcel and its artefact; return the word by which the command that it is for finds it."""
    parcel = _parcel(stream.readline())
    if parcel.version != ours():
        raise ParcelError(
            f"the sender is Interlock {parcel.version}, and {parcel.home} has {ours()}: run `interlock "
            f"setup {parcel.home}` with the newer one"
        )
    state = StateDirectory.of(parcel.service)
    state.make()
    if parcel.sent.startswith("sha256:"):
        untar(stream, state.artefacts)
    token = secrets.token_hex(16)
    place = _waiting(token)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(parcel), file)
    return token


def untar(stream: IO[bytes], root: Path) -> None:
    """Take the files of an artefact; what is there already stays. They come in by a rename, whole or not at all."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".packing-", dir=root) as scratch:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            # Our own, by a connection of the same user's; Pythons before 3.11.4 have no filters, and take all.
            archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
            archive.extractall(scratch)
        for one in sorted(Path(scratch).iterdir(), key=lambda path: path.suffix):
            if not (root / one.name).exists():
                one.chmod(one.stat().st_mode | 0o200)  # a directory that cannot be written cannot be renamed
                one.rename(root / one.name)


def take(token: str) -> Parcel:
    """Return what was received by that word, once; raise ParcelError when it is not there (any more)."""
    place = _waiting(token)
    try:
        content = place.read_bytes()
        place.unlink()
    except OSError as problem:
        raise ParcelError("nothing waits here by that word: it is taken once, by the command it is for") from problem
    return _parcel(content)


def lay_out(parcel: Parcel) -> Path:
    """Write the project's files here, over those of earlier commands; return their directory."""
    directory = StateDirectory.of(parcel.service).path.parent / ".projects" / parcel.service
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in parcel.files.items():
        path = directory / name
        if not path.resolve().is_relative_to(directory.resolve()):
            raise ParcelError(f"{name} does not lie in the project")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(base64.b64decode(content))
        beside.chmod(0o700)
        beside.replace(path)
    return directory


def _waiting(token: str) -> Path:
    if not re.fullmatch("[0-9a-f]{32}", token):
        raise ParcelError("expected the word that `receive` returned")
    return StateDirectory.of("parcels").path.with_name(".parcels") / token


def _parcel(line: bytes) -> Parcel:
    try:
        known = json.loads(line)
        return Parcel(**{**known, "argv": tuple(known["argv"])})
    except (ValueError, TypeError, KeyError) as problem:
        raise ParcelError("expected a parcel of the same version of Interlock, found something else") from problem
