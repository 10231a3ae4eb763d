"""One clear error, and nothing changed: what cannot be released is said so, and users notice nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from bench.traffic import ROOT
from tests.e2e.town import Town, Wish, has_users

from interlock.app.verbs import Blocked, who
from interlock.core.events import OrderKind
from interlock.core.phase import Phase
from interlock.core.record import plain
from interlock.core.release import Entrance
from interlock.core.rollout import Rollout
from interlock.core.transitions import Refused


@asynccontextmanager
async def nothing_changes(town: Town) -> AsyncIterator[None]:
    """Check that meanwhile no user's request fails or reaches anything new, and that afterwards all is as before."""
    stable, running = await town.stable(), await town.processes()
    async with town.traffic(60, 10) as users:
        yield
    assert users.counts.failures == []
    assert list(users.counts.answered) == [stable]
    await town.settled(stable)
    assert await town.processes() == running


async def refused(town: Town, wish: Wish) -> Rollout:
    """Release what cannot be; return how it ended."""
    async with nothing_changes(town):
        run = await town.start(wish)
        ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and not ended.exposed, await town.story(run)
    return ended


async def test_a_second_deployment_is_told_who_runs_which_one_since_when(town: Town) -> None:
    run = await town.start(town.wish(bake=timedelta(seconds=20)))
    rollout = await town.until(run, has_users, "users on the canary")
    with pytest.raises(Blocked) as no:
        await town.start(town.wish())
    for part in (rollout.id, who(), f"{rollout.started:%Y-%m-%d %H:%M}", "interlock abort"):
        assert part in str(no.value)
    assert not (await town.rollout(run)).going_back
    await town.abort(run)
    await town.over(run)


async def test_of_two_commands_at_once_exactly_one_starts(town: Town) -> None:
    commands = []
    for name in ("one", "other"):
        file = town.place / f"{name}.json"
        file.write_text(json.dumps(plain(await town.plan(town.wish(bake=timedelta(seconds=20))))))
        commands.append((sys.executable, "-m", "tests.e2e.starter", str(town.state.path), str(file)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    running = [
        await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
        for command in commands
    ]
    said = [(await one.communicate())[0].decode() for one in running]
    verbs = sorted(text.split()[0] for text in said)
    active = await town.app.records.active()
    assert verbs == ["blocked", "started"], said
    assert len(active) == 1 and active[0].run in next(text for text in said if text.startswith("started"))
    assert active[0].id in next(text for text in said if text.startswith("blocked"))
    await town.abort(active[0].run)
    await town.over(active[0].run)


async def test_a_port_that_another_program_has_is_named_with_that_program(town: Town) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = await refused(town, town.wish(entrance=Entrance(taken.getsockname()[1])))
    assert f"pid {os.getpid()}" in ended.reason, ended.reason


async def test_a_command_that_does_not_start_is_named(town: Town) -> None:
    ended = await refused(town, town.wish(command=("./no-such-program", "--port", "{port}")))
    assert "./no-such-program" in ended.reason, ended.reason


async def test_an_instance_that_ends_before_it_is_ready_is_shown_with_its_last_words(town: Town) -> None:
    ended = await refused(town, town.wish(manners={"crashes": True}))
    assert "fatal: no such database" in ended.reason, ended.reason


async def test_an_instance_that_never_gets_ready_is_given_up_in_time(town: Town) -> None:
    ended = await refused(town, town.wish(manners={"sick": True}, start_within=timedelta(seconds=2)))
    assert "0 of 1 instances ready" in ended.reason and "503" in ended.reason, ended.reason


async def test_a_smoke_test_that_the_old_version_answers_proves_nothing(town: Town) -> None:
    old = await town.stable()
    ended = await refused(town, town.wish(manners={"says": old}))
    assert old in ended.reason and ended.stage.revision.release.version in ended.reason, ended.reason


async def test_an_order_to_a_rollout_that_has_ended_is_refused(town: Town) -> None:
    ended = await town.release(town.wish())
    async with nothing_changes(town):
        with pytest.raises((Blocked, Refused), match="there is nothing left to abort"):
            await town.app.order(ended.run, OrderKind.ABORT)
