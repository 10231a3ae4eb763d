"""How is a release's migration done once, whoever dies meanwhile, and when is it not to be done again?

What was begun is found again and waited for. What broke off is begun again only where it was declared to bear that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from interlock.core.hooks import facts, unique
from interlock.core.migration import Migration, Seen, Standing, may_begin
from interlock.core.release import Revision
from interlock.core.steps import Migrate, spell
from interlock.engine.ports import Deadline
from interlock.engine.scene import LATER, Outcome, Scene
from interlock.ports.migrations import Migrations
from interlock.ports.store import Entry, StoreError

MIGRATION = "migration"
LOOK_EVERY = timedelta(milliseconds=250)
_SHOWN = 3


async def migrate(scene: Scene, step: Migrate) -> Outcome:
    port, stage = scene.ports.migrations, scene.rollout().stage
    if port is None:
        return scene.failed(f"{step}: nothing here can run it")
    revision, migration = stage.known(step.revision), step.migration
    deadline = scene.deadline(migration.timeout)
    while True:
        seen = await port.look(revision, migration)
        if seen.done:
            return _done(scene, step, seen)
        if seen.standing is not Standing.RUNNING:
            if why := may_begin(migration, seen, scene.rollout().id):
                return scene.failed(f"{why}{_words(seen)}", _data(step, seen))
            if not await _begun(scene, port, revision, migration, seen, deadline):
                return scene.failed(f"{step}: not begun, as that cannot be recorded: {scene.trouble}")
        if not await _ended(scene, port, revision, migration, deadline):
            await port.end(revision, migration)
            late = await port.look(revision, migration)
            after = f"did not end within {spell(migration.timeout)}, and was ended"
            return scene.failed(f"migration {migration} {after}{_words(late)}", _data(step, late))


async def _begun(
    scene: Scene, port: Migrations, revision: Revision, migration: Migration, seen: Seen, deadline: Deadline
) -> bool:
    """Write down that it begins, then begin it; say whether that could be written in time."""
    rollout, attempt = scene.rollout(), seen.attempt + 1
    again = f" again, as it {seen.how}" if seen.attempt else ""
    text = f"migration {migration} begins{again}"
    data = {"command": list(migration.command), "attempt": attempt, "step": rollout.index + 1}
    while True:
        try:
            await scene.ports.store.note(rollout.id, (Entry(scene.ports.clock.now(), MIGRATION, text, data),))
            break
        except StoreError as error:
            scene.trouble = str(error)
        if deadline.over:
            return False
        await scene.ports.clock.sleep(LATER)
    key = f"{rollout.id}.{MIGRATION}.step-{rollout.index + 1}.{unique(rollout)}"
    told = {"schema": 1, "key": key, "when": MIGRATION, **facts(rollout), "attempt": attempt}
    await port.begin(revision, migration, rollout.id, attempt, told)
    return True


async def _ended(scene: Scene, port: Migrations, revision: Revision, migration: Migration, deadline: Deadline) -> bool:
    """Wait for it; say whether it runs no more."""
    while (await port.look(revision, migration)).standing is Standing.RUNNING:
        if deadline.over:
            return False
        await scene.ports.clock.sleep(LOOK_EVERY)
    return True


def _done(scene: Scene, step: Migrate, seen: Seen) -> Outcome:
    if seen.run_by == scene.rollout().id:
        return scene.done(f"{step}: done{_words(seen)}", _data(step, seen))
    at = f" on {seen.at:%Y-%m-%d %H:%M:%S} UTC" if seen.at else ""
    return scene.done(f"{step}: done already by {seen.run_by}{at}, for this very release", _data(step, seen))


def _words(seen: Seen) -> str:
    lines = [line for line in seen.lines if line.strip()][-_SHOWN:]
    return f"; last lines: {' | '.join(lines)}" if lines else ""


def _data(step: Migrate, seen: Seen) -> dict[str, Any]:
    told = {
        "command": list(step.migration.command),
        "irreversible": step.migration.irreversible,
        "standing": seen.standing.value,
        "status": seen.status,
        "attempt": seen.attempt,
        "run_by": seen.run_by,
        "lines": list(seen.lines),
    }
    return {MIGRATION: told}
