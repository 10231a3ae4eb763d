"""From what is an image built, and is it the same as the last time?"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from interlock.adapters.artefacts.local import git, tree
from interlock.core.dockerfile import check_target, stages
from interlock.core.dockerignore import ignoring
from interlock.core.image import ImageSource
from interlock.ports.images import ImageError

NAMES = ("Dockerfile", "Containerfile")
_LARGEST = 1 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Context:
    """The files of a build: a directory as it is now, or as it is in a commit.

    `part` is the directory as seen from the `repository`, where there is a commit.
    """

    directory: Path
    repository: Path = Path()
    commit: str = ""
    part: str = "."

    @classmethod
    def of(cls, directory: Path, repository: Path, ref: str | None) -> Context:
        """Find it; raise ImageError when there is no such directory or commit."""
        if ref is None:
            _check_directory(directory)
            return cls(directory)
        commit = git.commit(repository, ref)
        if commit is None:
            raise ImageError(f'no such git ref: "{ref}" (looked in {repository})')
        try:
            part = directory.resolve().relative_to(repository.resolve()).as_posix()
        except ValueError as outside:
            raise ImageError(f"{directory} is not in {repository}, so no commit of that has it") from outside
        return cls(directory, repository, commit, part)

    @property
    def words(self) -> str:
        """Where the files come from, for people."""
        return f"git {git.short(self.repository, self.commit)}" if self.commit else f"directory {self.directory}"

    @property
    def created(self) -> str:
        """When the commit was made, in ISO 8601; "" for a directory, whose own times say nothing."""
        return git.committed_at(self.repository, self.commit) if self.commit else ""

    @property
    def source(self) -> str:
        """Where the repository comes from; "" for what is in none."""
        return git.remote(self.repository) if self.commit else ""

    def content(self, dockerfile: str) -> str:
        """Return the name of what is in it: git's own for a commit, else a digest of what a build may read."""
        if self.commit:
            return git.tree(self.repository, self.commit, self.part)
        return _digest(self.directory, _ignored(self.directory, dockerfile))

    def lay_out(self, scratch: Path) -> Path:
        """Return a directory with the files: the directory itself, or what the commit has, all of one time."""
        if not self.commit:
            return self.directory
        target = scratch / "context"
        target.mkdir()
        git.export(self.repository, self.commit, self.part, target, lambda _: True)
        _same_time(target)
        return target


def check(context: Path, dockerfile: str, target: str) -> str:
    """Return the Dockerfile's path in the context; raise ImageError when a build of it cannot begin."""
    _check_directory(context)
    names = (dockerfile,) if dockerfile else NAMES
    path = next((context / name for name in names if (context / name).is_file()), None)
    if path is None:
        raise ImageError(f"there is no {' and no '.join(names)} in {context}: write one, or say where it is")
    if not path.resolve().is_relative_to(context.resolve()):
        raise ImageError(f"{path} is not in the context {context}: a Dockerfile lies in it, so that a commit has both")
    try:
        check_target(target, stages(path.read_bytes()[:_LARGEST].decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise ImageError(f"{path}: expected UTF-8, found something else at byte {error.start}") from error
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}") from error
    return path.relative_to(context).as_posix()


def fingerprint(content: str, source: ImageSource, arguments: Mapping[str, str]) -> str:
    """Return 64 hexadecimal digits that name a build: its files and all that is said about it but secrets' values."""
    said = {
        "content": content,
        "dockerfile": source.dockerfile,
        "arguments": sorted(arguments.items()),
        "secrets": sorted(id for id, _ in source.secrets),
        "target": source.target,
        "platforms": sorted(map(str, source.platforms)) or [platform.machine()],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _check_directory(context: Path) -> None:
    if not context.is_dir():
        what = "is no directory" if context.exists() else "does not exist"
        raise ImageError(f"the context {context} {what}: expected the directory that the image is built from")


def _ignored(context: Path, dockerfile: str) -> Callable[[str], bool]:
    """Return what builds leave out; nothing, where tools read different files and so disagree."""
    others = [".containerignore", *(f"{name}.dockerignore" for name in (dockerfile, *NAMES) if name)]
    if any((context / name).exists() for name in others):
        return lambda _: False
    with suppress(OSError, UnicodeDecodeError):
        ignored = ignoring((context / ".dockerignore").read_text(encoding="utf-8-sig"))
        kept = {".dockerignore", dockerfile, *NAMES}  # a build reads them, whatever is left out of the image
        return lambda path: path not in kept and ignored(path)
    return lambda _: False


def _digest(top: Path, ignored: Callable[[str], bool]) -> str:
    whole = hashlib.sha256()
    try:
        for path in sorted(filter(lambda path: not ignored(path), tree.walk(top)), key=os.fsencode):
            kind, content = _content(top / path)
            whole.update(kind + b"\0" + os.fsencode(path) + b"\0" + content.encode() + b"\n")
    except OSError as error:
        raise ImageError(f"{error.filename or top} cannot be read for the build: {error.strerror}") from error
    return whole.hexdigest()


def _content(path: Path) -> tuple[bytes, str]:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return b"link", hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    if not stat.S_ISREG(found.st_mode):
        return b"other", ""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return b"%o" % stat.S_IMODE(found.st_mode), digest


def _same_time(top: Path) -> None:
    """Let all files bear the time that the image does: it ends up in the layers of tools that keep it."""
    for directory, names, files in os.walk(top, topdown=False):
        for name in (*names, *files):
            os.utime(Path(directory, name), (0, 0), follow_symlinks=False)
    os.utime(top, (0, 0))
