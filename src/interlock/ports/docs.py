"""How does a deployment enter itself where people read what runs?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class DocsError(Exception):
    """It cannot be entered now; it is to be tried again. The message says why and what to do, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Row:
    """One deployment that succeeded; `key` is its own for ever, so that it is entered once."""

    key: str
    at: datetime
    service: str
    version: str
    environment: str
    by: str
    strategy: str
    verdict: str
    report: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A release that was taken back: where it came from, and where what runs now came from, in the artefacts' words.

    `commit` and `runs_commit` are the commits, where it is known that they came from one.
    """

    key: str
    at: datetime
    run: str
    environment: str
    version: str
    source: str
    runs: str
    runs_source: str
    reason: str
    commit: str = ""
    runs_commit: str = ""


class Docs(Protocol):
    """The deployment log of a service, in version control."""

    async def enter(self, row: Row) -> str:
        """Enter a deployment, once however often asked; return where, in words. Raises DocsError."""

    async def drift(self, returned: Returned) -> str:
        """Say how what is in version control differs from what runs, and which patch would mend it; "" if it does not.

        The patch is written beside the reports and never applied. Raises DocsError.
        """
