"""How is a run told to a program? Every document has a `type` that never changes its meaning."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from interlock.app.endings import ending
from interlock.app.view import View
from interlock.app.waits import waits
from interlock.core.flag import Captured, standing
from interlock.core.rollout import Rollout
from interlock.surfaces.cli.show.endings import status
from interlock.surfaces.cli.show.lines import Line


def run(view: View, now: datetime) -> dict[str, Any]:
    """Return a run as it stands: `type` is "run"."""
    return {
        "type": "run",
        "run": view.run,
        "service": view.plan.service,
        "version": view.plan.version,
        "plan": view.plan.hash,
        "over": view.over,
        "keeper": view.keeper,
        "not_driven": dict(view.stuck),
        "rollouts": [{**rollout(one), **_waits(view, one, now), **_live(view, one)} for one in view.rollouts],
    }


def rollout(one: Rollout) -> dict[str, Any]:
    """Return one environment's rollout, from its record alone."""
    stage, step = one.stage, one.next_step
    return {
        "id": one.id,
        "run": one.run,
        "environment": stage.environment,
        "strategy": stage.strategy.value,
        "version": stage.revision.release.version,
        "identity": stage.revision.release.identity,
        "revision": stage.revision.name,
        "replaces": stage.replaces.name if stage.replaces else None,
        "phase": one.phase.value,
        "over": one.over,
        "going_back": one.going_back,
        "reason": one.reason,
        "step": one.index + 1,
        "steps": len(one.way),
        "step_text": "" if step is None else str(step),
        "weight_wanted": one.weight.share,
        "observed_seconds": one.observed.total_seconds(),
        "by": one.by,
        "started": one.started.isoformat(),
        "since": one.since.isoformat(),
        "unproven": list(one.unproven),
        "synthetic": list(one.synthetic),
        "quarantine": one.quarantine,
        "retracted": one.retracted or None,
        "flags": [_flag(held) for held in one.flags],
    }


def _flag(held: Captured) -> dict[str, Any]:
    """Return how a flag stands by our doing, and how it stood before."""
    return {"flag": held.flag.name, "before": standing(held.before), "now": standing(held.now)}


def line(said: Line, run: str) -> dict[str, Any]:
    """Return one line of a log: `type` is "event"; `kind` and `environment` say which."""
    return {
        "type": "event",
        "run": run,
        "at": said.at.isoformat(),
        "environment": said.environment,
        "kind": said.kind,
        "text": said.data.get("text", said.text),
        "data": {name: value for name, value in said.data.items() if name != "text"},
    }


def end(view: View) -> dict[str, Any]:
    """Return how a run ended: `type` is "end", `exit` the status of the command."""
    last = view.current
    return {
        "type": "end",
        "run": view.run,
        "environment": last.stage.environment,
        "phase": last.phase.value,
        "exit": int(status(view)),
        "text": ending(view),
    }


def _waits(view: View, one: Rollout, now: datetime) -> dict[str, Any]:
    wait = waits(one, now, view.lasted(one))
    return {
        "waits_for": wait.what,
        "until": wait.until.isoformat() if wait.until else None,
        "then": wait.then,
        "orders": list(wait.orders),
    }


def _live(view: View, one: Rollout) -> dict[str, Any]:
    live = view.live.get(one.id)
    if live is None:
        return {}
    names = ("judgement", "strength", "route", "share", "points", "load", "trouble")
    return {name: live[name] for name in names if name in live}
