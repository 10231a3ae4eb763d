"""Have a commit's jobs and statuses passed on GitLab, or on what speaks as GitLab does?

Source: docs.gitlab.com/api/commits, "List the statuses of a commit".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

from interlock.adapters.web import WebError, ask
from interlock.core.checks import GitLab
from interlock.core.gates import Answer, verdict
from interlock.core.release import Release

_GOOD = frozenset({"success", "skipped"})
_PAGES = 10


class GitLabChecks:
    """Asks GitLab. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def passed(self, source: GitLab, release: Release, within: timedelta) -> Answer:
        """Say whether all statuses of the artefact's commit that are required have passed."""
        where, commit = f"GitLab {source.project}", release.artefact.commit
        if not commit:
            return Answer(
                False, f"{where}: {release.version} was made from no commit, so no checks are known of it", True
            )
        try:
            return verdict(f"{where} at {commit[:7]}", await self._statuses(source, commit, within), source.required)
        except WebError as error:
            return Answer(False, str(error))
        except (KeyError, TypeError, AttributeError) as error:
            return Answer(False, f"{source.url} is no GitLab: its answer has not the shape expected ({error!r})")

    async def _statuses(self, source: GitLab, commit: str, within: timedelta) -> dict[str, str]:
        """Return each status by name: "" when it passed or may fail, else how it stands."""
        project = quote(source.project, safe="")
        url = f"{source.url}/api/v4/projects/{project}/repository/commits/{commit}/statuses"
        headers = {"PRIVATE-TOKEN": self._secret(source.token_secret)} if source.token_secret else {}
        found: dict[str, str] = {}
        for page in range(1, _PAGES + 1):
            answer = await ask(
                "GET", url, query={"per_page": "100", "page": str(page)}, headers=headers, timeout=within
            )
            statuses = answer.good().json()
            for one in statuses:
                well = one["status"] in _GOOD or bool(one.get("allow_failure"))
                found[one["name"]] = "" if well else str(one["status"])
            if len(statuses) < 100:
                break
        return found
