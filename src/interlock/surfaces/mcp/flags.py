"""Who gets a feature: nobody, everybody, or so many percent of users?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from interlock.surfaces.mcp.call import Call, Change
from interlock.surfaces.mcp.quoted import Quoted, quote

Action = Literal["enable", "disable", "update_strategy"]


class Flagged(Change):
    """How a flag stood and stands, as whoever keeps it says."""

    flag_name: str = ""
    environment: str = ""
    action: str = ""
    enabled: bool | None = None
    percentage: int | None = Field(None, description="of users who may get it; null where it is not a plain percentage")
    before: Quoted | None = None
    now: Quoted | None = None
    rollout: str = Field("", description="the rollout under way that the flag belongs to, if there is one")

    def said(self) -> str:
        if self.outcome == "dry_run":
            return f"{self.action} of {self.flag_name} in {self.environment} would be asked for"
        return f"{self.flag_name} in {self.environment}: {self.now}; it was {self.before or 'unknown'}"


async def toggle_feature_flag(
    call: Call,
    flag_name: Annotated[str, Field(max_length=200, description="the flag, as whoever keeps it calls it")],
    action: Annotated[
        Action, Field(description="update_strategy gives it to rollout_percentage of users, and enables it")
    ],
    environment: Annotated[str, Field(max_length=64, description="where: as interlock.yaml names it")],
    rollout_percentage: Annotated[
        int | None,
        Field(ge=0, le=100, description="of users; needed for update_strategy, may come with enable; 0 turns it off"),
    ] = None,
) -> Flagged:
    """Enable or disable a feature flag, or give it to a percentage of users; the answer is read back from its keeper.

    More users get it only while gates are open and no rollout has the flag; to turn it off is always possible.
    """
    done = await call.desk.flag(flag_name, action, environment, rollout_percentage)
    if done is None:
        return Flagged(outcome="dry_run", flag_name=flag_name, environment=environment, action=action)
    return Flagged(
        flag_name=done.flag,
        environment=done.environment,
        action=done.action.value,
        enabled=done.now.enabled,
        percentage=done.now.percentage,
        before=quote(str(done.before), "the flag's keeper") if done.before is not None else None,
        now=quote(str(done.now), "the flag's keeper"),
        rollout=done.rollout,
    )
