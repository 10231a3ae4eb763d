"""What would a deployment do, and how is it started?"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from interlock.app.plans import summary
from interlock.core.plan import Plan, Stage
from interlock.surfaces.mcp.call import Call, Change
from interlock.surfaces.mcp.quoted import Quoted

PlanHash = Annotated[str, Field(max_length=64, description="the hash that plan_deployment returned")]
Key = Annotated[
    str, Field(max_length=200, description="any text of your own: the same one again is the same act, done once")
]


class StageSaid(BaseModel):
    """One environment's part of a plan."""

    environment: str
    strategy: str
    version: str
    replaces: str | None
    steps: list[str]
    rollback: list[str]
    seconds_at_best: float
    seconds_at_worst: float
    notes: list[Quoted]
    asks_a_person: bool = Field(description="whether a person has to approve before the first weight")


class Planned(Change):
    """A plan, which nothing has begun."""

    plan: str = Field("", description="its hash, for start_deployment")
    service: str = ""
    version: str = ""
    summary: str = ""
    stages: list[StageSaid] = Field(default_factory=list)
    resource: str = ""

    def said(self) -> str:
        if self.outcome == "already":
            return f"{self.version} runs already in {self._where()}: there is nothing to do"
        lines = [f"plan {self.plan}: {self.service} {self.version}. {self.summary}"]
        for stage in self.stages:
            person = ", asks a person" if stage.asks_a_person else ""
            lines.append(f"{stage.environment} ({stage.strategy}, {stage.replaces or 'nothing'} before{person})")
            lines += [f"  {at} {step}" for at, step in enumerate(stage.steps, 1)]
            lines += [f"  note: {note}" for note in stage.notes]
        return "\n".join([*lines, f"next: start_deployment(plan={self.plan})"])

    def _where(self) -> str:
        return " and ".join(stage.environment for stage in self.stages) or "every environment"


class Started(Change):
    """A deployment that was started; the keeper carries it out, whoever goes on or away."""

    run: str = Field("", description="the durable name of the run")
    plan: str = ""
    version: str = ""
    resource: str = ""

    def said(self) -> str:
        if not self.run:
            return f"plan {self.plan} of {self.version} would be started"
        again = ": it was started before by the same key, and is the same run" if self.outcome == "already" else ""
        return f"{self.run} ({self.version}){again}. It goes on without you. next: wait_rollout({self.run})"


async def plan_deployment(
    call: Call,
    version: Annotated[
        str, Field(min_length=1, max_length=300, description="a git ref, a digest, or a directory of the project")
    ],
    environment: Annotated[
        str, Field(max_length=64, description="up to this environment; empty: the last that is left to agents")
    ] = "",
) -> Planned:
    """Plan to release a version: every step, and the whole way back. Nothing that serves is changed.

    Packs the artefact and keeps the plan under its hash, for start_deployment to carry out exactly this.
    """
    await call.progress(0, None, f"planning {version}")
    plan, runs = await call.desk.plan(version, environment)
    return Planned(
        outcome="already" if runs else "done",
        plan=plan.hash,
        service=plan.service,
        version=plan.version,
        summary="" if runs else summary(plan),
        stages=[stage_said(stage) for stage in plan.stages],
        resource="" if runs else f"plan://{plan.hash}",
    )


async def start_deployment(call: Call, plan: PlanHash, key: Key = "") -> Started:
    """Start a plan and return the run's durable name at once. The same plan or key again is the same run.

    Production comes after staging by itself, and waits for a person where the file says so.
    """
    begun = await call.desk.start(plan, key)
    call.project.glance.forget()
    return Started(
        outcome="already" if begun.again else "done" if begun.run else "dry_run",
        run=begun.run,
        plan=begun.plan.hash,
        version=begun.plan.version,
        resource=f"rollout://{begun.run}" if begun.run else "",
    )


def stage_said(stage: Stage) -> StageSaid:
    """Return what is told of one environment's part."""
    from interlock.core.steps import Until, Watch

    return StageSaid(
        environment=stage.environment,
        strategy=stage.strategy.value,
        version=stage.revision.release.version,
        replaces=stage.replaces.release.version if stage.replaces else None,
        steps=[str(step) for step in stage.steps],
        rollback=[str(step) for step in stage.rollback],
        seconds_at_best=stage.shortest.total_seconds(),
        seconds_at_worst=stage.longest.total_seconds(),
        notes=[Quoted(data=note, source="the plan") for note in stage.notes],
        asks_a_person=any(isinstance(step, Watch) and step.until is Until.APPROVED for step in stage.steps),
    )


def plan_said(plan: Plan) -> Planned:
    """Return what is told of a plan that is kept."""
    stages = [stage_said(stage) for stage in plan.stages]
    return Planned(
        plan=plan.hash,
        service=plan.service,
        version=plan.version,
        summary=summary(plan),
        stages=stages,
        resource=f"plan://{plan.hash}",
    )
