"""After a rollback, what does git say, what runs, and which patch would make them agree again?"""

from __future__ import annotations

import email.utils
import re
import tempfile
from pathlib import Path

from interlock.adapters.docs.repository.git import KEY, git, must
from interlock.core.channel import DeploymentLog
from interlock.ports.docs import DocsError, Returned

_FROM_GIT = re.compile(r"git ([0-9a-f]{7,40})")


async def drift(log: DeploymentLog, returned: Returned, reports: Path) -> str:
    """Say how git differs from what runs, and where the patch is; "" where they agree."""
    now = f"{returned.environment} runs {returned.runs or 'nothing'}"
    new, code = _named(returned.commit, returned.source), Path(log.code)
    if not new or not code.is_dir():
        return (
            f"{returned.version} was taken back, {now}. It came from {returned.source or 'elsewhere'}, not from a "
            "commit, so no revert can be proposed: take the change back where it was made"
        )
    branch = await _branch(log, code)
    commit = await _commit(code, new)
    if commit and branch and not await _contains(code, branch, commit):
        return ""  # it was released from elsewhere, and what everybody starts from has not got it
    where = f"git's {branch}" if branch else "git"
    says = f"{where} says {returned.version} ({new[:12]}), {now}"
    old = _named(returned.runs_commit, returned.runs_source)
    if not old or not commit or not (back := await _commit(code, old)):
        return f"{says}, which came from {returned.runs_source or 'nowhere'}: the commits between them are not known"
    try:
        patch = await _patch(log, returned, commit, back)
    except DocsError as error:
        return f"{says}. No revert can be proposed: {error}"
    if not patch:
        return f"{says}; both have the same files"
    path = reports / f"{returned.run}-revert.patch"
    _write(path, patch)
    fits = await _fits(code, branch or commit, path)
    how = f"git -C {code} am {path}" if fits else "it no longer applies as it is, for the branch has gone on"
    return f"{says}. The revert is proposed in {path}, and not applied ({how})"


def _named(commit: str, source: str) -> str:
    """Return the commit that an artefact came from; before they kept it, only their words told."""
    if commit:
        return commit
    told = _FROM_GIT.fullmatch(source)
    return told[1] if told else ""


async def _branch(log: DeploymentLog, code: Path) -> str:
    """Return what everybody starts from, where the code is: the branch of the log, else the one checked out."""
    if log.branch and await _commit(code, f"refs/heads/{log.branch}"):
        return log.branch
    return (await git(code, "symbolic-ref", "--short", "-q", "HEAD")).text


async def _commit(code: Path, name: str) -> str:
    said = await git(code, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return said.text if said.good else ""


async def _contains(code: Path, branch: str, commit: str) -> bool:
    """Say whether the branch has the commit."""
    return (await git(code, "merge-base", "--is-ancestor", commit, f"refs/heads/{branch}")).status == 0


async def _patch(log: DeploymentLog, returned: Returned, new: str, old: str) -> bytes:
    """Return a mail as `git am` takes it: from the release that was taken back to the one that runs."""
    code = Path(log.code)
    top = Path(await must(code, "rev-parse", "--show-toplevel"))
    below = Path(await must(code, "rev-parse", "--show-prefix") or ".") / log.directory
    wanted = ("--", str(below), *await _but_the_log(log, code))
    said = await git(top, "diff-tree", "-p", "--binary", "--full-index", "--no-ext-diff", new, old, *wanted)
    if not said.good:
        raise DocsError(f"git diff-tree in {top}: {said.reason}")
    if not said.output.strip():
        return b""
    others = ("--invert-grep", f"--grep=^{KEY}: ")
    commits = await git(top, "log", "--format=    %h %s", "--max-count=50", *others, f"{old}..{new}", *wanted)
    head = (
        f"From {new} Mon Sep 17 00:00:00 2001\nFrom: Interlock <interlock@localhost>\n"
        f"Date: {email.utils.format_datetime(returned.at)}\n"
        f"Subject: [PATCH] Revert to {_line(returned.runs)}: {_line(returned.version)} was rolled back\n"
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n"
        f"{returned.run} took {_line(returned.version)} back in {returned.environment}:\n{_line(returned.reason)}\n\n"
        f"This takes back what is in these commits:\n\n{commits.text and '    ' + commits.text}\n---\n\n"
    )
    return head.encode() + said.output + b"-- \ninterlock\n"


async def _but_the_log(log: DeploymentLog, code: Path) -> tuple[str, ...]:
    """Return what leaves the log out of a patch: that the old release was deployed stays true."""
    home = ("rev-parse", "--path-format=absolute", "--git-common-dir")
    there = await git(Path(log.repository), *home)
    return (f":(top,exclude,literal){log.file}",) if there.good and there.text == await must(code, *home) else ()


async def _fits(code: Path, branch: str, patch: Path) -> bool:
    """Try the patch on the branch's files, in an index of our own: nothing that people see changes."""
    with tempfile.TemporaryDirectory(prefix="interlock-") as directory:
        index = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
        top = Path(await must(code, "rev-parse", "--show-toplevel"))
        if not (await git(top, "read-tree", branch, environment=index)).good:
            return False
        return (await git(top, "apply", "--cached", "--check", str(patch), environment=index)).good


def _line(text: str) -> str:
    return " ".join(text.split())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    beside.write_bytes(content)
    beside.replace(path)
