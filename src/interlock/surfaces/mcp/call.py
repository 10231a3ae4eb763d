"""What does every tool have in common? Who calls, what of an answer may be seen, and what an error says."""

from __future__ import annotations

import inspect
import re
import tempfile
import traceback
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interlock.app.agents import Desk, NeedsPerson, Project
from interlock.core.agents import Agent
from interlock.surfaces.mcp.agent import agent_of
from interlock.surfaces.mcp.quoted import PAGE, Quoted, Veil

Outcome = Literal["done", "already", "dry_run", "needs_person"]


class Kind(Enum):
    """What a tool may do to the world: all four hints are said, as the protocol's own assume the worst."""

    LOOKS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    ASKS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
    ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
    HOLDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)

    @property
    def only_looks(self) -> bool:
        """Whether nothing is changed by it."""
        return self.value.read_only_hint is True


class Person(BaseModel):
    """What only a person can do, and how."""

    why: Quoted
    command: str = Field(description="what a person types; it is not for an agent to type")


class Answer(BaseModel):
    """What a tool answers: text for whoever reads, fields for whoever computes."""

    model_config = ConfigDict(frozen=True)

    def text(self) -> str:
        """Say it in a few lines."""
        raise NotImplementedError


class Change(Answer):
    """What became of a change."""

    outcome: Outcome = Field("done", description="needs_person: nothing was done, and a person has to type `command`")
    needs: Person | None = Field(None, description="what a person has to do, where the outcome is needs_person")

    def text(self) -> str:
        if self.needs is not None:
            return f"Needs a person: {self.needs.why}\nA person types: {self.needs.command}\nThen: wait_rollout"
        said = self.said()
        return f"Dry run, nothing was changed: {said}" if self.outcome == "dry_run" else said

    def said(self) -> str:
        """Say what was done."""
        return self.outcome


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: at whose desk, and how its caller hears of progress."""

    desk: Desk
    veil: Veil
    context: Context[Any, Any] | None = None

    @property
    def project(self) -> Project:
        return self.desk.project

    async def progress(self, done: float, total: float | None, text: str) -> None:
        """Tell the caller how far it is, if they want to know."""
        if self.context is not None:
            await self.context.report_progress(done, total, self.veil.text(text, 200))


Function = Callable[..., Awaitable[Answer]]


class Offer:
    """The tools that are put on offer, in the order in which they are listed."""

    def __init__(self, project: Project) -> None:
        self.project, self.veil = project, Veil(project.state)
        self.tools: list[Tool] = []
        self.kinds: dict[str, Kind] = {}

    def add(self, kind: Kind, *functions: Function) -> None:
        """Offer functions whose first parameter is the call; the others are what the tool is called with."""
        for function in functions:
            self.kinds[function.__name__] = kind
            self.tools.append(self._strict(Tool.from_function(self._wrapped(function), annotations=kind.value)))

    def agent(self, context: Context[Any, Any]) -> Agent:
        """Return who calls."""
        return agent_of(context.request_context)

    def call(self, context: Context[Any, Any]) -> Call:
        """Return the call that a request is."""
        return Call(Desk(self.project, self.agent(context)), self.veil, context)

    def _wrapped(self, function: Function) -> Callable[..., Awaitable[CallToolResult]]:
        hints = typing.get_type_hints(function, include_extras=True)
        answers: type[Answer] = hints["return"]
        _, *parameters = inspect.signature(function).parameters.values()

        async def tool(request: Context[Any, Any], **arguments: Any) -> CallToolResult:
            try:
                return self._told(await function(self.call(request), **arguments))
            except NeedsPerson as person:
                return self._told(_needing(answers, person))
            except ToolError:
                raise
            except Exception as error:
                raise ToolError(self.said(error)) from None

        tool.__name__, tool.__doc__ = function.__name__, inspect.cleandoc(function.__doc__ or "")
        tool.__annotations__ = {**{p.name: hints[p.name] for p in parameters}, "request": Context, "return": answers}
        first = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Context)
        typed = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in parameters]
        tool.__signature__ = inspect.Signature([*typed, first], return_annotation=answers)  # type: ignore[attr-defined]
        return tool

    def _strict(self, tool: Tool) -> Tool:
        """Refuse arguments that a tool does not have: `force` must not seem to be heard."""
        model = tool.fn_metadata.arg_model
        model.model_config = {**model.model_config, "extra": "forbid"}
        model.model_rebuild(force=True)
        tool.parameters = model.model_json_schema(by_alias=True)
        return tool

    def _told(self, answer: Answer) -> CallToolResult:
        text = self.veil.text(answer.text(), PAGE, lines=True)
        content = self.veil.all(answer.model_dump(mode="json"))
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=content)

    def said(self, error: Exception) -> str:
        """Say what went wrong and what to do; no traceback, no secret."""
        if type(error).__module__.split(".")[0] == "interlock":
            return self.veil.text(f"{error}{_here(str(error))}")
        if isinstance(error, OSError) and error.strerror:
            return self.veil.text(f"{error.filename or 'the system'}: {error.strerror}")
        if isinstance(error, (ResourceError, ValidationError)):
            return self.veil.text(str(error))
        return _bug(error)


TOOLS = {
    "deploy": "plan_deployment, then start_deployment",
    "plan": "plan_deployment",
    "check": "check_preconditions",
    "get": "get_rollout",
    "status": "wait_rollout",
    "history": "list_rollouts",
    "report": "deployment_report",
    "incident": "incident_report",
    "rollback": "rollback",
    "abort": "abort",
    "pause": "pause",
    "resume": "resume",
}
"""The tools by the command that does the same: what errors advise is said in the words of the command line."""

_COMMAND = re.compile(r"\binterlock ([a-z]+)\b")


def _here(text: str) -> str:
    """Say with which tools one does what an error advises."""
    tools = dict.fromkeys(TOOLS[name] for name in _COMMAND.findall(text) if name in TOOLS)
    return f". Here: {'; '.join(tools)}" if tools else ""


def misfit(tool: str, text: str) -> str:
    """Say in one line what is wrong with the arguments of a call, out of what pydantic says in several."""
    _, *lines = text.splitlines()
    pairs = [(lines[at].strip(), lines[at + 1].split(" [type=")[0].strip()) for at in range(0, len(lines) - 1, 3)]
    wrong = "; ".join(f"{name}: {why}" for name, why in pairs)
    return f"{tool} cannot be called so: {wrong}. Its arguments are in the list of tools"


def _needing(answers: type[Answer], person: NeedsPerson) -> Answer:
    why = Quoted(data=str(person), source="interlock")
    needs = Person(why=why, command=person.command)
    if not issubclass(answers, Change):
        raise ToolError(f"{person}. A person types: {person.command}")
    return answers(outcome="needs_person", needs=needs)


def _bug(error: Exception) -> str:
    """Keep the traceback where only this user can read it: it may hold anything."""
    what = f"this is a bug in Interlock ({type(error).__name__})"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="interlock-bug-", suffix=".txt", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"{what}, and its traceback could not be written anywhere. Nothing more is known: see interlock doctor"
    return f"{what}; its traceback is in {file.name}. Have a person report it with that file; interlock doctor may help"
