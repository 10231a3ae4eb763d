"""Does what nobody needs go, and does everything stay that somebody could need?"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.app.test_parts import parts
from tests.engine.stories import Story, busy, play, revision

from interlock.adapters.memory_store import MemoryStore
from interlock.app.forget import UNUSED_FOR, forget
from interlock.app.secrets import keep
from interlock.app.state import StateDirectory
from interlock.core.release import Revision
from interlock.keeper import FORGET_EVERY, Keeper
from interlock.twin import Watch


def secret(state: StateDirectory, value: str, *, old: bool = True) -> str:
    """Keep a value as if it had last been planned with long ago; return its name."""
    (state.path / value).write_text(value)
    name = keep(state.secrets, [f"file:{state.path / value}"])[f"file:{state.path / value}"]
    if old:
        os.utime(state.secrets / name, (0, 0))
    return name


def using(name: str, what: Revision) -> Revision:
    configuration = replace(what.release.configuration, secrets=(("TOKEN", name),))
    return replace(what, release=replace(what.release, configuration=configuration))


def kept(state: StateDirectory) -> set[str]:
    return {path.name for path in state.secrets.iterdir()} - {"key"}


async def test_a_secret_goes_when_nothing_on_record_has_it_and_no_plan_was_made_with_it_for_a_month(
    tmp_path: Path,
) -> None:
    state, store, now = StateDirectory(tmp_path), MemoryStore(), datetime.now(UTC)
    nobodys, planned = secret(state, "nobody's"), secret(state, "planned lately", old=False)
    (state.secrets / ".torn").write_text("half")
    os.utime(state.secrets / ".torn", (0, 0))
    assert kept(state) == {nobodys, planned, ".torn"}
    assert await forget(state, store, now) == ("secret .torn", f"secret {nobodys}")
    assert kept(state) == {planned}
    assert (state.secrets / "key").exists()
    assert await forget(state, store, now + UNUSED_FOR + timedelta(minutes=1)) == (f"secret {planned}",)


async def test_a_secret_stays_while_something_that_should_run_has_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    name = secret(state, "in use")
    (state.instances / "revisions").mkdir(parents=True)
    (state.instances / "revisions" / "r.json").write_text(f"not even readable, but {name} is in it")
    assert await forget(state, MemoryStore(), datetime.now(UTC)) == ()


def test_a_secret_that_is_planned_with_again_is_as_good_as_new(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    name = secret(state, "again")
    secret(state, "again", old=False)
    assert time.time() - (state.secrets / name).stat().st_mtime < 3600


def test_a_secret_of_a_proven_release_stays_and_the_keeper_forgets_in_quiet_hours_only(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    proven = secret(state, "of a proven release")

    async def tell(story: Story) -> None:
        keeper = Keeper(state, parts(story, ""), Watch(tmp_path, ("keeper",), "log", "test"))
        await story.proven(using(proven, revision("v1")))
        forgetting = asyncio.ensure_future(keeper._forget())
        nobodys = secret(state, "of nobody")
        await story.world.sleep(FORGET_EVERY / 2)
        assert kept(state) == {proven, nobodys}
        keeper._engine._drives["r"] = None  # type: ignore[assignment]
        keeper._engine.live = lambda: keeper._engine._drives  # type: ignore[method-assign]
        await story.world.sleep(FORGET_EVERY)
        assert kept(state) == {proven, nobodys}
        keeper._engine._drives.clear()
        await story.world.sleep(FORGET_EVERY)
        assert kept(state) == {proven}
        forgetting.cancel()

    play(tell, busy())
