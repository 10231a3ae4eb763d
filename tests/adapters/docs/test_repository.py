"""Does a deployment enter itself once, whatever others do to the repository, and is nobody's work disturbed?"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from interlock.adapters.docs.repository import RepositoryDocs, table
from interlock.adapters.docs.repository import log as module
from interlock.adapters.docs.repository.git import git as run_git
from interlock.core.channel import DeploymentLog
from interlock.ports.docs import DocsError, Returned, Row

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ROW = Row(
    "shop-7-production.31.0a1b2c3d",
    AT,
    "shop",
    "1.4.2",
    "production",
    "ada",
    "canary",
    "pass",
    "`interlock report shop-7`",
)
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "ada"), ("EMAIL", "a@b.c"))
    },
}


@pytest.fixture(autouse=True)
def git_is_there(needs: Callable[[str], Path]) -> None:
    needs("git")


def git(where: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=30, check=False
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with one commit, checked out."""
    where = tmp_path / "shop"
    where.mkdir()
    git(where, "init", "-q", "-b", "main")
    write(where, "app.py", "print(1)\n")
    return where


def write(where: Path, name: str, text: str, message: str = "more") -> str:
    (where / name).parent.mkdir(parents=True, exist_ok=True)
    (where / name).write_text(text)
    git(where, "add", name)
    git(where, "commit", "-q", "-m", message)
    return git(where, "rev-parse", "--short", "HEAD")


def docs(where: Path, reports: Path | None = None, **more: object) -> RepositoryDocs:
    log = DeploymentLog(str(where), code=str(where), **more)  # type: ignore[arg-type]
    return RepositoryDocs(log, reports or where.parent / "reports")


async def test_a_deployment_is_a_row_in_a_commit_of_that_file_alone(shop: Path) -> None:
    assert await docs(shop).enter(ROW) == "DEPLOYMENTS.md on main"
    assert git(shop, "show", "--name-only", "--format=%an%n%ad%n%s", "--date=iso-strict").splitlines() == [
        "Interlock",
        "2026-03-01T12:30:00+00:00",
        "Enter the deployment of shop 1.4.2 to production",
        "",
        "DEPLOYMENTS.md",
    ]
    text = (shop / "DEPLOYMENTS.md").read_text()
    assert text.startswith("# Deployments of shop\n")
    assert (
        "| 2026-03-01 12:30 | 1.4.2 | production | ada | canary | pass | `interlock report shop-7` "
        "<!-- shop-7-production.31.0a1b2c3d --> |" in text
    )
    assert git(shop, "status", "--porcelain") == ""


async def test_the_newest_is_first_and_what_people_write_around_stays(shop: Path) -> None:
    await docs(shop).enter(ROW)
    text = (shop / "DEPLOYMENTS.md").read_text()
    write(shop, "DEPLOYMENTS.md", f"{text.replace('| ada |', '| ada, for Grace |')}\nA word of ours.")
    await docs(shop).enter(replace(ROW, key="later", version="1.5|0"))
    rows = [line for line in (shop / "DEPLOYMENTS.md").read_text().splitlines() if "<!--" in line]
    assert "1.5\\|0" in rows[0] and "ada, for Grace" in rows[1]
    assert (shop / "DEPLOYMENTS.md").read_text().endswith("A word of ours.")


async def test_entered_twice_it_is_one_row(shop: Path) -> None:
    await docs(shop).enter(ROW)
    head = git(shop, "rev-parse", "HEAD")
    await docs(shop).enter(ROW)
    assert git(shop, "rev-parse", "HEAD") == head


async def test_work_that_lies_about_is_not_disturbed_and_not_committed(shop: Path) -> None:
    write(shop, "other.py", "1\n")
    (shop / "app.py").write_text("dirty\n")
    (shop / "other.py").write_text("staged\n")
    git(shop, "add", "other.py")
    (shop / "untracked").write_text("u\n")
    before = git(shop, "status", "--porcelain")
    await docs(shop, file="log/DEPLOYMENTS.md").enter(ROW)
    assert git(shop, "status", "--porcelain") == before
    assert (shop / "log" / "DEPLOYMENTS.md").is_file() and (shop / "app.py").read_text() == "dirty\n"
    assert git(shop, "show", "HEAD:app.py") == "print(1)"


