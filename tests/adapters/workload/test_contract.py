"""Does every workload keep what its port promises, whatever runs the instances?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.workload.sites import ContainerSite, Site, all_ready, seen, until
from tests.engines import Harbour

from interlock.adapters.http import Response, ask
from interlock.core.health import Probe, ProbeKind
from interlock.core.migration import Migration, Standing
from interlock.core.release import Instance
from interlock.ports.workload import WorkloadError

EVERYWHERE = ("process", "docker", "podman")
SHORT = timedelta(seconds=1)


@pytest.fixture
def site(request: pytest.FixtureRequest, harbour: Harbour, tmp_path: Path) -> Iterator[Site]:
    kind: str = request.param
    made = Site(tmp_path) if kind == "process" else ContainerSite(tmp_path, harbour.engine(kind), harbour.registry)
    yield made
    asyncio.run(made.end())


async def get(instance: Instance, path: str) -> Response:
    return await ask(instance.address, "GET", path, timeout=timedelta(seconds=10))


@pytest.mark.parametrize("site", EVERYWHERE, indirect=True)
async def test_instances_start_get_ready_come_back_when_they_die_and_leave_nothing_but_their_log(site: Site) -> None:
    (site.place / "secrets" / "f1").write_bytes(b"sesame street")
    revision = site.revision(secrets=(("TOKEN", "f1"),))
    async with site.keeper() as workload:
        await workload.ensure(revision, 2)
        first, second = await seen(workload, all_ready(2))
        assert first.address != second.address
        assert await workload.environments() == ("staging",) and await workload.revisions("staging") == (revision,)
        told = json.loads((await get(first, "/")).body)["env"]
        expected = {"GREETING": "hello", "TOKEN": "sesame street", "INTERLOCK_SLOT": "0", "INTERLOCK_VERSION": "v1"}
        assert {name: told.get(name) for name in expected} == expected
        await workload.ensure(revision, 2)
        assert len(await site.running()) == 2, "asked again, nothing more is started"
        os.kill(site.pid(first), signal.SIGKILL)
        again = await seen(workload, lambda found: found[0].restarts == 1 and all_ready(2)(found))
        assert again[0].address == first.address and again[1] == second
        assert await workload.stop("web-1", (0, 1)) == ()
        assert await workload.instances("web-1") == () and await site.running() == []
        assert any("serving" in line for line in await workload.log_tail("web-1", 10))


@pytest.mark.parametrize("site", EVERYWHERE, indirect=True)
async def test_the_next_keeper_takes_over_what_runs_starts_what_is_missing_and_ends_what_nobody_asked_for(
    site: Site,
) -> None:
    async with site.keeper() as workload:
        await workload.ensure(site.revision("web-1"), 2)
        await workload.ensure(site.revision("web-2"), 1)
        before = await seen(workload, all_ready(2))
        await seen(workload, all_ready(1), "web-2")
    (site.place / "state" / "revisions" / "web-2.json").unlink()
    async with site.keeper() as workload:
        assert await workload.instances("web-2") == ()
        after = await seen(workload, all_ready(2))
        assert [(one.address, one.process) for one in after] == [(one.address, one.process) for one in before]

        async def only_two() -> bool:
            return len(await site.running()) == 2

        await until(only_two, "what nobody asked for ends")


@pytest.mark.parametrize("site", ("docker",), indirect=True)  # as a process: test_process
async def test_one_that_hangs_is_started_again_one_that_ignores_term_is_killed(site: Site) -> None:
    liveness = Probe(path="/live", timeout=timedelta(seconds=0.5))
    async with site.keeper() as workload:
        await workload.ensure(
            site.revision("web-1", "--stubborn", liveness=liveness, unhealthy_after=1, stop_within=SHORT), 1
        )
        (one,) = await seen(workload, all_ready(1))
        await get(one, "/set/lives=0")
        await seen(workload, lambda found: found[0].restarts == 1 and all_ready(1)(found))
        assert await workload.stop("web-1", (0,)) == (0,)
        assert await site.running() == []


@pytest.mark.parametrize("site", EVERYWHERE, indirect=True)
async def test_what_cannot_be_launched_is_said_and_leaves_nothing(site: Site) -> None:
    async with site.keeper() as workload:
        with pytest.raises(WorkloadError, match="/nowhere/server"):
            await workload.ensure(site.revision(command=("/nowhere/server",)), 1)
        with pytest.raises(WorkloadError, match="secret for TOKEN"):
            await workload.launchable(site.revision(secrets=(("TOKEN", "gone"),)))
        assert await workload.instances("web-1") == () and await workload.environments() == ()

        async def nothing() -> bool:
            return not (isinstance(site, ContainerSite) and site.containers())

        await until(nothing, "nothing is left of it")


@pytest.mark.parametrize("site", EVERYWHERE, indirect=True)
async def test_readiness_may_be_a_command_that_is_run_where_the_instance_is(site: Site) -> None:
    look = Probe(ProbeKind.COMMAND, command=(site.revision().release.configuration.command[0], "-c", "import os, sys"))
    wrong = Probe(ProbeKind.COMMAND, command=(look.command[0], "-c", "print('not yet'); raise SystemExit(3)"))
    async with site.keeper() as workload:
        await workload.ensure(site.revision("web-1", readiness=look), 1)
        await workload.ensure(site.revision("web-2", readiness=wrong), 1)
        await seen(workload, all_ready(1))
        await seen(workload, lambda found: "3 (not yet)" in found[0].reason, "web-2")


@pytest.mark.parametrize("site", EVERYWHERE, indirect=True)
async def test_a_migration_is_run_once_and_its_end_is_known_to_whoever_comes(site: Site) -> None:
    python = site.revision().release.configuration.command[0]
    migration = Migration(
        (python, "-c", "import os; print(os.environ['INTERLOCK_VERSION'], 'moves'); raise SystemExit(3)")
    )
    asked = (site.revision(), migration, "r-1", 1, {"rollout": "r-1"})
    assert (await site.migrations().look(*asked[:2])).standing is Standing.NEW
    await site.migrations().begin(*asked)
    await site.migrations().begin(*asked)  # another keeper, which asks again

    async def ended() -> bool:
        return bool((await site.migrations().look(*asked[:2])).standing is Standing.ENDED)

    await until(ended, "its end")
    seen = await site.migrations().look(*asked[:2])
    assert (seen.status, seen.attempt, seen.run_by, seen.lines) == (3, 1, "r-1", ("v1 moves",))
    assert await site.running() == []
    long = Migration(
        (
            python,
            "-c",
            "import signal, time; signal.signal(signal.SIGTERM, signal.default_int_handler); time.sleep(600)",
        )
    )
    await site.migrations().begin(site.revision(), long, "r-1", 1, {})
    assert (await site.migrations().look(site.revision(), long)).standing is Standing.RUNNING
    await site.migrations().end(site.revision(), long)
    assert (await site.migrations().look(site.revision(), long)).standing is Standing.ENDED
