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
_PAGES, _EACH = 10, 100
_UNKNOWN = (" answered 404", " answered 422")


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
            found = await self._checks(source, commit, within)
            for name, standing in await self._statuses(source, commit, within):
                found[name] = found.get(name) or standing
        except WebError as error:
            return Answer(False, f"{error}{_unknown(error, commit)}")
        except OSError:
            return Answer(False, f"{where}: its token is not kept here; plan again where it can be read")
        except (KeyError, TypeError, AttributeError) as error:
            return Answer(False, f"{source.url} is no GitHub: its answer has not the shape expected ({error!r})")
        return verdict(f"{where} at {commit[:7]}", found, source.required)

    async def _checks(self, source: GitHub, commit: str, within: timedelta) -> dict[str, str]:
        """Return how each check stands, by name: "" when it passed. Of several of one name the worst counts."""
        found: dict[str, str] = {}
        for run in await self._pages(source, f"commits/{commit}/check-runs", "check_runs", within):
            found[run["name"]] = found.get(run["name"]) or _standing(run)
        return found

    async def _statuses(self, source: GitHub, commit: str, within: timedelta) -> list[tuple[str, str]]:
        found = await self._pages(source, f"commits/{commit}/status", "statuses", within)
        return [(one["context"], "" if one["state"] == "success" else str(one["state"])) for one in found]

    async def _pages(self, source: GitHub, path: str, what: str, within: timedelta) -> list[Mapping[str, Any]]:
        """Return what is on all pages; raise WebError when there is no end of them."""
        found: list[Mapping[str, Any]] = []
        for page in range(1, _PAGES + 1):
            query = {"filter": "latest", "per_page": str(_EACH), "page": str(page)}
            some = (await self._get(source, path, query, within))[what]
            found += some
            if len(some) < _EACH:
                return found
        raise WebError(f"GitHub {source.repository} has more than {_PAGES * _EACH} checks of one commit")

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


def _unknown(error: WebError, commit: str) -> str:
    """Say what is likely behind an answer that does not say it: GitHub hides what a token may not see."""
    if not str(error).endswith(_UNKNOWN):
        return ""
    return f": is {commit[:7]} pushed, the repository's name right, and may the token see it?"