async def test_a_file_that_somebody_is_editing_is_left_as_it_is(shop: Path) -> None:
    await docs(shop).enter(ROW)
    (shop / "DEPLOYMENTS.md").write_text("mine\n")
    await docs(shop).enter(replace(ROW, key="later"))
    assert (shop / "DEPLOYMENTS.md").read_text() == "mine\n"
    assert "later" in git(shop, "show", "HEAD:DEPLOYMENTS.md")
    assert git(shop, "diff", "--cached", "--name-only") == "", "their next commit must not take the row back"


@pytest.mark.parametrize("moment", ["before the ref", "after the ref"])
async def test_killed_in_the_middle_it_makes_one_row_and_leaves_a_clean_checkout(
    shop: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, died = run_git, False

    class Died(Exception):
        pass

    async def mortal(repository: Path, *arguments: str, **more: object) -> object:
        nonlocal died
        if arguments[0] == "update-ref" and not died:
            died = True
            if moment == "after the ref":
                await real(repository, *arguments, **more)  # type: ignore[arg-type]
            raise Died
        return await real(repository, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "git", mortal)
    with pytest.raises(Died):
        await docs(shop).enter(ROW)
    await docs(shop).enter(ROW)
    assert (shop / "DEPLOYMENTS.md").read_text().count(ROW.key) == 1
    assert git(shop, "rev-list", "--count", "HEAD") == "2"
    assert git(shop, "status", "--porcelain") == ""


async def test_while_somebody_rebases_or_merges_it_waits(shop: Path) -> None:
    (shop / ".git" / "MERGE_HEAD").write_text(git(shop, "rev-parse", "HEAD"))
    with pytest.raises(DocsError, match="in the middle of something"):
        await docs(shop).enter(ROW)
    (shop / ".git" / "MERGE_HEAD").unlink()
    await docs(shop).enter(ROW)


async def test_on_a_branch_that_is_not_checked_out_nothing_in_the_checkout_changes(shop: Path) -> None:
    git(shop, "branch", "log")
    await docs(shop, branch="log").enter(ROW)
    assert not (shop / "DEPLOYMENTS.md").exists() and git(shop, "status", "--porcelain") == ""
    assert ROW.key in git(shop, "show", "log:DEPLOYMENTS.md")


async def test_no_hook_of_the_repository_runs(shop: Path) -> None:
    for name in ("pre-commit", "post-commit", "reference-transaction", "pre-push"):
        hook = shop / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    await docs(shop).enter(ROW)
    assert ROW.key in git(shop, "show", "main:DEPLOYMENTS.md")


@pytest.fixture
def remote(tmp_path: Path, shop: Path) -> Path:
    """A bare repository that `shop` was pushed to."""
    where = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(where))
    git(shop, "remote", "add", "origin", str(where))
    git(shop, "push", "-q", "origin", "main")
    return where


async def test_pushed_it_goes_straight_to_the_remote_and_takes_nobodys_work_along(shop: Path, remote: Path) -> None:
    write(shop, "secret-plan.py", "not yet\n")
    local = git(shop, "rev-parse", "main")
    await docs(shop, push=True).enter(ROW)
    await docs(shop, push=True).enter(ROW)
    assert git(remote, "show", "main:DEPLOYMENTS.md").count(ROW.key) == 1
    assert "secret-plan.py" not in git(remote, "ls-tree", "-r", "--name-only", "main")
    assert git(shop, "rev-parse", "main") == local and git(shop, "status", "--porcelain") == ""


