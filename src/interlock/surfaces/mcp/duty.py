"""What does an agent say that it knows of, and who has to know besides?"""

from __future__ import annotations

from typing import Annotated

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, Elicit, Resolve
from pydantic import BaseModel, Field

from interlock.app.agents import NeedsPerson
from interlock.surfaces.mcp.call import Call, Change
from interlock.surfaces.mcp.rollouts import RunId


class Comment(BaseModel):
    """What is put on record with it."""

    comment: str = Field("", max_length=500, description="a comment, for the record; it acknowledges nothing")


class Known(Change):
    """That an agent knows of a run is on record."""

    run: str = ""
    comment: str = ""

    def said(self) -> str:
        return f"it is on record that you know of {self.run}; nobody on call has to acknowledge it"


async def ask_comment(context: Context) -> Elicit[Comment] | Comment:
    """Ask whoever sits before the client for a comment, where the client can ask."""
    capabilities = context.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return Comment()
    return Elicit(
        "A comment on this deployment, for the record? It is no acknowledgement by somebody on call.", Comment
    )


async def acknowledge(
    call: Call,
    asked: Annotated[ElicitationResult[Comment], Resolve(ask_comment)],
    rollout: RunId = "",
    comment: Annotated[str, Field(max_length=500, description="a comment, for the record")] = "",
) -> Known:
    """Put on record that you know of a run, with a comment. It is never the acknowledgement of somebody on call.

    Where one of those on call has to acknowledge, the answer is the command that they type.
    """
    more = asked.data.comment if isinstance(asked, AcceptedElicitation) else ""
    said = " / ".join(filter(None, (comment, more)))
    view, command = await call.desk.known(rollout or None, said)
    if command:
        raise NeedsPerson("somebody on call has to acknowledge it, and an agent is nobody on call", command)
    return Known(run=view.run, comment=said)
