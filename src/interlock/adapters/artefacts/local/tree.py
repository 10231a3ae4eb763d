"""Which files are in a directory, how are they copied, and what is the digest of it all?"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interlock.ports.artefacts import ArtefactError

_CHUNK = 1 << 20
# fsync of many small files waits for the disk, not for the processor.
_AT_ONCE = 16


def walk(top: Path, below: str = "") -> Iterator[str]:
    """Yield the relative paths of all files and symbolic links, but for what is git's own. Links are not followed."""
    with os.scandir(top / below) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.name == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from walk(top, name)
            else:
                yield name


def copy(top: Path, paths: Sequence[str], target: Path) -> None:
    """Copy files and links; of their modes only whether they are executable."""
    made: set[str] = set()
    for path in paths:
        _directory(target, path, made)
        source = top / path
        mode = source.lstat().st_mode
        if stat.S_ISLNK(mode):
            (target / path).symlink_to(source.readlink())
        elif stat.S_ISREG(mode):
            shutil.copyfile(source, target / path)
            (target / path).chmod(0o755 if mode & 0o100 else 0o644)
        else:
            raise ArtefactError(f"{path} is neither a file, a directory nor a link: leave it out with `exclude`")


def move(top: Path, paths: Sequence[str], target: Path) -> None:
    """Move files and links to another directory of the same disk."""
    made: set[str] = set()
    for path in paths:
        if path.rpartition("/")[0] not in made:  # a build may have made it read-only
            (top / path).parent.chmod(0o755)
        _directory(target, path, made)
        (top / path).rename(target / path)


def seal(top: Path, paths: Collection[str]) -> str:
    """Make the files read-only, have them on the disk, and return the digest of paths, kinds and contents.

    It is SHA-256 over one line for each path in the order of its bytes: kind, path, SHA-256 of content or link target.
    Raises ArtefactError for a link that leads out of the tree.
    """
    whole = hashlib.sha256()
    real = top.resolve()
    for path in sorted(paths, key=os.fsencode):
        kind, digest = _link(real, path) if (top / path).is_symlink() else _file(top / path)
        whole.update(kind + b"\0" + os.fsencode(path) + b"\0" + digest.encode() + b"\n")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(_flush, [top / path for path in paths if not (top / path).is_symlink()]))
    return whole.hexdigest()


def remove(top: Path) -> None:
    """Remove a directory with all that is in it, also where a build has made directories read-only."""
    try:
        shutil.rmtree(top)
    except FileNotFoundError:
        return
    except PermissionError:
        top.chmod(0o700)
        for path, names, _ in os.walk(top):
            for directory in (Path(path, name) for name in names):
                if not directory.is_symlink():
                    directory.chmod(0o700)
        shutil.rmtree(top)


def _directory(target: Path, path: str, made: set[str]) -> None:
    parent = path.rpartition("/")[0]
    if parent not in made:
        (target / parent).mkdir(parents=True, exist_ok=True)
        made.add(parent)


def _file(path: Path) -> tuple[bytes, str]:
    mode = path.lstat()
    if not stat.S_ISREG(mode.st_mode):
        raise ArtefactError(f"{path.name} is neither a file, a directory nor a link: leave it out with `exclude`")
    if mode.st_nlink > 1:  # a build may link to a cache of its own, which must stay writable, and may change
        _own(path)
    executable = bool(mode.st_mode & 0o100)
    path.chmod(0o555 if executable else 0o444)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return (b"executable" if executable else b"file"), digest


def _own(path: Path) -> None:
    beside = path.with_name(f".{path.name}.own")
    shutil.copyfile(path, beside)
    beside.replace(path)


def _link(top: Path, path: str) -> tuple[bytes, str]:
    target = (top / path).readlink()
    try:
        inside = not target.is_absolute() and (top / path).resolve().is_relative_to(top)
    except (OSError, RuntimeError) as loop:
        raise ArtefactError(f"{path} is a link that leads in a circle: leave it out with `exclude`") from loop
    if not inside:
        raise ArtefactError(f"{path} is a link to {target}, out of the artefact: leave it out with `exclude`")
    return b"link", hashlib.sha256(os.fsencode(target)).hexdigest()


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
