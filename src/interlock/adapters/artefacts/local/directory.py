"""Which artefacts are kept in this directory, and how does one come into it?

`root/HEX` is one artefact, unpacked and read-only. It is made beside and comes in by a rename, so that it is there
whole or not at all; whoever comes second finds it there.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from interlock.adapters.artefacts.local import git, tree
from interlock.adapters.artefacts.local.build import build
from interlock.adapters.artefacts.local.pattern import chooser
from interlock.core.release import Artefact
from interlock.core.source import Source
from interlock.ports.artefacts import ArtefactError

_DIGEST = re.compile(r"sha256:([0-9a-f]{12,64})")
_HEX = re.compile(r"[0-9a-f]{64}")
_SCRATCH = ".packing-"
_ABANDONED = timedelta(days=1)
# The file that describes the releases is no part of them: to change a weight in it makes no other artefact.
_CONFIGURATION = "interlock.yaml"


@dataclass(frozen=True, slots=True)
class _Files:
    """Where an artefact's files are: in a directory, or in a commit; `name` says so in words."""

    name: str
    directory: Path | None = None
    commit: str = ""


class Directory:
    """Artefacts as directories below `root`. What lies in one of `beside` (the state, say) is never packed."""

    def __init__(self, root: Path, beside: Collection[Path] = ()) -> None:
        self.root = root.absolute()
        self._beside = [path.resolve() for path in (self.root, *beside)]

    async def pack(self, source: Source, version: str) -> Artefact:
        """Find what `version` names, copy it, build it, choose what is packed, and keep it under its digest."""
        with _told(self.root):
            known = await asyncio.to_thread(self._known, version)
            if known:
                return known
            files = await asyncio.to_thread(_find, source, version)
            scratch = await asyncio.to_thread(self._scratch)
            try:
                return await self._packed(source, files, scratch)
            finally:
                await asyncio.to_thread(tree.remove, scratch)

    def path(self, artefact: Artefact) -> Path:
        return self.root / artefact.digest.removeprefix("sha256:")

    async def has(self, artefact: Artefact) -> bool:
        return self.path(artefact).is_dir()

    async def remove(self, artefact: Artefact) -> None:
        with _told(self.root):
            await asyncio.to_thread(self._remove, self.path(artefact))

    async def prune(self, keep: Collection[str], unused_for: timedelta) -> tuple[str, ...]:
        with _told(self.root):
            return await asyncio.to_thread(self._prune, keep, unused_for)

    async def _packed(self, source: Source, files: _Files, scratch: Path) -> Artefact:
        chosen, copied = _chooser(source.include, source.exclude), scratch / "tree"
        needed = _chooser((), ()) if source.build else chosen
        await asyncio.to_thread(self._copy, source, files, copied, needed)
        if source.build:
            await build(source.build, copied, source.build_within, self.root / ".builds")
        return await asyncio.to_thread(self._keep, copied, scratch, chosen, files)

    def _copy(self, source: Source, files: _Files, target: Path, chosen: Callable[[str], bool]) -> None:
        target.mkdir()
        if files.directory is None:
            git.export(Path(source.repository), files.commit, source.directory, target, chosen)
            return
        top = files.directory.resolve()
        listed = git.files(top)
        paths = [path for path in (tree.walk(top) if listed is None else listed) if chosen(path)]
        tree.copy(top, [path for path in paths if not self._is_beside(top / path)], target)

    def _is_beside(self, path: Path) -> bool:
        return any(path.is_relative_to(beside) for beside in self._beside)

    def _keep(self, built: Path, scratch: Path, chosen: Callable[[str], bool], files: _Files) -> Artefact:
        paths = [path for path in tree.walk(built) if chosen(path)]
        if not paths:
            raise ArtefactError(f"there are no files to pack in {files.name}; look at `artefact` in {_CONFIGURATION}")
        packed = scratch / "packed"
        packed.mkdir()
        tree.move(built, paths, packed)
        hexadecimal = tree.seal(packed, paths)
        self._come_in(packed, self.root / hexadecimal, files)
        return Artefact(f"sha256:{hexadecimal}", files.name, files.commit)

    def _come_in(self, packed: Path, place: Path, files: _Files) -> None:
        try:
            packed.rename(place)
        except OSError:
            if not place.is_dir():
                raise
        os.utime(place)
        if not (note := _note(place)).exists() or (files.commit and not _noted(note)[1]):
            note.write_text(f"{files.name}\n{files.commit}\n")

    def _known(self, version: str) -> Artefact | None:
        """Return the artefact whose digest `version` is; raise ArtefactError when none or several have it."""
        if not version.startswith("sha256:"):
            return None
        match = _DIGEST.fullmatch(version)
        found = [place for place in self._kept() if match and place.name.startswith(match[1])]
        if len(found) != 1:
            several = "several artefacts begin with" if found else "no artefact is kept here with"
            raise ArtefactError(f"{several} the digest {version}; give all of it, or its source to pack it again")
        os.utime(found[0])
        with suppress(OSError):
            return Artefact(f"sha256:{found[0].name}", *_noted(_note(found[0])))
        return Artefact(f"sha256:{found[0].name}", version)

    def _kept(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (path for path in self.root.iterdir() if _HEX.fullmatch(path.name) and path.is_dir())

    def _scratch(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=self.root))

    def _remove(self, place: Path) -> None:
        """Take it out by a rename first, so that it is never there in part; that works on a full disk too."""
        gone = place.with_name(f"{_SCRATCH}{place.name}")
        tree.remove(gone)
        with suppress(FileNotFoundError):
            place.rename(gone)
        tree.remove(gone)
        _note(place).unlink(missing_ok=True)

    def _prune(self, keep: Collection[str], unused_for: timedelta) -> tuple[str, ...]:
        now, forgotten = time.time(), []
        for place in self._kept():
            unused = now - place.stat().st_mtime > unused_for.total_seconds()
            if unused and f"sha256:{place.name}" not in keep:
                self._remove(place)
                forgotten.append(f"sha256:{place.name}")
        for left in self.root.glob(f"{_SCRATCH}*"):
            with suppress(FileNotFoundError):
                if now - left.stat().st_mtime > _ABANDONED.total_seconds():
                    tree.remove(left)
        return tuple(sorted(forgotten))


