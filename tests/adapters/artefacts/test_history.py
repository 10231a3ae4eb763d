"""Are the commits between two releases listed, bounded, and refused in words when git does not know them?"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.adapters.artefacts.local import git
from interlock.app.incident import commits_between
from interlock.core.release import Artefact, Configuration, Release
from interlock.core.suspects import Commits
from interlock.ports.artefacts import ArtefactError

ADA = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


@pytest.fixture
def commits(tmp_path: Path, needs: Callable[[str], Path]) -> list[str]:
    """A repository with four commits; return their names, oldest first."""
    program = needs("git")

    def run(*arguments: str) -> str:
        environment = {**os.environ, **ADA, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("init", "--quiet")
    found = []
    for number in range(4):
        run("commit", "--quiet", "--allow-empty", "-m", f"change {number}")
        found.append(run("rev-parse", "--short", "HEAD"))
    return found


def release(source: str) -> Release:
    return Release("shop", source, Artefact("sha256:x", source), Configuration(("serve",)), "common")


def test_the_entries_of_the_deployment_log_are_no_suspects(tmp_path: Path, needs: Callable[[str], Path]) -> None:
    program, environment = needs("git"), {**os.environ, **ADA, "GIT_CONFIG_GLOBAL": os.devnull}
    for message in ("one", "Enter the deployment of shop v1\n\nInterlock-Key: shop-1-production.9.00000000", "two"):
        subprocess.run([program, "init", "--quiet"], cwd=tmp_path, env=environment, check=True, timeout=50)
        argv = [str(program), "commit", "--quiet", "--allow-empty", "-m", message]
        subprocess.run(argv, cwd=tmp_path, env=environment, check=True, timeout=50)
    lines, more = git.between(tmp_path, "HEAD~2", "HEAD", 50)
    assert [line.partition(" ")[2] for line in lines] == ["two"] and more == 0


def test_the_commits_between_two_releases_are_listed_newest_first(commits: list[str], tmp_path: Path) -> None:
    lines, more = git.between(tmp_path, commits[0], commits[3], 50)
    assert [line.partition(" ")[2] for line in lines] == ["change 3", "change 2", "change 1"]
    assert more == 0


def test_of_many_commits_the_newest_are_listed_and_the_rest_counted(commits: list[str], tmp_path: Path) -> None:
    lines, more = git.between(tmp_path, commits[0], commits[3], 2)
    assert (len(lines), more) == (2, 1)


def test_going_to_an_older_commit_lists_none(commits: list[str], tmp_path: Path) -> None:
    assert git.between(tmp_path, commits[3], commits[0], 50) == ((), 0)


def test_a_commit_that_git_does_not_know_is_an_error_that_names_it(commits: list[str], tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"git does not know the commits abcdef1\.\."):
        git.between(tmp_path, "abcdef1", commits[0], 50)


def test_what_cannot_be_known_is_said_and_breaks_no_report(commits: list[str], tmp_path: Path) -> None:
    old, new = release(f"git {commits[0]}"), release(f"git {commits[1]}")
    assert commits_between(old, new, tmp_path).lines[0].endswith("change 1")
    assert "first release" in commits_between(None, new, tmp_path).why
    assert "not both releases were made from git" in commits_between(release("directory app"), new, tmp_path).why
    assert "in which repository" in commits_between(old, new, None).why
    unknown = commits_between(release("git abcdef1"), new, tmp_path)
    assert isinstance(unknown, Commits) and "git does not know" in unknown.why
