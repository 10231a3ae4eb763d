"""What must be so before a release may begin, and is it so now?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from interlock.surfaces.mcp.call import Answer, Call
from interlock.surfaces.mcp.quoted import Quoted, quote

if TYPE_CHECKING:  # imported late, with all that a plan needs: a server must be there at once
    from interlock.app.check import Asked


class Gate(BaseModel):
    """One gate of one environment."""

    environment: str
    gate: str
    open: bool
    asked: bool = Field(description="false where it can only be asked of a plan, or is asked when it is due")
    overridden: bool = Field(description="whether a person's recorded word lets it be passed")
    says: Quoted | None


class Preconditions(Answer):
    """Every gate as it is now."""

    open: bool = Field(description="whether none that was asked is closed")
    gates: list[Gate]

    def text(self) -> str:
        lines = [f"{_mark(one)} {one.environment} {one.gate} {one.says or ''}".rstrip() for one in self.gates]
        shut = [one.gate for one in self.gates if one.asked and not one.open]
        verdict = f"closed: {', '.join(shut)}; wait, or tell a person" if shut else "all that was asked is open"
        return "\n".join([*lines, verdict])


async def check_preconditions(
    call: Call,
    plan: Annotated[
        str, Field(max_length=64, description="ask for this plan, by its hash; empty: ask all that needs no version")
    ] = "",
    environment: Annotated[str, Field(max_length=64, description="only this one; empty: all of them")] = "",
) -> Preconditions:
    """Ask every gate now: tests, incidents, the deployment window, on-call, staging's proof, quarantine.

    Changes nothing. A closed gate holds a release up whoever starts it.
    """
    from interlock.app import plans
    from interlock.app.check import check, check_plan
    from interlock.app.planner import NONE
    from interlock.app.verbs import Blocked

    state, file = call.project.state, call.project.file
    names = [one.name for one in file.environments]
    if environment and environment not in names:
        raise Blocked(f"there is no environment {environment}; there are {', '.join(names)}")
    asked = check_plan(state, plans.kept(state.plans, plan)) if plan else check(state, file, None, NONE)
    found = [one async for one in asked if environment in ("", one.environment)]
    gates = [
        Gate(
            environment=one.environment,
            gate=str(one.gate),
            open=one.answer.open,
            asked=one.asked,
            overridden=bool(one.answer.overridden),
            says=_says(one),
        )
        for one in found
    ]
    return Preconditions(open=all(one.open or not one.asked for one in gates), gates=gates)


def _says(one: Asked) -> Quoted | None:
    if not one.asked and "interlock check VERSION" in one.answer.reason:
        return Quoted(data="asked of a plan: give its hash", source="interlock")
    return quote(one.answer.reason, f"gate {one.gate}")


def _mark(gate: Gate) -> str:
    return "·" if not gate.asked else "✔" if gate.open else "✖"
