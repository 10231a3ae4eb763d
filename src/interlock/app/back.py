"""How does one go back: does what is under way turn round, or is a release that was proven earlier brought back?"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from interlock.core.rollout import Rollout


class Way(StrEnum):
    """What happens to what is under way when somebody wants to go back: going back is never refused because of it."""

    TURN = "it turns round, and that is all"
    ALSO = "it goes back too, for it is in another environment"
    FIRST = "it goes back first"
    PLAN = "nothing is under way"


def way_back(newest: Rollout, version: str | None, production: Callable[[], str]) -> Way:
    """Say how to get to a version, the one before when None; `newest` is the newest rollout, over or not.

    Which environment is `production` is asked only where it matters: what turns round needs no file to be read.
    """
    if newest.over:
        return Way.PLAN
    if _goes_there_anyway(newest, version):
        return Way.TURN
    return Way.ALSO if newest.stage.environment != production() else Way.FIRST


def _goes_there_anyway(running: Rollout, version: str | None) -> bool:
    """Say whether turning the rollout that is under way leads to the version wanted."""
    old = running.stage.replaces
    return version is None or (old is not None and version in (old.release.version, old.release.identity))
