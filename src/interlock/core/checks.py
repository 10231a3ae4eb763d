"""Where is it written that a release's tests have passed?

Tokens are keyed fingerprints: their values stay in the state directory and never in a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class GitHub:
    """Commit statuses and check runs of the artefact's commit, by an API compatible with GitHub's.

    `repository` is "owner/name". With `required` these must have passed, by name; without, all there are.
    """

    repository: str
    url: str = "https://api.github.com"
    token_secret: str = ""
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GitLab:
    """Commit statuses of the artefact's commit, by an API compatible with GitLab's; `project` is an id or a path."""

    project: str
    url: str = "https://gitlab.com"
    token_secret: str = ""
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JUnit:
    """A report in JUnit's XML, or several by a pattern: no failure, no error, at least one test, not too old."""

    path: str
    newer_than: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command, run not through a shell: exit status 0 is passed."""

    argv: tuple[str, ...]
    directory: str = ""


Source = GitHub | GitLab | JUnit | Command


@dataclass(frozen=True, slots=True)
class Checks:
    """All of the sources must say so, each within `timeout`."""

    sources: tuple[Source, ...]
    timeout: timedelta = timedelta(seconds=30)
