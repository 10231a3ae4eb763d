"""Which rollouts under way does nobody drive, since when, and why?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

log = logging.getLogger(__name__)

ALL = ""
"""Stands for every rollout: it is not even known which there are."""


@dataclass(slots=True)
class Stuck:
    """Remembers why a rollout could not be taken up; the log has each reason once, however often it is tried again."""

    _why: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    def note(self, id: str, at: datetime, why: str) -> None:
        """Say why a rollout is not driven; the first moment counts until it is cleared."""
        since, before = self._why.get(id, (at, ""))
        self._why[id] = since, why
        if why != before:
            log.warning("%s is not driven, which is tried again: %s", id or "no rollout", why)

    def clear(self, id: str) -> None:
        """Say that a rollout is driven."""
        if self._why.pop(id, None) is not None:
            log.info("%s can be driven again", id or "every rollout")

    def only(self, ids: Iterable[str]) -> None:
        """Forget the rollouts that are not among those under way."""
        known = {*ids, ALL}
        self._why = {id: why for id, why in self._why.items() if id in known}

    def told(self) -> Mapping[str, Mapping[str, str]]:
        """Return by rollout id (ALL for every one) since when it is not driven, and why."""
        return {id: {"since": since.isoformat(), "why": why} for id, (since, why) in self._why.items()}
