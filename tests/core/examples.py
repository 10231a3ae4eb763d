"""Values of the core to begin a test with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from interlock.core.criteria import Criteria
from interlock.core.plan import Stage, StrategyName
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision
from interlock.core.strategy import LAYOUTS, Pace, retract, rollback


def revision(version: str, instances: int = 3) -> Revision:
    configuration = Configuration(("serve",), instances=instances, drain_within=timedelta(seconds=5))
    return Revision(version, "production", Release("shop", version, Artefact(version, "here"), configuration, "common"))


def stage_of(strategy: StrategyName, new: Revision, old: Revision | None, pace: Pace = Pace()) -> Stage:
    steps, back = LAYOUTS[strategy](new, old, pace), rollback(new, old, pace)
    stage = Stage("production", Entrance(8000), strategy, new, old, steps, back, Criteria(), "staging")
    return replace(stage, flags=pace.flags, retract=retract(new, old, pace))


def canary_stage() -> Stage:
    return stage_of(StrategyName.CANARY, revision("v2"), revision("v1"))
