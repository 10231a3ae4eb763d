"""How does an agent come to a town? With a file that leaves it nearly all, and plans that the town has made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.e2e.town import SERVICE, Town, Wish
from tests.surfaces.mcp.desk import client

from interlock.app import plans
from interlock.app.agents import Project
from interlock.core.plan import Plan
from interlock.core.steps import Step

FILE = f"""\
service: {SERVICE}
command: [serve]
environments:
  staging: {{port: 18001}}
  production: {{port: 18000}}
agents: {{environments: [staging, production], starts_per_hour: 1000, flag_changes_per_hour: 1000}}
"""
LONG = timedelta(minutes=5)


def project(town: Town, file: str = FILE) -> Project:
    """Return the town as a server finds it."""
    path = town.place / "interlock.yaml"
    path.write_text(file)
    return Project(town.state, lambda: path)


@asynccontextmanager
async def agent(town: Town, name: str = "tester") -> AsyncIterator[Any]:
    """Speak with a server of the town."""
    of = project(town)
    async with client(of, name) as found:
        yield found
    await of.close()


async def planned(town: Town, wish: Wish, *first: Step, **conditions: Any) -> str:
    """Keep a plan for agents, with these steps before all others; return its hash."""
    plan: Plan = await town.plan(wish)
    (stage,) = plan.stages
    known = replace(stage.conditions, **conditions)
    plan = replace(plan, stages=(replace(stage, steps=(*first, *stage.steps), conditions=known),))
    plans.keep(town.state.plans, plan)
    return plan.hash
