"""How is a deployment committed, though somebody may be working in that very repository?

The commit is made of git's own parts (blob, tree, commit, ref) with an index of our own: it holds that one file and
nothing that lies about. Without `push` it goes on top of the local branch, and where that is checked out the file is
renewed if, and only if, nobody has changed it there. With `push` it goes on top of the remote's branch and straight to
it: no local branch moves, and nobody's unpublished commits go along.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from interlock.adapters.docs.repository import revert, table
from interlock.adapters.docs.repository.git import KEY, git, must
from interlock.core.channel import DeploymentLog
from interlock.ports.docs import DocsError, Returned, Row

TRIES = 10
_OURS = "refs/interlock/deployment-log"
_IN_BETWEEN = ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG")
_NOBODY = {"NAME": "Interlock", "EMAIL": "interlock@localhost"}


class RepositoryDocs:
    """The log of one service. Patches are written into the directory `reports`."""

    def __init__(self, log: DeploymentLog, reports: Path) -> None:
        self._log, self._reports = log, reports
        self._repository = Path(log.repository)

    async def enter(self, row: Row) -> str:
        if not self._repository.is_dir():
            raise DocsError(f"there is no repository {self._repository}: look at docs.repository in interlock.yaml")
        branch = await self._branch()
        for attempt in range(TRIES):
            if await self._entered(row, branch):
                return f"{self._log.file} on {branch}"
            await asyncio.sleep(0.05 * attempt)
        raise DocsError(f"others committed to {branch} of {self._repository} {TRIES} times meanwhile")

    async def drift(self, returned: Returned) -> str:
        return await revert.drift(self._log, returned, self._reports)

    async def _branch(self) -> str:
        if self._log.branch:
            return self._log.branch
        said = await git(self._repository, "symbolic-ref", "--short", "-q", "HEAD")
        if not said.good:
            no = await git(self._repository, "rev-parse", "--git-dir")
            why = "has no branch checked out: name one in docs.branch" if no.good else f"is no repository: {no.reason}"
            raise DocsError(f"{self._repository} {why}")
        return said.text

    async def _entered(self, row: Row, branch: str) -> bool:
        """Try once; False when somebody else was faster."""
        if self._log.push:
            return await self._pushed(row, branch)
        checkout = await self._checkout(branch)
        if checkout is not None:
            await _refuse_in_between(checkout)
        tip = await self._tip(f"refs/heads/{branch}")
        text = await self._text(tip)
        if table.mark(row.key) not in text:
            commit = await self._commit(row, tip, table.entered(text, row))
            old = tip or "0" * 40
            if not (await git(self._repository, "update-ref", f"refs/heads/{branch}", commit, old)).good:
                return False
        if checkout is not None:
            await _Renewal(checkout, self._log.file, row).renew()
        return True

    async def _pushed(self, row: Row, branch: str) -> bool:
        tip = await self._fetched(branch)
        text = await self._text(tip)
        if table.mark(row.key) in text:
            return True
        commit = await self._commit(row, tip, table.entered(text, row))
        said = await git(self._repository, "push", "--porcelain", self._log.remote, f"{commit}:refs/heads/{branch}")
        if said.good:
            return True
        if b"rejected" in said.output and (b"fetch first" in said.output or b"non-fast-forward" in said.output):
            return False
        if b"remote rejected" in said.output and b"lock" in said.output:
            return False
        refused = next((one for one in said.text.splitlines() if one.startswith("!")), said.reason)
        raise DocsError(f"git push to {self._log.remote} {branch} in {self._repository}: {refused}")

    async def _fetched(self, branch: str) -> str:
        """Return the tip of the remote's branch; "" where there is none yet."""
        wanted = f"+refs/heads/{branch}:{_OURS}"
        remote = self._log.remote
        said = await git(self._repository, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, wanted)
        if said.good:
            return await must(self._repository, "rev-parse", "--verify", f"{_OURS}^{{commit}}")
        if "couldn't find remote ref" in said.complaint:
            return ""
        raise DocsError(f"git fetch from {remote} in {self._repository}: {said.reason}")

    async def _tip(self, ref: str) -> str:
        said = await git(self._repository, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        return said.text if said.good else ""

    async def _text(self, tip: str) -> str:
        said = await git(self._repository, "cat-file", "blob", f"{tip}:{self._log.file}") if tip else None
        return said.output.decode(errors="surrogateescape") if said is not None and said.good else ""

    async def _commit(self, row: Row, tip: str, text: str) -> str:
        """Make a commit on top of `tip` that differs from it in that one file; return its name. No ref moves."""
        content = text.encode(errors="surrogateescape")
        blob = await must(self._repository, "hash-object", "-w", "--stdin", given=content)
        with tempfile.TemporaryDirectory(prefix="interlock-") as directory:
            index = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
            await must(self._repository, "read-tree", tip or "--empty", environment=index)
            entry = f"100644,{blob},{self._log.file}"
            await must(self._repository, "update-index", "--add", "--cacheinfo", entry, environment=index)
            tree = await must(self._repository, "write-tree", environment=index)
        parent = ("-p", tip) if tip else ()
        return await must(self._repository, "commit-tree", tree, *parent, given=_said(row), environment=_author(row.at))

    async def _checkout(self, branch: str) -> Path | None:
        """Return the directory in which the branch is checked out, if it is."""
        listed = await must(self._repository, "worktree", "list", "--porcelain")
        for block in listed.split("\n\n"):
            lines = block.splitlines()
            if f"branch refs/heads/{branch}" in lines and "bare" not in lines:
                return Path(lines[0].removeprefix("worktree "))
        return None


@dataclass(frozen=True, slots=True)
class _Renewal:
    """Brings the file up where its branch is checked out: index and file each, if they are as they were before."""

    checkout: Path
    file: str
    row: Row

    async def renew(self) -> None:
        tip = (await git(self.checkout, "cat-file", "blob", f"HEAD:{self.file}")).output
        blob = await must(self.checkout, "rev-parse", f"HEAD:{self.file}")
        before = table.without(tip.decode(errors="surrogateescape"), self.row).encode(errors="surrogateescape")
        path = self.checkout / self.file
        there = path.read_bytes() if path.is_file() else b""
        if await self._staged() == before:
            await must(self.checkout, "update-index", "--add", "--cacheinfo", f"100644,{blob},{self.file}")
        if there == before and not path.is_symlink():
            _replace(path, tip)
            await git(self.checkout, "update-index", "--refresh", "-q", "--", self.file)

    async def _staged(self) -> bytes:
        said = await git(self.checkout, "cat-file", "blob", f":{self.file}")
        return said.output if said.good else b""


async def _refuse_in_between(checkout: Path) -> None:
    """A branch must not move below somebody who is in the middle of a rebase or a merge."""
    for name in _IN_BETWEEN:
        path = await must(checkout, "rev-parse", "--git-path", name)
        if (checkout / path).exists():
            raise DocsError(f"{checkout} is in the middle of something ({name}): it is entered when that is over")


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.interlock")
    beside.write_bytes(content)
    if path.exists():
        beside.chmod(path.stat().st_mode & 0o777)
    beside.replace(path)


def _said(row: Row) -> bytes:
    text = f"Enter the deployment of {row.service} {row.version} to {row.environment}\n\nBy {row.by}. {row.report}\n"
    return f"{text}\n{KEY}: {row.key}\n".encode()


def _author(at: datetime) -> dict[str, str]:
    """Name us as the author, at the moment of the deployment: done again, it is the same commit."""
    when = f"{int(at.timestamp())} +0000"
    people = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _NOBODY.items()}
    return {**people, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
