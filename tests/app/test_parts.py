"""Is what can be stopped stopped, and is what cannot be stopped said and looked after?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from tests.engine.stories import HASTY, Story, busy, play, revision, stage

from interlock.adapters.memory import World
from interlock.app.parts import Parts
from interlock.app.state import StateDirectory
from interlock.app.verbs import LeftRunning
from interlock.core.phase import Phase
from interlock.engine.courier import Courier
from interlock.keeper import Keeper
from interlock.ports.workload import WorkloadError
from interlock.twin import Watch


class Stubborn:
    """Stands in for the processes of a world of which one revision does not end."""

    def __init__(self, world: World, stays: str) -> None:
        self._world, self._stays = world, stays

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    async def stop(self, revision: str, slots: tuple[int, ...]) -> None:
        if revision == self._stays:
            raise WorkloadError(f"{revision}: pid 12 was killed and does not end")
        await self._world.stop(revision, slots)

    async def close(self, within: timedelta) -> None:
        """As Envoy would end."""


def parts(story: Story, stays: str) -> Parts:
    stubborn = cast(Any, Stubborn(story.world, stays))
    courier = Courier(story.store, story.world, lambda plan: ())
    return Parts(story.engine._ports, stubborn, stubborn, courier)


def test_what_cannot_be_stopped_holds_up_nothing_else_and_is_named() -> None:
    async def tell(story: Story) -> None:
        await story.stands("v1")
        await story.stands("v1", environment="staging")
        with pytest.raises(
            LeftRunning, match=r"staging-v1 could not be stopped: .*pid 12.* Stopped were production-v1"
        ):
            await parts(story, "staging-v1").stop_all()
        assert await story.world.instances("production-v1") == ()
        assert await parts(story, "").stop_all() == ["staging-v1: 2 instances", "Envoy"]
        story.world.violations.clear()  # to stop what serves is what was asked for

    play(tell)


def test_after_a_down_that_failed_in_part_the_keeper_drives_on(tmp_path: Path) -> None:
    async def tell(story: Story) -> None:
        watch = Watch(tmp_path, ("keeper",), "log", "test")
        keeper = Keeper(StateDirectory(tmp_path), parts(story, "production-v1"), watch)
        story.engine = keeper._engine
        old = await story.stands("v1")
        await story.proven(revision("v2", "staging", 1))
        run = await story.deploy(stage(revision("v2"), old, pace=HASTY))
        await story.reaches(run, HASTY.weights[0])
        with pytest.raises(LeftRunning):
            await keeper._answer("stop", {})
        story.world.violations.clear()  # to stop what serves is what was asked for
        assert list(story.engine.live()) == [f"{run}-production"]
        assert (await story.ends(run)).phase is Phase.ROLLED_BACK

    play(tell, busy())
