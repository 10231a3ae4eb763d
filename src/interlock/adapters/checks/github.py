"""Have a commit's checks passed on GitHub, or on what speaks as GitHub does?

Both kinds count: check runs (GitHub Actions and apps) and commit statuses (everybody else).
Source: docs.github.com/rest, "List check runs for a Git reference" and "Get the combined status".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from interlock.adapters.web import WebError, ask
from interlock.core.checks import GitHub
from interlock.core.gates import Answer, verdict
from interlock.core.release import Release

_GOOD = frozenset({"success", "neutral", "skipped"})
_PAGES = 10


class GitHubChecks:
    """Asks GitHub. `secret` returns the value of a token by its fingerprint."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def passed(self, source: GitHub, release: Release, within: timedelta) -> Answer:
        """Say whether all checks of the artefact's commit that are required have passed."""
        where, commit = f"GitHub {source.repository}", release.artefact.commit
        if not commit:
            return Answer(
                False, f"{where}: {release.version} was made from no commit, so no checks are known of it", True
            )
        try:
            found = await self._checks(source, commit, within) | await self._statuses(source, commit, within)
        except WebError as error:
            return Answer(False, str(error))
        except (KeyError, TypeError, AttributeError) as error:
            return Answer(False, f"{source.url} is no GitHub: its answer has not the shape expected ({error!r})")
        return verdict(f"{where} at {commit[:7]}", found, source.required)

    async def _checks(self, source: GitHub, commit: str, within: timedelta) -> dict[str, str]:
        """Return the newest run of each check, by name: "" when it passed, else how it stands."""
        found: dict[str, str] = {}
        for page in range(1, _PAGES + 1):
            query = {"filter": "latest", "per_page": "100", "page": str(page)}
            answer = await self._get(source, f"commits/{commit}/check-runs", query, within)
            runs = answer["check_runs"]
            found |= {run["name"]: _standing(run) for run in runs}
            if len(runs) < 100:
                break
        return found

    async def _statuses(self, source: GitHub, commit: str, within: timedelta) -> dict[str, str]:
        answer = await self._get(source, f"commits/{commit}/status", {"per_page": "100"}, within)
        return {one["context"]: "" if one["state"] == "success" else str(one["state"]) for one in answer["statuses"]}

    async def _get(self, source: GitHub, path: str, query: Mapping[str, str], within: timedelta) -> Any:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if source.token_secret:
            headers["Authorization"] = f"Bearer {self._secret(source.token_secret)}"
        url = f"{source.url}/repos/{source.repository}/{path}"
        return (await ask("GET", url, query=query, headers=headers, timeout=within)).good().json()


def _standing(run: Mapping[str, Any]) -> str:
    if run["status"] != "completed":
        return str(run["status"]).replace("_", " ")
    return "" if run["conclusion"] in _GOOD else str(run["conclusion"]).replace("_", " ")
