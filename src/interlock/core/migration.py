"""What must be done once with a new release before it gets traffic, and what may be done when that broke off?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Migration:
    """A command, run once for each release in an environment, with that release's files, variables and secrets.

    The old revision serves beside it and after it, also once it was gone back: what it changes must suit both.
    `irreversible`: going back does not undo it, and a person must agree. `idempotent`: it may be run again when it
    broke off.
    """

    command: tuple[str, ...]
    timeout: timedelta = timedelta(minutes=10)
    irreversible: bool = False
    idempotent: bool = True

    def __str__(self) -> str:
        return " ".join(self.command)


class Standing(StrEnum):
    """How far the command is. `LOST`: it was begun, runs no more, and nobody knows how it ended."""

    NEW = "not begun"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "broken off"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a release's migration in an environment.

    `attempt` counts how often it was begun, `run_by` is the rollout that did so last, `at` when. `lines` are the last
    that it wrote, without secrets.
    """

    standing: Standing = Standing.NEW
    attempt: int = 0
    run_by: str = ""
    at: datetime | None = None
    status: int | None = None
    lines: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether it has been done."""
        return self.standing is Standing.ENDED and self.status == 0

    @property
    def how(self) -> str:
        """Say in words how it ended."""
        if self.standing is not Standing.ENDED or self.status is None:
            return f"is {self.standing.value}"
        return f"ended with status {self.status}" if self.status >= 0 else f"was ended by signal {-self.status}"


def may_begin(migration: Migration, seen: Seen, rollout: str) -> str:
    """Say why the command may not be begun now; "" when it may.

    What has failed in this very rollout is not tried again in it: the rollout goes back.
    """
    if seen.standing is Standing.NEW:
        return ""
    if seen.standing is Standing.ENDED and seen.run_by == rollout:
        return f"migration {migration} {seen.how}"
    if migration.idempotent:
        return ""
    return (
        f"migration {migration} was begun by {seen.run_by or 'somebody'} and {seen.how}, and it is declared not to be "
        "idempotent, so it is not begun again. See what it has done; then declare idempotent: true, or release another "
        "version"
    )