async def test_others_who_push_all_the_time_lose_nothing_and_neither_do_we(
    shop: Path, remote: Path, tmp_path: Path
) -> None:
    other, stop, pushed = tmp_path / "other", threading.Event(), list[str]()
    git(tmp_path, "clone", "-q", str(remote), str(other))

    def push_all_the_time() -> None:
        while not stop.is_set() and len(pushed) < 60:
            name = f"file-{len(pushed)}"
            write(other, name, name)
            for _ in range(50):
                env, quiet = ENVIRONMENT, subprocess.DEVNULL
                argv = ["git", "-C", str(other)]
                if (
                    subprocess.run(
                        [*argv, "push", "-q", "origin", "main"], env=env, stderr=quiet, timeout=30
                    ).returncode
                    == 0
                ):
                    pushed.append(name)
                    break
                subprocess.run([*argv, "pull", "-q", "--rebase", "origin", "main"], env=env, stderr=quiet, timeout=30)

    pusher = threading.Thread(target=push_all_the_time)
    pusher.start()
    try:
        for number in range(6):
            row = replace(ROW, key=f"key-{number}-", version=str(number))
            for _ in range(20):  # as the courier would
                try:
                    await docs(shop, push=True).enter(row)
                    break
                except DocsError:
                    await asyncio.sleep(0.1)
    finally:
        stop.set()
        await asyncio.to_thread(pusher.join)
    text = git(remote, "show", "main:DEPLOYMENTS.md")
    assert [text.count(f"key-{number}-") for number in range(6)] == [1] * 6
    there = git(remote, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert pushed and set(pushed) <= set(there)


async def test_a_remote_that_is_gone_or_refuses_is_said_without_its_password(shop: Path, remote: Path) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho no deployments today >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(DocsError, match="git push to origin main"):
        await docs(shop, push=True).enter(ROW)
    git(shop, "remote", "set-url", "origin", "http://ada:geheim@127.0.0.1:1/shop.git")
    with pytest.raises(DocsError, match="git fetch from origin") as gone:
        await docs(shop, push=True).enter(ROW)
    assert "geheim" not in str(gone.value)


async def test_a_remote_branch_that_does_not_exist_yet_is_begun(shop: Path, remote: Path) -> None:
    await docs(shop, push=True, branch="deployments").enter(ROW)
    assert git(remote, "ls-tree", "-r", "--name-only", "deployments") == "DEPLOYMENTS.md"


async def test_what_is_no_repository_is_said(tmp_path: Path) -> None:
    with pytest.raises(DocsError, match=r"there is no repository .*nowhere: look at docs.repository"):
        await docs(tmp_path / "nowhere").enter(ROW)
    with pytest.raises(DocsError, match="is no repository: not a git repository"):
        await docs(tmp_path).enter(ROW)


async def test_a_bare_repository_takes_the_row_too(shop: Path, remote: Path) -> None:
    await docs(remote).enter(ROW)
    assert ROW.key in git(remote, "show", "main:DEPLOYMENTS.md")


# --- drift


def returned(new: str, old: str) -> Returned:
    return Returned("k", AT, "shop-8", "production", "1.5.0", new, "1.4.2", old, "9 % of the requests failed")


async def test_after_a_rollback_the_drift_is_named_and_the_revert_proposed_but_not_applied(shop: Path) -> None:
    old = git(shop, "rev-parse", "--short", "HEAD")
    write(shop, "app.py", "print(2)\n", "Print two")
    (shop / "bin").write_bytes(bytes(range(256)))
    git(shop, "add", "bin")
    git(shop, "commit", "-q", "-m", "A binary")
    new = git(shop, "rev-parse", "--short", "HEAD")
    said = await docs(shop).drift(returned(f"git {new}", f"git {old}"))
    patch = shop.parent / "reports" / "shop-8-revert.patch"
    assert said.startswith(f"git's main says 1.5.0 ({new}), production runs 1.4.2. The revert is proposed in {patch}")
    assert git(shop, "status", "--porcelain") == "" and (shop / "app.py").read_text() == "print(2)\n"
    text = patch.read_text(errors="replace")
    assert "Print two" in text and "9 % of the requests failed" in text
    git(shop, "am", "-q", str(patch))
    assert (shop / "app.py").read_text() == "print(1)\n" and not (shop / "bin").exists()
    assert git(shop, "log", "-1", "--format=%s") == "Revert to 1.4.2: 1.5.0 was rolled back"


@pytest.mark.parametrize("file", ["DEPLOYMENTS.md", "log/[d] ?.md"])
async def test_a_revert_takes_no_entry_out_of_the_log_that_lies_beside_the_code(shop: Path, file: str) -> None:
    old = git(shop, "rev-parse", "--short", "HEAD")
    await docs(shop, file=file).enter(ROW)
    new = write(shop, "app.py", "print(2)\n", "Print two")
    await docs(shop, file=file).drift(returned(f"git {new}", f"git {old}"))
    patch = shop.parent / "reports" / "shop-8-revert.patch"
    assert "Print two" in patch.read_text() and "Enter the deployment" not in patch.read_text()
    git(shop, "am", "-q", str(patch))
    assert (shop / "app.py").read_text() == "print(1)\n"
    assert ROW.key in (shop / file).read_text(), "that the old release was deployed is as true as before"


async def test_a_log_in_another_repository_hides_no_file_of_the_code(shop: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", str(tmp_path / "log"))
    old = git(shop, "rev-parse", "--short", "HEAD")
    new = write(shop, "DEPLOYMENTS.md", "the code's own\n")
    log = DeploymentLog(str(tmp_path / "log"), code=str(shop))
    await RepositoryDocs(log, tmp_path / "reports").drift(returned(f"git {new}", f"git {old}"))
    assert "the code's own" in (tmp_path / "reports" / "shop-8-revert.patch").read_text()


async def test_of_a_repository_of_many_services_only_this_ones_part_is_reverted(shop: Path) -> None:
    old = git(shop, "rev-parse", "--short", "HEAD")
    write(shop, "till/app.py", "till\n")
    new = write(shop, "shop/app.py", "shop\n")
    await docs(shop, directory="shop").drift(returned(f"git {new}", f"git {old}"))
    patch = (shop.parent / "reports" / "shop-8-revert.patch").read_text()
    assert "shop/app.py" in patch and "till" not in patch


async def test_a_revert_that_no_longer_fits_says_so(shop: Path) -> None:
    old = git(shop, "rev-parse", "--short", "HEAD")
    new = write(shop, "app.py", "print(2)\n")
    write(shop, "app.py", "print(3)\n")
    assert "it no longer applies as it is" in await docs(shop).drift(returned(f"git {new}", f"git {old}"))


async def test_what_was_released_from_elsewhere_is_no_drift_of_the_branch(shop: Path) -> None:
    old = git(shop, "rev-parse", "--short", "HEAD")
    git(shop, "checkout", "-q", "-b", "try")
    new = write(shop, "app.py", "print(2)\n")
    git(shop, "checkout", "-q", "main")
    assert await docs(shop).drift(returned(f"git {new}", f"git {old}")) == ""


async def test_what_came_from_no_commit_is_named_without_a_patch(shop: Path) -> None:
    said = await docs(shop).drift(returned("directory .", "directory ."))
    assert said.startswith("1.5.0 was taken back, production runs 1.4.2. It came from directory ., not from a commit")
    new = git(shop, "rev-parse", "--short", "HEAD")
    said = await docs(shop).drift(returned(f"git {new}", "directory ."))
    assert "the commits between them are not known" in said
    assert not (shop.parent / "reports").exists()


def test_a_row_cannot_be_taken_for_the_tables_own_structure() -> None:
    line = table.line(replace(ROW, by="a | b\n<!-- x -->", version="\\"))
    assert line.count("\n") == 0 and "a \\| b &lt;!-- x -->" in line
    text = table.entered("", ROW)
    assert table.without(text, ROW) == "" and table.without(table.entered("# Mine\n", ROW), ROW).startswith(
        "# Mine\n\n|"
    )