def _find(source: Source, version: str) -> _Files:
    """Find what a version that is no digest names."""
    directory = _own(source) if version in (".", "./") else Path(source.root) / version
    if "/" in version or version in (".", ".."):
        if directory.is_dir():
            return _Files(f"directory {version}", directory)
    elif not version:
        raise ArtefactError("a version is a git ref, a directory or a digest, and this one is empty")
    repository = Path(source.repository or source.root)
    commit = git.commit(repository, version)
    if commit:
        return _Files(f"git {git.short(repository, commit)}", commit=commit)
    if directory.is_dir():
        return _Files(f"directory {version}", directory)
    raise ArtefactError(f'no such git ref, directory or digest: "{version}" (looked in {source.root})')


def _own(source: Source) -> Path:
    directory = Path(source.root) / source.directory
    if not directory.is_dir():
        raise ArtefactError(f"{directory} is not a directory; look at artefact.directory in {_CONFIGURATION}")
    return directory


def _chooser(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    by_pattern = chooser(include, exclude)
    return lambda path: path != _CONFIGURATION and by_pattern(path)


def _note(place: Path) -> Path:
    """Where an artefact came from when it was first packed, or first from a commit."""
    return place.with_suffix(".source")


def _noted(note: Path) -> tuple[str, str]:
    """Return what a note says: where it came from in words, and the commit, "" when there is none."""
    name, _, commit = note.read_text().partition("\n")
    return name.strip(), commit.strip()


@contextmanager
def _told(root: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that says what to do."""
    try:
        yield
    except OSError as problem:
        where = problem.filename or root
        raise ArtefactError(f"artefacts are kept in {root}; {where}: {problem.strerror}") from problem
