"""What may we ask of the place that keeps immutable builds?"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from pathlib import PurePath
from typing import Protocol

from interlock.core.release import Artefact
from interlock.core.source import Source


class ArtefactError(Exception):
    """An artefact could not be found, built or kept; the message says which, why, and what to do."""


class Artefacts(Protocol):
    """Keeps artefacts under the digest of their content. What is kept never changes."""

    async def pack(self, source: Source, version: str) -> Artefact:
        """Keep what `version` names and return it; the same content is the same artefact, however often packed.

        `version` is, in this order: ``sha256:…``, the digest (or its first twelve digits or more) of an artefact kept
        already; a directory, when it contains a slash or is ``.`` (which is the source's own directory); a git ref;
        a directory of that name. Relative directories are seen from the source's root. Raises ArtefactError.
        """

    def path(self, artefact: Artefact) -> PurePath:
        """Return the directory where the artefact lies unpacked, whether or not it is there."""

    async def has(self, artefact: Artefact) -> bool:
        """Say whether the artefact is kept here."""

    async def remove(self, artefact: Artefact) -> None:
        """Forget an artefact; nothing happens when it is not there. Raises ArtefactError."""

    async def prune(self, keep: Collection[str], unused_for: timedelta) -> tuple[str, ...]:
        """Forget what nobody packed for so long, except the digests in `keep`; return the digests forgotten."""
