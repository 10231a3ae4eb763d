"""What can be read by its address: a rollout, its report, a plan?"""

from __future__ import annotations

import json
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from interlock.app import plans
from interlock.app.plans import PlanFileError
from interlock.app.view import NoSuchRollout
from interlock.ports.store import StoreError
from interlock.surfaces.mcp.call import Answer, Call, Offer
from interlock.surfaces.mcp.plans import plan_said
from interlock.surfaces.mcp.quoted import PAGE
from interlock.surfaces.mcp.reports import report
from interlock.surfaces.mcp.rollouts import run_of

JSON, MARKDOWN = "application/json", "text/markdown"
Asked = Context[Any, Any]


def offer_resources(server: MCPServer[Any], offer: Offer) -> None:
    """Let rollouts, reports and plans be read."""

    @server.resource("rollout://{id}", name="rollout", mime_type=JSON, description="a run as it stands, by its name")
    async def rollout(id: str, context: Asked) -> str:
        return await _read(offer, context, lambda call: _run(call, id))

    @server.resource("plan://{id}", name="plan", mime_type=JSON, description="a plan that was made, by its hash")
    async def plan(id: str, context: Asked) -> str:
        return await _read(offer, context, lambda call: _plan(call, id))

    @server.resource("report://{id}", name="report", mime_type=MARKDOWN, description="the deployment report of a run")
    async def written(id: str, context: Asked) -> str:
        return await _read(offer, context, lambda call: report(call, id, incident=False), page=True)


async def _read(offer: Offer, context: Asked, make: Any, *, page: bool = False) -> str:
    try:
        answer: Answer = await make(offer.call(context))
    except (NoSuchRollout, PlanFileError, StoreError) as missing:
        raise ResourceNotFoundError(offer.said(missing)) from None
    except Exception as error:
        raise ResourceError(offer.said(error)) from None
    if page:
        return offer.veil.text(answer.text(), PAGE, lines=True)
    return json.dumps(offer.veil.all(answer.model_dump(mode="json")), ensure_ascii=False)


async def _run(call: Call, id: str) -> Answer:
    return run_of(await call.project.glance.view(id))


async def _plan(call: Call, id: str) -> Answer:
    return plan_said(plans.kept(call.project.state.plans, id))
