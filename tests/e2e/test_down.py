"""`down` leaves nothing behind but records, and what was stable is back before anything new goes out."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

from tests.e2e.town import ENVIRONMENT, Town, a_town, has_users

from interlock.core.phase import Phase


def sockets(town: Town) -> list[Path]:
    """Return the sockets below the runtime directory on which somebody answers."""
    found = []
    for path in town.state.runtime.rglob("*"):
        if path.is_socket():
            with socket.socket(socket.AF_UNIX) as caller:
                if caller.connect_ex(str(path)) == 0:
                    found.append(path)
    return found


async def test_down_leaves_no_process_and_no_socket_and_the_next_release_brings_stable_back_first() -> None:
    async with a_town() as town:
        await town.ready()
        first = await town.stable()
        stopped = await town.app.down()
        assert any(ENVIRONMENT in line for line in stopped) and "Envoy" in stopped
        assert await town.everything() == []
        assert sockets(town) == []

        await town.begin()
        wish = town.wish(manners={"errors": 0.6}, bake=timedelta(seconds=20))
        run = await town.start(wish)
        await town.until(run, has_users, "users on the canary")
        said = [entry.text for entry in await town.entries(run)]
        assert any(f"({first}) is ready with 2 instances" in text for text in said), said
        async with town.traffic(100) as users:  # the way back was there before the way on: it is needed now
            ended = await town.over(run)
        assert ended.phase is Phase.ROLLED_BACK, await town.story(run)
        await town.settled(first)
        assert town.failed(users.counts, wish.version) == []


async def test_down_in_the_middle_of_a_canary_stops_everything_too() -> None:
    async with a_town() as town:
        await town.ready()
        run = await town.start(town.wish(bake=timedelta(seconds=60)))
        await town.until(run, has_users, "users on the canary")
        await town.app.down()
        assert await town.everything() == []
        assert sockets(town) == []


async def test_a_command_after_keeper_and_twin_were_killed_at_once_starts_a_keeper_that_adopts_all() -> None:
    async with a_town() as town:
        await town.ready()
        running, envoy = await town.processes(), await town.envoy()
        async with town.traffic(100) as users:
            for who in ("twin", "keeper"):
                town.kill(who)
            await town.begin()
            assert await town.processes() == running
            assert await town.envoy() == envoy
            ended = await town.release(town.wish())
        assert ended.phase is Phase.SUCCEEDED
        assert users.counts.failures == []
