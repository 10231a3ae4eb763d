"""What may a program do that acts for a person, and what can only the person?

An agent is a principal like any other, less trusted than a person: its word approves nothing, and is nobody's on call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.core.events import Order
    from interlock.core.plan import Plan
    from interlock.core.rollout import Rollout

AGENTS = "mcp"
"""The channel of whatever an agent says: no other surface speaks for one."""

_OF = "'s agent"


class Verb(StrEnum):
    """What of all that changes something an agent can be allowed at all."""

    BUILD = "build"
    FLAG = "flag"
    START = "start"
    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Agent:
    """Who acts, and for whom: `person` is the local user, the rest is what the program says of itself."""

    person: str
    client: str = ""
    version: str = ""
    model: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.person}{_OF}", self.client or "unknown", self.version)))


@dataclass(frozen=True, slots=True)
class Limits:
    """What the file leaves to agents.

    In `environments` they may start deployments and change flags, in those of `promote` they may end a watch without
    proof. `verbs` is what they may do at all, so many starts and changes of flags in any hour; `images` what they may
    build and push besides the file's own. With `dry_run` they are told what would be done, and nothing is.
    """

    environments: tuple[str, ...] = ()
    promote: tuple[str, ...] = ()
    verbs: tuple[Verb, ...] = tuple(Verb)
    starts_per_hour: int = 6
    flag_changes_per_hour: int = 12
    dry_run: bool = False
    images: tuple[str, ...] = ()


def person_behind(by: str) -> str:
    """Return the person for whom something was done: whoever did it, or whose agent did."""
    return by.partition(_OF)[0]


def is_agent(by: str) -> bool:
    """Whether a name is an agent's."""
    return _OF in by


def order_refused(order: Order, rollout: Rollout) -> str:
    """Say why this order cannot be an agent's, and whose it could be; "" when it can, or is no agent's."""
    from interlock.core.events import OrderKind  # imported late: who only looks needs no orders

    if order.channel != AGENTS:
        return ""
    where, run = rollout.stage.environment, rollout.run
    match order.kind:
        case OrderKind.APPROVE:
            return f"an agent's word approves nothing: a person has to, with interlock approve {run} --sign KEY"
        case OrderKind.ACKNOWLEDGE:
            return f"an agent is nobody on call: one of them has to, with interlock acknowledge {run} --as NAME"
        case OrderKind.SUPERSEDE:
            return f"an agent replaces nothing that is under way: a person has to, or it is aborted first ({run})"
        case OrderKind.PROMOTE if not rollout.stage.conditions.agents_promote:
            return (
                f"in {where} an agent may not end a watch without proof: wait for the proof, or a person does it, with "
                f"interlock promote {run} -m REASON"
            )
    return ""


def plan_refused(plan: Plan) -> str:
    """Say why this plan cannot be started by an agent; "" when it can."""
    for stage in plan.stages:
        if stage.conditions.overrides or stage.conditions.fixes:
            return (
                f"the plan {plan.hash} passes a closed gate on somebody's word in {stage.environment}: a person has to "
                "start it, with interlock deploy"
            )
    return ""
