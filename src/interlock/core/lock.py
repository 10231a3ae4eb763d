"""Who has locked a service, since when and why, and does that hold now?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Lock:
    """No deploy of the service starts while it holds; what is under way goes on, and going back always works.

    `until` is when it ends by itself; None: it holds until somebody takes it away.
    """

    service: str
    by: str
    since: datetime
    reason: str = ""
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it still holds."""
        return self.until is None or now < self.until

    def __str__(self) -> str:
        until = "" if self.until is None else f", until {self.until:%Y-%m-%d %H:%M:%S} UTC"
        why = self.reason or "no reason was given"
        return f"locked by {self.by} since {self.since:%Y-%m-%d %H:%M:%S} UTC{until}: {why}"


class Locked(Exception):
    """The service is locked, and what was asked for would start a deploy: `lock` is the one that holds."""

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        super().__init__(
            f"{lock.service} is {lock}. No deploy starts until it is unlocked (interlock unlock); going back to a "
            "release proven earlier works (interlock rollback)"
        )
