"""How does a plan look before anything is done?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from textwrap import wrap
from typing import Any

from interlock.app.plans import summary
from interlock.app.words import brief
from interlock.core.hooks import TOLD
from interlock.core.plan import Plan, Stage
from interlock.core.record import plain
from interlock.core.steps import (
    CaptureFlags,
    ConfirmFlags,
    Drain,
    Gate,
    Load,
    Migrate,
    PullFlags,
    RestoreFlags,
    Retire,
    SetFlag,
    Settle,
    SetWeight,
    Smoke,
    Start,
    Step,
    Watch,
    spell,
)

References = Mapping[str, Sequence[tuple[str, str]]]
"""By environment: (variable, reference) of each secret; values are in no plan."""


def lines(plan: Plan, references: References, width: int = 100) -> Iterator[str]:
    """Yield the plan as text: each environment with its steps and its whole rollback, then one line for all."""
    artefact = plan.stages[-1].revision.release.artefact
    yield f"Plan {plan.hash}: {plan.service} {plan.version}"
    yield f"Artefact {artefact.digest[:19]}… from {artefact.source}"
    for stage in plan.stages:
        yield ""
        yield from _stage(stage, references.get(stage.environment, ()), width)
    yield ""
    yield summary(plan)


def document(plan: Plan, references: References) -> dict[str, Any]:
    """Return the plan for programs."""
    return {
        "type": "plan",
        "hash": plan.hash,
        "service": plan.service,
        "version": plan.version,
        "summary": summary(plan),
        "stages": [
            {
                "environment": stage.environment,
                "steps": [str(step) for step in stage.steps],
                "rollback": [str(step) for step in stage.rollback],
                "retract": [str(step) for step in stage.retract],
                "replaces": stage.replaces.name if stage.replaces else None,
                "revision": stage.revision.name,
                "seconds_at_best": stage.shortest.total_seconds(),
                "seconds_at_worst": stage.longest.total_seconds(),
                "notes": list(stage.notes),
                "hooks": [{"when": hook.when.value, "hook": str(hook)} for hook in stage.hooks],
                "not_undone": stage.not_undone or None,
                "secrets": dict(references.get(stage.environment, ())),
            }
            for stage in plan.stages
        ],
        "plan": plain(plan),
    }


def _stage(stage: Stage, secrets: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    if stage.flag_alone:
        yield f"{stage.environment}: flags alone; {stage.revision.release.version} runs there and stays"
    else:
        yield from _sides(stage)
    for variable, reference in secrets:
        yield f"  secret {variable} from {reference}"
    yield f"  takes {brief(stage.shortest)} at best, {brief(stage.longest)} at worst"
    for note in stage.notes:
        yield from _wrapped("  ! " if note.startswith("WARNING") else "  i ", note, width)
    for hook in stage.hooks:
        verb = "tells" if hook.when in TOLD else "asks"
        yield f"  {verb} {hook} {hook.when.value} (within {spell(hook.timeout)})"
    yield from _criteria(stage, width)
    yield "  steps"
    yield from _numbered(stage.steps)
    if stage.retract:
        yield "  when a flag's step is bad, at 100 % of the traffic"
        yield from _numbered(stage.retract)
    yield "  rollback"
    yield from _numbered(stage.rollback)
    if stage.not_undone:
        yield from _wrapped("  ! ", stage.not_undone, width)


def _sides(stage: Stage) -> Iterator[str]:
    new, old = stage.revision, stage.replaces
    configuration = new.release.configuration
    yield f"{stage.environment}: {stage.strategy.value} on {stage.entrance.address}:{stage.entrance.port}"
    yield f"  + {new.name}: {new.release.version}, {configuration.instances} × {' '.join(configuration.command)}"
    yield f"  - {old.name}: {old.release.version}" if old else "  - nothing runs there yet"


def _criteria(stage: Stage, width: int) -> Iterator[str]:
    criteria = stage.criteria
    if criteria is None:
        yield "  evidence: health and smoke tests; traffic is not judged here"
        return
    slow = spell(criteria.latency_p99) if criteria.latency_p99 else f"{criteria.latency_factor:g} × stable's"
    named = "".join(f", {metric.name} up to {100 * metric.limit:g} %" for metric in criteria.metrics)
    yield from _wrapped(
        "  ",
        f"evidence: error rate up to {100 * criteria.error_rate:g} %, p99 up to {slow}, a sample every "
        f"{spell(criteria.sample_every)}{named}",
        width,
    )
    yield from _wrapped(
        "  ",
        f"decides: back at odds of {1 / criteria.alpha:.0f} to 1, on at {1 / criteria.beta:.0f} to 1; without proof "
        f"{criteria.without_proof.value}",
        width,
    )


def _numbered(steps: Sequence[Step]) -> Iterator[str]:
    for place, step in enumerate(steps, 1):
        limit = _limit(step)
        yield f"   {place:>2} {_sign(step)} {step}" + (f" ({limit})" if limit else "")


def _sign(step: Step) -> str:
    """As in terraform: + comes, ~ changes, - goes; what only looks has none."""
    match step:
        case Start():
            return "+"
        case Migrate():
            return "!"
        case SetWeight() | Settle() | SetFlag() | PullFlags() | RestoreFlags():
            return "~"
        case Drain() | Retire():
            return "-"
    return " "


def _limit(step: Step) -> str:
    match step:
        case Start(within=within) | Smoke(within=within) | SetWeight(within=within) | Drain(within=within):
            return f"within {spell(within)}"
        case Load(duration=duration, within=within):
            return f"takes {spell(timedelta(seconds=round(duration.total_seconds())))}, at most {spell(within)}"
        case Gate(patience=patience):
            return f"at most {spell(patience)}"
        case Migrate(migration=migration):
            return f"within {spell(migration.timeout)}"
        case SetFlag(within=within) | CaptureFlags(within=within) | ConfirmFlags(within=within):
            return f"within {spell(within)}"
        case Watch(duration=duration, patience=patience) if duration:
            return f"holds {spell(patience)} more at most"
    return ""


def _wrapped(mark: str, text: str, width: int) -> Iterator[str]:
    yield from wrap(
        text,
        width,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_on_hyphens=False,
        break_long_words=False,
    )
