"""Is the commit that an artefact was made from known, whole, for those who ask about its tests?"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.adapters.artefacts.local import Directory
from interlock.core.source import Source


@pytest.fixture
def project(tmp_path: Path, needs: Callable[[str], Path]) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    (project / "app.py").write_text("print(1)\n")
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "first")
    git(project, "tag", "-a", "v1", "-m", "an annotated tag is an object of its own")
    return project


def git(project: Path, *arguments: str) -> str:
    argv = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-C", str(project), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


async def test_a_git_ref_leaves_the_whole_name_of_its_commit(project: Path, tmp_path: Path) -> None:
    store, head = Directory(tmp_path / "store"), git(project, "rev-parse", "HEAD")
    for ref in ("main", "v1", "HEAD", head[:8]):
        assert (await store.pack(Source(str(project), repository=str(project)), ref)).commit == head
    assert len(head) == 40


async def test_a_directory_leaves_none_also_where_it_is_a_checkout(project: Path, tmp_path: Path) -> None:
    packed = await Directory(tmp_path / "store").pack(Source(str(project), repository=str(project)), ".")
    assert packed.commit == ""


async def test_an_artefact_named_by_its_digest_is_of_the_commit_it_was_made_from(project: Path, tmp_path: Path) -> None:
    store, source = Directory(tmp_path / "store"), Source(str(project), repository=str(project))
    first = await store.pack(source, "v1")
    assert await store.pack(source, first.digest) == first


async def test_one_that_was_first_packed_from_a_directory_learns_its_commit(project: Path, tmp_path: Path) -> None:
    store, source = Directory(tmp_path / "store"), Source(str(project), repository=str(project))
    digest = (await store.pack(source, ".")).digest
    assert (await store.pack(source, digest)).commit == ""
    by_ref = await store.pack(source, "v1")
    assert by_ref.digest == digest
    assert (await store.pack(source, digest)).commit == by_ref.commit == git(project, "rev-parse", "HEAD")
    await store.pack(source, ".")
    assert (await store.pack(source, digest)).commit == by_ref.commit


async def test_a_note_of_an_earlier_version_has_no_commit(project: Path, tmp_path: Path) -> None:
    store, source = Directory(tmp_path / "store"), Source(str(project), repository=str(project))
    packed = await store.pack(source, "v1")
    store.path(packed).with_suffix(".source").write_text("git 6dcb09b")
    again = await store.pack(source, packed.digest)
    assert (again.source, again.commit) == ("git 6dcb09b", "")
