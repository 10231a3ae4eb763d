"""Which files does git know of a directory, and what is in a commit?"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from interlock.ports.artefacts import ArtefactError

_LONGEST = 120
# Where git is run by git (in a hook), these point to another repository than the one we ask about.
_POINTERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
_SUBMODULE = "160000"


def commit(repository: Path, ref: str) -> str | None:
    """Return the commit that a ref names, or None when there is no such ref, or no repository."""
    if ref.startswith("-") or not repository.is_dir():
        return None
    done = _git(repository, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return done.stdout.decode().strip() if done.returncode == 0 else None


def short(repository: Path, commit: str) -> str:
    """Return a commit's name as people write it."""
    done = _git(repository, "rev-parse", "--short", commit)
    return done.stdout.decode().strip() if done.returncode == 0 else commit[:7]


def tree(repository: Path, commit: str, directory: str) -> str:
    """Return the name that git has for all that is in a directory of a commit; raise ArtefactError without one."""
    place = f"{_prefix(repository)}{'' if directory == '.' else directory}".rstrip("/")
    done = _git(repository, "rev-parse", "--verify", "--quiet", f"{commit}:{place}")
    if done.returncode != 0:
        raise ArtefactError(f"there is no directory {directory} in the commit {commit[:7]}")
    return done.stdout.decode().strip()


def committed_at(repository: Path, commit: str) -> str:
    """Return when a commit was made, in ISO 8601; "" when git does not say."""
    done = _git(repository, "show", "--no-patch", "--format=%cI", commit)
    return done.stdout.decode().strip() if done.returncode == 0 else ""


def remote(repository: Path) -> str:
    """Return where the repository comes from, without user and password; "" when it is nowhere else."""
    done = _git(repository, "remote", "get-url", "origin")
    scheme, mark, rest = done.stdout.decode().strip().rpartition("://")
    if done.returncode != 0 or not rest or scheme == "file" or (not mark and ":" not in rest):
        return ""  # a directory of this machine says nothing to others
    return f"{scheme}{mark}{rest.rpartition('@')[2] if mark else rest}"


def files(directory: Path) -> list[str] | None:
    """Return the files that git would take: tracked as they are now, and untracked ones that are not ignored.

    None when the directory is in no checkout, or when git ignores all of it: then whoever names it means all in it.
    """
    if not _checkout(directory):
        return None
    return list(_listed(directory, "")) or None


def export(repository: Path, commit: str, directory: str, target: Path, chosen: Callable[[str], bool]) -> None:
    """Write the chosen files of a commit's directory below `target`."""
    tree = f"{commit}:{_prefix(repository)}{'' if directory == '.' else directory}".rstrip("/")
    _refuse_submodules(repository, tree, chosen)
    packed = target.with_suffix(".tar")
    done = _git(_top(repository), "archive", "--format=tar", f"--output={packed}", tree)
    if done.returncode != 0:
        raise ArtefactError(f"git cannot archive {directory} of {commit[:7]}: {_reason(done)}")
    with tarfile.open(packed) as archive:
        for member in archive:
            if not member.isdir() and chosen(member.name):
                _extract(archive, member, target / member.name)
    packed.unlink()


def between(repository: Path, old: str, new: str, most: int) -> tuple[tuple[str, ...], int]:
    """Return the newest commits from `old` (without it) to `new`, a line each, and how many more there are.

    Those that only enter a deployment in its log are ours, and left out. Raises ArtefactError when git does not know
    one of them.
    """
    span, others = f"{old}..{new}", ("--invert-grep", "--grep=^Interlock-Key: ")
    counted = _git(repository, "rev-list", "--count", *others, span, "--")
    shown = ("--oneline", "--no-decorate", "--no-color", f"--max-count={most}")
    listed = _git(repository, "log", *shown, *others, span, "--")
    for done in (counted, listed):
        if done.returncode != 0:
            raise ArtefactError(f"git does not know the commits {span} in {repository}: {_reason(done)}")
    lines = tuple(listed.stdout.decode(errors="replace").splitlines())
    return lines, max(0, int(counted.stdout) - len(lines))


def _listed(directory: Path, below: str) -> Iterator[str]:
    """Yield what git lists; a submodule, or a checkout inside this one, has a list of its own."""
    done = _git(directory / below, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    if done.returncode != 0:
        raise ArtefactError(f"git cannot list the files of {directory / below}: {_reason(done)}")
    for name in filter(None, os.fsdecode(done.stdout).split("\0")):
        path = directory / below / name
        if path.is_dir() and not path.is_symlink():
            yield from _listed(directory, f"{below}{name.rstrip('/')}/") if (path / ".git").exists() else ()
        elif path.is_symlink() or path.exists():  # tracked, but deleted here, is not there
            yield f"{below}{name}"


def _checkout(directory: Path) -> bool:
    """Say whether the directory is in a git checkout; raise ArtefactError when it is one that git cannot read."""
    if not any((above / ".git").exists() for above in (directory, *directory.parents)):
        return False
    done = _git(directory, "rev-parse", "--is-inside-work-tree")
    if done.returncode != 0:  # to take all files instead would pack what is ignored, perhaps secrets
        raise ArtefactError(f"{directory} is in a git checkout that git cannot read: {_reason(done)}")
    return done.stdout.strip() == b"true"


def _prefix(repository: Path) -> str:
    """Return where the project lies in its repository: "" or ``path/``."""
    return _git(repository, "rev-parse", "--show-prefix").stdout.decode().strip()


def _top(repository: Path) -> Path:
    """Return the repository's top directory: below it, `git archive` insists on archiving where it stands."""
    return repository / _git(repository, "rev-parse", "--show-cdup").stdout.decode().strip()


def _refuse_submodules(repository: Path, tree: str, chosen: Callable[[str], bool]) -> None:
    done = _git(repository, "ls-tree", "-r", "-z", tree)
    if done.returncode != 0:
        raise ArtefactError(f"there is no directory {tree.partition(':')[2]} in the commit {tree[:7]}: {_reason(done)}")
    for entry in filter(None, os.fsdecode(done.stdout).split("\0")):
        kind, _, path = entry.partition("\t")
        if kind.startswith(_SUBMODULE) and chosen(path):
            raise ArtefactError(
                f"{path} is a submodule, which a git ref does not carry: deploy a directory, or exclude it"
            )


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    content: IO[bytes] | None = archive.extractfile(member)
    if content is None:
        raise ArtefactError(f"{member.name} is neither a file nor a link: leave it out with `exclude`")
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run git; it asks nobody for a password, writes no index and starts no daemon."""
    environment = {name: value for name, value in os.environ.items() if name not in _POINTERS}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    argv = ["git", "-c", "core.fsmonitor=false", "-C", str(directory), *arguments]
    try:
        return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LONGEST, env=environment)
    except FileNotFoundError as missing:
        raise ArtefactError(f"git is needed to read {directory}, and is not installed") from missing
    except subprocess.TimeoutExpired as late:
        raise ArtefactError(f"git {arguments[0]} in {directory} took longer than {_LONGEST} s") from late


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[0].removeprefix("fatal: ") if lines else f"git ended with status {done.returncode}"
