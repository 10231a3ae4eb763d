"""What does a plan say in one line, and how is it kept in a file until it is carried out?"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from interlock.app.words import brief
from interlock.core.plan import Plan
from interlock.core.record import plain, restore

KIND, SCHEMA = "interlock-plan", 1
KEPT = 50
"""So many of the plans that were made to be started by their hash stay; the oldest goes first."""

_HASH = re.compile(r"[0-9a-f]{16}")


class PlanFileError(Exception):
    """A file is no plan that can be carried out here; the message says why."""


def summary(plan: Plan) -> str:
    """Say the whole plan in one line."""
    steps = sum(len(stage.steps) for stage in plan.stages)
    best, worst = (sum((getattr(s, a) for s in plan.stages[1:]), getattr(plan.stages[0], a)) for a in _BOUNDS)
    where = " then ".join(stage.environment for stage in plan.stages)
    return (
        f"Plan: {where}, {steps} steps, {brief(best)} at best, {brief(worst)} at worst before it goes back by itself."
    )


def write(path: Path, plan: Plan) -> None:
    """Write a plan that `read` understands; raise PlanFileError when it cannot be written."""
    record = {"type": KIND, "schema": SCHEMA, "hash": plan.hash, "plan": plain(plan)}
    try:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        raise PlanFileError(f"{path} cannot be written: {problem.strerror}") from problem


def read(path: Path) -> Plan:
    """Read a plan; raise PlanFileError when the file holds none, or another than was written."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise PlanFileError(f"there is no {path}. Write one with: interlock plan VERSION --out {path}") from missing
    except OSError as problem:
        raise PlanFileError(f"{path} cannot be read: {problem.strerror}") from problem
    except ValueError as broken:
        raise PlanFileError(_no_plan(path, str(broken))) from broken
    if not isinstance(record, dict) or record.get("type") != KIND:
        raise PlanFileError(_no_plan(path, f'expected a document of type "{KIND}"'))
    if record.get("schema") != SCHEMA:
        raise PlanFileError(f"{path} was written by another version of Interlock: plan again with this one")
    try:
        plan = restore(Plan, record.get("plan"))
    except ValueError as misfit:
        raise PlanFileError(_no_plan(path, str(misfit))) from misfit
    if plan.hash != record.get("hash"):
        raise PlanFileError(
            f"{path} was changed after it was written: its content has the hash {plan.hash}. Plan again"
        )
    return plan


def keep(directory: Path, plan: Plan) -> Path:
    """Keep a plan under its hash, for this user only, and forget the oldest ones; return its file."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, beside = directory / f"{plan.hash}.json", directory / f".{plan.hash}.{os.getpid()}"
    write(beside, plan)
    beside.replace(file)
    for old in _newest_first(directory)[KEPT:]:
        old.unlink(missing_ok=True)
    return file


def kept(directory: Path, hash: str) -> Plan:
    """Return the plan that was kept under a hash; raise PlanFileError when there is none."""
    file = directory / f"{hash}.json"
    if not _HASH.fullmatch(hash) or not file.is_file():
        newest = ", ".join(one.stem for one in _newest_first(directory)[:5])
        known = f"; the newest are {newest}" if newest else "; none was made yet"
        raise PlanFileError(f"no plan is kept under that name: expected the hash of one that was made here{known}")
    return read(file)


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.json"), key=lambda one: one.stat().st_mtime_ns, reverse=True)


def _no_plan(path: Path, why: str) -> str:
    return f"{path} is no plan ({why}). Write one with: interlock plan VERSION --out {path}"


_BOUNDS = ("shortest", "longest")
