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
_PAGES, _EACH = 10, 100


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
            hint = f": is {commit[:7]} pushed, the project's name right, and may the token see it?"
            return Answer(False, f"{error}{hint if str(error).endswith(' answered 404') else ''}")
        except OSError:
            return Answer(False, f"{where}: its token is not kept here; plan again where it can be read")
        except (KeyError, TypeError, AttributeError) as error:
            return Answer(False, f"{source.url} is no GitLab: its answer has not the shape expected ({error!r})")

    async def _statuses(self, source: GitLab, commit: str, within: timedelta) -> dict[str, str]:
        """Return how each job stands, by name: "" when it passed or may fail. Of those of one name the worst counts."""
        project = quote(source.project, safe="")
        url = f"{source.url}/api/v4/projects/{project}/repository/commits/{commit}/statuses"
        headers = {"PRIVATE-TOKEN": self._secret(source.token_secret)} if source.token_secret else {}
        found: dict[str, str] = {}
        for page in range(1, _PAGES + 1):
            query = {"per_page": str(_EACH), "page": str(page)}
            answer = await ask("GET", url, query=query, headers=headers, timeout=within)
            statuses = answer.good().json()
            for one in statuses:
                well = one["status"] in _GOOD or bool(one.get("allow_failure"))
                found[one["name"]] = found.get(one["name"]) or ("" if well else str(one["status"]))
            if len(statuses) < _EACH:
                return found
        raise WebError(f"GitLab {source.project} has more than {_PAGES * _EACH} statuses of one commit")
