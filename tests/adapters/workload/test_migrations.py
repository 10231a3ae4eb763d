"""Is a migration run once as a process, found by whoever comes after us, ended with its children, and its end known?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import LocalHost
from interlock.adapters.probe.network import check
from interlock.adapters.workload.process import Migrations, Processes
from interlock.core.migration import Migration, Seen, Standing
from interlock.core.release import Artefact, Configuration, Release, Revision
from interlock.ports.workload import WorkloadError

FACTS = {"key": "the key", "old_version": "v0", "weight": {"from": 0.0}}
CONFIGURATION = Configuration(
    ("serve",),
    environment=(("GREETING", "hello"),),
    secrets=(("PASSWORD", "print"),),
    stop_within=timedelta(seconds=5),
)


@dataclass
class World:
    """A directory with one artefact; each `keeper()` is one that came after all before were killed."""

    directory: Path
    label: str

    def keeper(self) -> Migrations:
        d = self.directory
        return Migrations(LocalHost(), d / "state", SystemClock(), self.label, d / "artefacts", d / "secrets")

    def file(self, name: str) -> Path:
        return self.directory / "artefacts" / "ab" / name

    def count(self) -> int:
        return len(self.file("runs").read_text().splitlines()) if self.file("runs").exists() else 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "artefacts" / "ab").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "print").write_text("geheim-geheim")
    world = World(tmp_path, f"test-{uuid.uuid4()}")
    yield world
    for process in asyncio.run(LocalHost().find(f"{world.label}/")):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def revision(name: str = "web-1", digest: str = "ab", configuration: Configuration = CONFIGURATION) -> Revision:
    return Revision(name, "staging", Release("web", "v1", Artefact(f"sha256:{digest}", "here"), configuration, "c"))


def shell(script: str) -> Migration:
    return Migration(("sh", "-c", f"echo run >> runs; {script}"))


WAITS = "while [ ! -e go ]; do sleep 0.02; done; echo went"


async def until(migrations: Migrations, migration: Migration, holds: Callable[[Seen], bool]) -> Seen:
    deadline = time.monotonic() + 30
    while not holds(seen := await migrations.look(revision(), migration)):
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.02)
    return seen


async def done(migrations: Migrations, migration: Migration, attempt: int = 1) -> Seen:
    await migrations.begin(revision(), migration, "run-1", attempt, FACTS)
    return await until(migrations, migration, lambda seen: seen.standing is not Standing.RUNNING)


async def finished(migrations: Migrations, what: Revision, migration: Migration) -> None:
    async with asyncio.timeout(20):
        while (await migrations.look(what, migration)).standing is not Standing.ENDED:
            await asyncio.sleep(0.05)


async def test_it_runs_as_an_instance_would_and_its_end_and_last_lines_are_known(world: World) -> None:
    keeper, migration = world.keeper(), shell("env > told; pwd; echo using $PASSWORD")
    assert (await keeper.look(revision(), migration)) == Seen()
    seen = await done(keeper, migration)
    assert seen.done and (seen.attempt, seen.run_by) == (1, "run-1")
    assert seen.lines == (str(world.file("")), "using [secret]")
    told = dict(line.split("=", 1) for line in world.file("told").read_text().splitlines())
    assert (told["GREETING"], told["PASSWORD"], told["INTERLOCK_VERSION"]) == ("hello", "geheim-geheim", "v1")
    assert (told["INTERLOCK_KEY"], told["INTERLOCK_WEIGHT_FROM"]) == ("the key", "0")
    assert json.loads(told["INTERLOCK_FACTS"]) == FACTS
    assert not {"PORT", "INTERLOCK_SLOT", "INTERLOCK_MARK"} & told.keys()


async def test_a_status_is_known_to_whoever_comes_later_too(world: World) -> None:
    assert (await done(world.keeper(), shell("echo no such table; exit 3"))).status == 3
    later = await world.keeper().look(revision(), shell("echo no such table; exit 3"))
    assert (later.standing, later.status, later.lines) == (Standing.ENDED, 3, ("no such table",))


async def test_one_that_is_killed_by_a_signal_says_so(world: World) -> None:
    assert (await done(world.keeper(), shell("kill -9 $$"))).status == -9


async def test_a_program_that_is_not_there_ends_with_its_reason(world: World) -> None:
    seen = await done(world.keeper(), Migration(("no-such-program", "up")))
    assert seen.status == 127 and "not found" in " ".join(seen.lines)


async def test_it_goes_on_when_its_keeper_dies_and_the_next_one_waits_for_it(world: World) -> None:
    migration = shell(WAITS)
    await world.keeper().begin(revision(), migration, "run-1", 1, FACTS)
    second = world.keeper()
    assert (await second.look(revision(), migration)).standing is Standing.RUNNING
    await second.begin(revision(), migration, "run-1", 2, FACTS)
    world.file("go").touch()
    seen = await until(second, migration, lambda seen: seen.standing is not Standing.RUNNING)
    assert seen.done and seen.lines[-1] == "went" and world.count() == 1


async def test_one_that_was_started_and_not_yet_recorded_is_found(world: World) -> None:
    migration, keeper = shell(WAITS), world.keeper()
    await keeper.begin(revision(), migration, "run-1", 1, FACTS)
    (record,) = (world.directory / "state" / "migrations").glob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "process": None}))
    later = world.keeper()
    assert (await later.look(revision(), migration)).standing is Standing.RUNNING
    world.file("go").touch()
    assert (await until(later, migration, lambda seen: seen.standing is not Standing.RUNNING)).done


async def test_of_two_shells_for_one_attempt_the_second_does_nothing(world: World) -> None:
    migration = shell("true")
    assert (await done(world.keeper(), migration)).done
    (record,) = (world.directory / "state" / "migrations").glob("*.json")
    record.unlink()
    seen = await done(world.keeper(), migration)
    assert world.count() == 1 and seen.done, "what is marked as begun is begun by nobody else"


async def test_one_that_broke_off_is_told_from_one_that_was_never_begun(world: World) -> None:
    migration = shell(WAITS)
    await world.keeper().begin(revision(), migration, "run-1", 1, FACTS)
    await asyncio.sleep(0)
    deadline = time.monotonic() + 20
    while world.count() == 0:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    (process,) = await LocalHost().find(f"{world.label}/")
    os.killpg(process.pid, signal.SIGKILL)
    later = world.keeper()
    seen = await until(later, migration, lambda seen: seen.standing is not Standing.RUNNING)
    assert (seen.standing, seen.attempt, seen.run_by) == (Standing.LOST, 1, "run-1")
    world.file("go").touch()
    assert (await done(later, migration, attempt=2)).done and world.count() == 2


async def test_what_was_recorded_and_never_started_has_not_been_begun(world: World) -> None:
    migration = shell("true")
    await done(world.keeper(), migration)
    directory = world.directory / "state" / "migrations"
    for mark in directory.glob("*-1.*"):
        mark.unlink()
    (record,) = directory.glob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "process": None}))
    later = world.keeper()
    assert (await later.look(revision(), migration)).standing is Standing.NEW
    assert (await done(later, migration)).done and world.count() == 2


async def test_it_is_ended_by_term_first_with_its_children(world: World) -> None:
    migration = shell("trap 'echo bye; exit 4' TERM; sleep 600 & echo $! > child; while :; do sleep 0.05; done")
    keeper = world.keeper()
    await keeper.begin(revision(), migration, "run-1", 1, FACTS)
    deadline = time.monotonic() + 20
    while not world.file("child").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await keeper.end(revision(), migration)
    seen = await keeper.look(revision(), migration)
    assert seen.standing is Standing.ENDED and not seen.done and "bye" in seen.lines
    assert await LocalHost().find(f"{world.label}/") == ()
    await keeper.end(revision(), migration)


async def test_one_that_does_not_listen_is_killed(world: World) -> None:
    impatient = replace(CONFIGURATION, stop_within=timedelta(milliseconds=300))
    stubborn = revision(configuration=impatient)
    migration, keeper = shell("trap '' TERM; touch up; while :; do sleep 0.05; done"), world.keeper()
    await keeper.begin(stubborn, migration, "run-1", 1, FACTS)
    deadline = time.monotonic() + 20
    while not world.file("up").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await keeper.end(stubborn, migration)
    assert not (await keeper.look(stubborn, migration)).done
    assert await LocalHost().find(f"{world.label}/") == ()


async def test_down_ends_whatever_migration_runs(world: World) -> None:
    await world.keeper().begin(revision(), shell(WAITS), "run-1", 1, FACTS)
    assert await world.keeper().clear() == ["staging/web-1/migration"]
    assert await world.keeper().clear() == []


async def test_the_same_release_under_another_revision_has_been_migrated_and_another_one_has_not(world: World) -> None:
    keeper, migration = world.keeper(), shell("true")
    await done(keeper, migration)
    assert (await keeper.look(revision("web-2"), migration)).done
    other = revision("web-3", configuration=replace(CONFIGURATION, instances=7))
    assert (await keeper.look(other, migration)) == Seen()
    assert (await keeper.look(revision(), shell("false"))) == Seen(), "another command is another migration"


async def test_a_keeper_of_instances_leaves_a_migration_alone(world: World) -> None:
    migration, d = shell(WAITS), world.directory
    await world.keeper().begin(revision(), migration, "run-1", 1, FACTS)
    processes = Processes(LocalHost(), d / "state", SystemClock(), world.label, d / "artefacts", d / "secrets", check)
    await processes.adopt()
    await asyncio.sleep(0.3)
    assert (await world.keeper().look(revision(), migration)).standing is Standing.RUNNING
    world.file("go").touch()
    await until(world.keeper(), migration, lambda seen: seen.standing is not Standing.RUNNING)
    assert await processes.logs("web-1", 9) == ("[migration] went",)
    assert await processes.log_tail("web-1", 9) == ()


async def test_what_is_missing_is_said_and_nothing_is_begun(world: World) -> None:
    for broken, what in (
        (revision(digest="cd"), "the artefact sha256:cd"),
        (revision(configuration=replace(CONFIGURATION, secrets=(("KEY", "gone"),))), "the secret for KEY"),
    ):
        with pytest.raises(WorkloadError, match=what):
            await world.keeper().begin(broken, shell("true"), "run-1", 1, FACTS)
        assert await world.keeper().look(broken, shell("true")) == Seen()


async def test_no_secret_is_in_what_is_kept_of_it(world: World) -> None:
    await done(world.keeper(), shell("true"))
    for path in (world.directory / "state" / "migrations").iterdir():
        assert b"geheim" not in path.read_bytes()


async def test_a_record_that_cannot_be_read_is_an_error_that_names_it(world: World) -> None:
    await done(world.keeper(), shell("true"))
    (record,) = (world.directory / "state" / "migrations").glob("*.json")
    record.write_text("{")
    with pytest.raises(WorkloadError, match=record.name):
        await world.keeper().look(revision(), shell("true"))


async def test_of_a_rollout_that_is_forgotten_only_that_it_is_done_is_kept_and_it_is_never_done_again(
    world: World,
) -> None:
    good, bad, kept = shell("echo done"), shell("exit 3"), shell("echo kept")

    async def recorded(rollout: str) -> bool:
        return rollout == "shop-9-staging"

    keeper, web, other = world.keeper(), revision("web-1"), revision("web-9", "ac")
    (world.directory / "artefacts" / "ac").mkdir()
    for one, migration, rollout, attempts in (
        (web, good, "shop-1-staging", 1),
        (revision("web-2"), bad, "shop-2-staging", 2),
        (other, kept, "shop-9-staging", 1),
    ):
        for attempt in range(1, attempts + 1):
            await keeper.begin(one, migration, rollout, attempt, FACTS)
            await finished(keeper, one, migration)
    records = world.directory / "state" / "migrations"
    before, runs = {path.name for path in records.iterdir()}, world.count()
    assert await keeper.prune(recorded) == ("web-1-migration.log",)
    (gone,) = before - {path.name for path in records.iterdir()}
    assert gone.endswith("-1.begun") and web.release.identity in gone
    assert await world.keeper().prune(recorded) == ()
    seen = await world.keeper().look(revision("web-7"), good)
    assert seen.done and seen.run_by == "shop-1-staging"
    await world.keeper().begin(revision("web-7"), good, "shop-30-staging", 1, FACTS)
    assert world.count() == runs
    failed = await world.keeper().look(revision("web-2"), bad)
    assert (failed.standing, failed.attempt, failed.status) == (Standing.ENDED, 2, 3)
    assert (await world.keeper().look(other, kept)).lines == ("kept",)
