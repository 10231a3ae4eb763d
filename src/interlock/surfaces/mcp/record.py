"""Is every call on record, before it can do anything, and does every call end?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, CallToolResult, TextContent

from interlock.app.state import StateError
from interlock.core.agents import Agent
from interlock.ports.store import StoreError
from interlock.surfaces.mcp.agent import agent_of
from interlock.surfaces.mcp.call import Offer, misfit

LOWERS_RISK = frozenset({"abort", "rollback", "pause"})
"""What is done also when nothing can be written down any more: see interlock 6."""

WITHIN = 120.0
"""Seconds that a call may take; a plan or a build may take as long as the file says, and is bounded there."""

WITHOUT_DEADLINE = frozenset({"plan_deployment", "docker_build_push"})

_SUBJECT = re.compile(r"[\w.-]{1,80}")
_MOST_SAID = 300
_HELD_BACK = frozenset({"build_args"})
"""Arguments of which only the names are written down: what they hold may be a secret that nobody has named."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes down every call of a tool, a resource and a prompt: the protocol's middleware."""

    offer: Offer

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        params = ctx.params or {}
        match ctx.method:
            case "tools/call":
                return await self._tool(ctx, call_next, str(params.get("name", "")), params.get("arguments"))
            case "resources/read":
                await self._looked(ctx, "resources/read", {"uri": params.get("uri")})
            case "prompts/get":
                await self._looked(ctx, "prompts/get", {"name": params.get("name")})
                return await _prompt(ctx, call_next)
        return await call_next(ctx)

    async def _tool(
        self, context: ServerRequestContext[Any, Any], call_next: CallNext, name: str, arguments: Any
    ) -> HandlerResult:
        kind, tool = self.offer.kinds.get(name), self._said(name)
        said = self._arguments(arguments if isinstance(arguments, Mapping) else {})
        if kind is None or kind.only_looks:
            await self._looked(context, tool, said)
            return self._seen(tool, await self._bounded(context, call_next, name))
        agent, subject = agent_of(context), _subject(said)
        try:
            await self.offer.project.calls.asked(agent, tool, said, subject)
        except (StoreError, StateError, OSError) as error:
            if name not in LOWERS_RISK:
                return _error(f"{name}: nothing was done, for it cannot be written down: {self.offer.said(error)}")
        result = self._seen(tool, await self._bounded(context, call_next, name))
        await self._refusal(agent, tool, subject, result)
        return result

    async def _bounded(self, context: ServerRequestContext[Any, Any], call_next: CallNext, name: str) -> HandlerResult:
        if name in WITHOUT_DEADLINE:
            return await call_next(context)
        try:
            async with asyncio.timeout(WITHIN):
                return await call_next(context)
        except TimeoutError:
            return _error(f"{name}: no answer within {WITHIN:g} s; what was begun goes on: see get_rollout")

    def _seen(self, tool: str, result: HandlerResult) -> HandlerResult:
        """Return an error that was not made by us in our words: an argument that does not fit, a tool that is none."""
        if not isinstance(result, dict) or not result.get("isError"):
            return result
        text = _text(result)
        if " validation error" in text.partition("\n")[0]:
            text = misfit(tool, text.removeprefix(f"Error executing tool {tool}: "))
        elif text.startswith("Unknown tool"):
            text = f"there is no tool {tool}; there are {', '.join(self.offer.kinds)}"
        return {
            **result,
            "content": [
                {"type": "text", "text": self.offer.veil.text(text.removeprefix(f"Error executing tool {tool}: "))}
            ],
        }

    async def _refusal(self, agent: Agent, tool: str, subject: str, result: HandlerResult) -> None:
        why = _why(result)
        if why:
            await self.offer.project.calls.refused(agent, tool, self.offer.veil.text(why, _MOST_SAID), subject)

    async def _looked(self, context: ServerRequestContext[Any, Any], what: str, said: Mapping[str, Any]) -> None:
        """Remember it. To look needs no record that can be written: a full disk is a reason to look."""
        try:
            await self.offer.project.calls.looked(agent_of(context), what, said, _subject(said))
        except Exception:  # whatever keeps the records from being opened: the call itself says so
            return

    def _arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {self._said(name): self._argument(str(name), value) for name, value in list(arguments.items())[:20]}

    def _argument(self, name: str, value: Any) -> Any:
        if name in _HELD_BACK:
            return [self._said(one) for one in list(value)[:50]] if isinstance(value, Mapping) else "…"
        if isinstance(value, (bool, int, float)) or value is None:
            return value if not isinstance(value, float) or value == value else "NaN"
        return self._said(value if isinstance(value, str) else repr(value))

    def _said(self, text: object) -> str:
        return self.offer.veil.text(str(text), _MOST_SAID)


async def _prompt(context: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Say what is wrong with the question, where the library would only say that something is."""
    try:
        return await call_next(context)
    except MCPError:
        raise
    except Exception:  # an unknown prompt, or an argument that it needs
        offered = "deployment (version; environment, if not all) and incident (rollout, if not the newest)"
        raise MCPError(
            INVALID_PARAMS, f"there is no such prompt, or it lacks an argument. There are {offered}"
        ) from None


def _subject(said: Mapping[str, Any]) -> str:
    for name in ("rollout", "plan", "flag_name", "image"):
        value = said.get(name)
        if isinstance(value, str) and _SUBJECT.fullmatch(value):
            return value
    return ""


def _why(result: HandlerResult) -> str:
    """Return what an answer says against doing it; "" when it was done."""
    if isinstance(result, CallToolResult):
        result = {"isError": result.is_error, "content": [one.model_dump() for one in result.content]}
    if not isinstance(result, dict):
        return ""
    needs = (result.get("structuredContent") or {}).get("needs")
    return _text(result) if result.get("isError") or needs else ""


def _text(result: dict[str, Any]) -> str:
    return "\n".join(str(one.get("text", "")) for one in result.get("content", ()))


def _error(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
