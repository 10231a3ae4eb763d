from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path, PurePath

import pytest

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import LocalHost
from interlock.adapters.http import HttpError, Response, ask
from interlock.adapters.probe.network import check
from interlock.adapters.workload.process import Processes
from interlock.adapters.workload.slots import log
from interlock.core.health import Probe, ProbeKind
from interlock.core.release import Artefact, Configuration, Instance, Protocol, Release, Revision
from interlock.ports.host import Command, Host, HostError, Process
from interlock.ports.workload import Workload, WorkloadError

DEADLINE = 30.0
SERVER = """
import http.server, json, os, signal, sys, threading, time
state, blob = {"ready": "--unready" not in sys.argv, "lives": True}, []
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, _, value = self.path[1:].partition("/")
        if name == "set":
            state[value.split("=")[0]] = value.endswith("=1")
        if name == "exit":
            print("told to exit", flush=True)
            os._exit(int(value))
        if name == "grow":
            blob.append(bytearray(b"x" * (int(value) << 20)))
        if name == "live" and not state["lives"]:
            time.sleep(600)
        body = json.dumps({"env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(), "pid": os.getpid()}).encode()
        self.send_response(503 if name == "ready" and not state["ready"] else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer.daemon_threads = True
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers)
print("serving", os.environ["PORT"], flush=True)
server.serve_forever()
"""
CONFIGURATION = Configuration(
    command=(sys.executable, "-S", "server.py", "--port={port}"),
    readiness=Probe(path="/ready"),
    environment=(("GREETING", "hello"),),
    stop_within=timedelta(seconds=10),
)


@dataclass
class World:
    """A directory with one artefact, and the keepers that come and go over it."""

    directory: Path
    label: str

    def processes(self, host: Host | None = None) -> Processes:
        d = self.directory
        host = host or LocalHost()
        return Processes(host, d / "state", SystemClock(), self.label, d / "artefacts", d / "secrets", check)

    @asynccontextmanager
    async def keeper(self, host: Host | None = None) -> AsyncIterator[Processes]:
        """A keeper that supervises, and dies without a word when the block ends."""
        processes = self.processes(host)
        supervising = asyncio.create_task(processes.supervise())
        try:
            yield processes
            assert not supervising.done(), supervising.exception()
        finally:
            supervising.cancel()
            await asyncio.wait({supervising})

    async def running(self) -> tuple[Process, ...]:
        return await LocalHost().find(f"{self.label}/")

    def record(self, name: str = "web-1") -> Path:
        return self.directory / "state" / "revisions" / f"{name}.json"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "artefacts" / "ab").mkdir(parents=True)
    (tmp_path / "artefacts" / "ab" / "server.py").write_text(SERVER)
    (tmp_path / "secrets").mkdir()
    world = World(tmp_path, f"test-{uuid.uuid4()}")
    yield world
    for process in asyncio.run(world.running()):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def revision(
    name: str = "web-1", *argv: str, configuration: Configuration = CONFIGURATION, digest: str = "ab"
) -> Revision:
    configuration = replace(configuration, command=(*configuration.command, *argv))
    return Revision(name, "staging", Release("web", "v1", Artefact(f"sha256:{digest}", "here"), configuration, "c"))


async def until(holds: Callable[[], Awaitable[object]], what: str = "it") -> None:
    end = time.monotonic() + DEADLINE
    while not await holds():
        assert time.monotonic() < end, f"{what} did not come about in time"
        await asyncio.sleep(0.02)


async def eventually_running(world: World, count: int) -> None:
    """Wait until so many processes are left."""
    end = time.monotonic() + DEADLINE
    while len(await world.running()) != count:
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.02)


async def seen(
    processes: Workload, holds: Callable[[tuple[Instance, ...]], object], name: str = "web-1"
) -> tuple[Instance, ...]:
    """Wait until the instances are as wanted; return them."""
    end = time.monotonic() + DEADLINE
    while not holds(found := await processes.instances(name)):
        assert time.monotonic() < end, f"not in time; last seen: {found}"
        await asyncio.sleep(0.02)
    return found


def all_ready(count: int) -> Callable[[tuple[Instance, ...]], object]:
    return lambda found: len(found) == count and all(i.alive and i.ready for i in found)


async def get(instance: Instance, path: str) -> Response:
    return await ask(instance.address, "GET", path, timeout=timedelta(seconds=10))


def pids(found: tuple[Instance, ...]) -> list[str]:
    return [instance.process for instance in found]


async def test_an_instance_is_asked_in_the_http_that_it_speaks(world: World) -> None:
    speaks_http2 = Path(__file__).parents[3] / "examples" / "02-grpc" / "server.py"
    (world.directory / "artefacts" / "ab" / "server.py").write_text(speaks_http2.read_text())
    configuration = replace(CONFIGURATION, command=(sys.executable, "server.py"))
    async with world.keeper() as processes:
        await processes.ensure(revision("web-1", configuration=replace(configuration, protocol=Protocol.H2C)), 1)
        await seen(processes, all_ready(1))
        await processes.ensure(revision("web-2", configuration=configuration), 1)
        await seen(processes, lambda found: any("does the service speak HTTP/2" in i.reason for i in found), "web-2")


async def test_a_revision_starts_gets_ready_and_is_found_by_its_environment(world: World) -> None:
    async with world.keeper() as processes:
        before = time.monotonic()
        await processes.ensure(revision(), 2)
        at_once = await processes.instances("web-1")
        assert [(i.slot, i.alive, i.ready) for i in at_once] == [(0, True, False), (1, True, False)]
        ready = await seen(processes, all_ready(2))
        print(f"ready after {time.monotonic() - before:.3f} s")
        assert len({i.address for i in ready}) == 2
        assert await processes.revisions("staging") == (revision(),)
        assert await processes.revisions("production") == ()
        assert await processes.environments() == ("staging",)
        assert await processes.instances("web-9") == ()


async def test_an_instance_runs_in_its_artefact_and_knows_who_it_is_and_little_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS_ALONE", "1")
    (world.directory / "secrets" / "f1").write_bytes(b"sesame\n")
    configuration = replace(CONFIGURATION, secrets=(("TOKEN", "f1"),))
    async with world.keeper() as processes:
        await processes.ensure(revision(configuration=configuration), 1)
        (instance,) = await seen(processes, all_ready(1))
        told = json.loads((await get(instance, "/")).body)
    port = instance.address.rpartition(":")[2]
    assert told["cwd"] == str(world.directory / "artefacts" / "ab")
    assert told["argv"] == ["server.py", f"--port={port}"]
    expected = {
        "GREETING": "hello",
        "TOKEN": "sesame\n",
        "PORT": port,
        "INTERLOCK_SERVICE": "web",
        "INTERLOCK_ENVIRONMENT": "staging",
        "INTERLOCK_REVISION": "web-1",
        "INTERLOCK_VERSION": "v1",
        "INTERLOCK_SLOT": "0",
        "INTERLOCK_LABEL": f"{world.label}/staging/web-1/0",
    }
    assert told["env"].items() >= expected.items()
    assert told["env"].keys() - expected.keys() <= {"PATH", "HOME", "LANG", "TZ", "LC_CTYPE"}
    assert "sesame" not in world.record().read_text()


async def test_ensure_names_a_state_to_reach_and_never_lowers(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 2)
        first = await processes.instances("web-1")
        for wanted in (2, 1, 0):
            await processes.ensure(revision(), wanted)
            assert pids(await processes.instances("web-1")) == pids(first)
        await processes.ensure(revision(), 3)
        assert pids(await processes.instances("web-1"))[:2] == pids(first)
        assert await processes.stop("web-1", (0,)) == ()
        await processes.ensure(revision(), 3)
        assert [i.slot for i in await processes.instances("web-1")] == [0, 1, 2]
    assert len(await world.running()) == 3


async def test_a_stopped_slot_is_forgotten_and_an_empty_revision_too(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 2)
        await seen(processes, all_ready(2))
        assert await processes.stop("web-1", (1, 7)) == ()
        assert [i.slot for i in await processes.instances("web-1")] == [0]
        assert len(await world.running()) == 1
        assert await processes.stop("web-1", (0,)) == ()
        assert await processes.revisions("staging") == ()
        assert not world.record().exists()
        assert await world.running() == ()
        assert await processes.stop("web-1", (0,)) == ()
        assert (world.directory / "artefacts" / "ab" / "server.py").exists()
        assert (await processes.log_tail("web-1", 10))[0].startswith("[0] serving")


async def test_what_does_not_obey_is_killed_and_said_to_have_been_all_at_once(world: World) -> None:
    configuration = replace(CONFIGURATION, stop_within=timedelta(seconds=2))
    async with world.keeper() as processes:
        await processes.ensure(revision("web-1", "--stubborn", configuration=configuration), 3)
        await seen(processes, all_ready(3))
        before = time.monotonic()
        assert await processes.stop("web-1", (0, 1, 2)) == (0, 1, 2)
        assert time.monotonic() - before < 3 * 2
    assert await world.running() == ()


async def test_a_stop_that_nobody_waits_for_goes_on_and_can_be_waited_for_again(world: World) -> None:
    configuration = replace(CONFIGURATION, stop_within=timedelta(seconds=2))
    async with world.keeper() as processes:
        await processes.ensure(revision("web-1", "--stubborn", configuration=configuration), 1)
        await seen(processes, all_ready(1))
        stopping = asyncio.create_task(processes.stop("web-1", (0,)))
        await asyncio.sleep(0.2)
        stopping.cancel()
        await asyncio.wait({stopping})
        assert await processes.stop("web-1", (0,)) == (0,)
        assert await world.running() == ()


async def test_a_slot_that_still_ends_is_not_taken_by_a_new_instance(world: World) -> None:
    stubborn = revision("web-1", "--stubborn", configuration=replace(CONFIGURATION, stop_within=timedelta(seconds=3)))
    async with world.keeper() as processes:
        await processes.ensure(stubborn, 1)
        await seen(processes, all_ready(1))
        stopping = asyncio.create_task(processes.stop("web-1", (0,)))
        await until(lambda: nothing_of(processes, "web-1"))
        await processes.ensure(stubborn, 1)
        assert [i.slot for i in await processes.instances("web-1")] == [1]
        assert await stopping == (0,)
        await seen(processes, all_ready(1))


async def nothing_of(processes: Processes, name: str) -> bool:
    return not await processes.instances(name)


async def test_an_instance_that_dies_is_started_again_at_its_port_and_counted(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 2)
        first = await seen(processes, all_ready(2))
        with suppress(Exception):
            await get(first[0], "/exit/7")
        (died, _) = await seen(processes, lambda found: not found[0].alive)
        assert died.reason == "exited with status 7; last line: told to exit"
        before = time.monotonic()
        again = await seen(processes, all_ready(2))
        print(f"started again and ready after {time.monotonic() - before:.3f} s")
        assert again[0].address == first[0].address
        assert again[0].process != first[0].process
        assert [i.restarts for i in again] == [1, 0]
        assert again[1].process == first[1].process
        os.kill(int(again[1].process.split()[1]), signal.SIGKILL)
        (_, killed) = await seen(processes, lambda found: not found[1].alive)
        assert "ended by SIGKILL" in killed.reason
        await seen(processes, all_ready(2))


async def test_a_crash_loop_shows_and_backs_off(world: World) -> None:
    command = ("sh", "-c", "echo I cannot find my file >&2; exit 3")
    async with world.keeper() as processes:
        await processes.ensure(revision(configuration=replace(CONFIGURATION, command=command)), 1)
        (instance,) = await seen(processes, lambda found: found[0].restarts >= 2 and not found[0].alive)
        assert instance.reason == "exited with status 3; last line: I cannot find my file"
        assert not instance.ready
        since, restarts = time.monotonic(), instance.restarts
        await asyncio.sleep(3)
        (later,) = await processes.instances("web-1")
        passed = time.monotonic() - since
        assert later.restarts - restarts <= 1 + passed, "it waits longer each time"
        await processes.stop("web-1", (0,))


async def test_readiness_comes_and_goes_without_a_restart(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision("web-1", "--unready"), 1)
        (instance,) = await seen(processes, lambda found: "503" in found[0].reason)
        assert instance.alive
        await get(instance, "/set/ready=1")
        await seen(processes, all_ready(1))
        await get(instance, "/set/ready=0")
        (unready,) = await seen(processes, lambda found: not found[0].ready)
        assert (unready.alive, unready.restarts, unready.process) == (True, 0, instance.process)


async def test_what_lives_but_does_not_answer_is_started_again(world: World) -> None:
    liveness = Probe(path="/live", timeout=timedelta(milliseconds=300))
    configuration = replace(CONFIGURATION, liveness=liveness, unhealthy_after=2, stop_within=timedelta(seconds=1))
    async with world.keeper() as processes:
        await processes.ensure(revision(configuration=configuration), 1)
        (instance,) = await seen(processes, all_ready(1))
        await get(instance, "/set/lives=0")
        (stuck,) = await seen(processes, lambda found: "liveness" in found[0].reason)
        assert "failed its liveness probe 2 times in a row" in stuck.reason
        (again,) = await seen(processes, all_ready(1))
        assert (again.restarts, again.address) == (1, instance.address)
        assert again.process != instance.process


async def test_what_uses_too_much_memory_is_started_again(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(configuration=replace(CONFIGURATION, memory_max=100 << 20)), 1)
        (instance,) = await seen(processes, all_ready(1))
        with suppress(HttpError):  # it may be ended before it answers
            await get(instance, "/grow/150")
        (large,) = await seen(processes, lambda found: "MiB" in found[0].reason)
        assert "more than the 100 MiB allowed" in large.reason
        (again,) = await seen(processes, all_ready(1))
        assert again.restarts == 1


async def test_a_port_that_another_took_is_given_up(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 1)
        (first,) = await seen(processes, all_ready(1))
    (process,) = await world.running()
    os.kill(process.pid, signal.SIGKILL)
    assert await LocalHost().gone(process, timedelta(seconds=DEADLINE))
    port = int(first.address.rpartition(":")[2])
    thief = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", port)
    async with thief, world.keeper() as processes:
        (second,) = await seen(processes, all_ready(1))
        assert second.address != first.address
        assert second.address.rpartition(":")[2] in world.record().read_text()


async def test_a_port_taken_at_the_first_start_is_given_up(world: World) -> None:
    class Unlucky(LocalHost):
        ports: tuple[int, ...] = ()

        async def free_port(self) -> int:
            if self.ports:
                port, *rest = self.ports
                self.ports = tuple(rest)
                return port
            return await super().free_port()

    thief = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    taken: int = thief.sockets[0].getsockname()[1]
    host = Unlucky()
    host.ports = (taken, taken)
    async with thief, world.keeper(host) as processes:
        await processes.ensure(revision(), 1)
        (instance,) = await seen(processes, all_ready(1))
        assert instance.address != f"127.0.0.1:{taken}"


async def test_the_next_keeper_adopts_what_runs_and_starts_what_died_meanwhile(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 3)
        first = await seen(processes, all_ready(3))
    os.kill(int(first[1].process.split()[1]), signal.SIGKILL)
    await eventually_running(world, 2)  # until it has ended it holds its port
    async with world.keeper() as processes:
        assert await processes.revisions("staging") == (revision(),)
        second = await seen(processes, all_ready(3))
        assert [i.address for i in second] == [i.address for i in first]
        assert (pids(second)[0], pids(second)[2]) == (pids(first)[0], pids(first)[2])
        assert [i.restarts for i in second] == [0, 1, 0]
        os.kill(int(first[0].process.split()[1]), signal.SIGKILL)
        (died, *_) = await seen(processes, lambda found: not found[0].alive)
        assert "ended; how is not known" in died.reason or "SIGKILL" in died.reason
        await seen(processes, all_ready(3))
        assert len(await world.running()) == 3
        await processes.clear()
    assert await world.running() == ()


async def test_the_next_keeper_stops_orphans_and_duplicates_and_leaves_other_things_alone(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 1)
        await processes.ensure(revision("web-2"), 1)
        (mine,) = await seen(processes, all_ready(1))
        await seen(processes, all_ready(1), "web-2")
    world.record("web-2").unlink()
    host = LocalHost()
    (command,) = [process.label for process in await world.running() if "/web-1/" in process.label]
    other = sleeper(world, f"{world.label}/envoy")
    duplicate = await host.start(replace(other, label=command))
    envoy = await host.start(other)
    async with world.keeper() as processes:
        assert pids(await seen(processes, all_ready(1))) == pids((mine,))
        assert await host.gone(duplicate, timedelta(seconds=DEADLINE))
        await until(lambda: count_is(world, 2), "the end of orphans")
        assert await host.alive(envoy)
        assert await processes.instances("web-2") == ()
        await processes.clear()
        assert await world.running() == (envoy,)


def sleeper(world: World, label: str) -> Command:
    return Command(
        label, ("sleep", "600"), world.directory, world.directory / "sleep.log", {"PATH": os.environ["PATH"]}
    )


async def count_is(world: World, count: int) -> bool:
    return len(await world.running()) == count


async def test_a_keeper_killed_between_record_and_start_leaves_neither_orphan_nor_gap(world: World) -> None:
    class Dies(LocalHost):
        left = 1

        async def start(self, command: Command) -> Process:
            if not self.left:
                raise KeyboardInterrupt("as good as kill -9")
            self.left -= 1
            return await super().start(command)

    with pytest.raises(KeyboardInterrupt):
        await world.processes(Dies()).ensure(revision(), 3)
    assert len(await world.running()) == 1
    async with world.keeper() as processes:
        await seen(processes, all_ready(3))
        assert len(await world.running()) == 3


@pytest.mark.parametrize(
    ("command", "expected"),
    [(("no-such-program",), "no such program in PATH"), (("./server.py",), "chmod"), (("./missing",), "no such file")],
)
async def test_what_cannot_be_launched_says_why_and_leaves_nothing(
    world: World, command: tuple[str, ...], expected: str
) -> None:
    async with world.keeper() as processes:
        with pytest.raises(WorkloadError, match=f"web-1: cannot start .*{expected}"):
            await processes.ensure(revision(configuration=replace(CONFIGURATION, command=command)), 2)
        assert await processes.revisions("staging") == ()
    assert not world.record().exists()
    assert await world.running() == ()


async def test_a_missing_artefact_or_secret_is_named_and_changes_nothing(world: World) -> None:
    processes = world.processes()
    with pytest.raises(WorkloadError, match=r"artefact sha256:cd \(from here\) is not in .*artefacts"):
        await processes.ensure(revision(digest="cd"), 1)
    with pytest.raises(WorkloadError, match=r"secret for TOKEN \(f9\) is not in .*secrets"):
        await processes.ensure(revision(configuration=replace(CONFIGURATION, secrets=(("TOKEN", "f9"),))), 1)
    assert await processes.revisions("staging") == ()
    assert list((world.directory / "state").rglob("*")) == []


async def test_a_revision_never_changes(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 1)
        with pytest.raises(WorkloadError, match="already runs as another release"):
            await processes.ensure(revision("web-1", "--other"), 1)
        with pytest.raises(WorkloadError, match="cannot name"):
            await processes.ensure(revision("../web"), 1)


async def test_a_record_that_cannot_be_understood_stops_everything_before_anything_is_touched(world: World) -> None:
    async with world.keeper() as processes:
        await processes.ensure(revision(), 1)
        await seen(processes, all_ready(1))
    stored = json.loads(world.record().read_text())
    for change in ({"schema": 99}, {"colour": "red"}, {"slots": 3}):
        world.record().write_text(json.dumps(stored | change))
        with pytest.raises(WorkloadError, match=r"web-1\.json"):
            await world.processes().adopt()
    assert len(await world.running()) == 1


async def test_a_full_disk_hinders_neither_stop_nor_restart_but_a_new_revision_is_refused(
    world: World,
) -> None:
    class Full(LocalHost):
        full = False

        def write(self, path: PurePath, content: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
            if self.full:
                raise HostError(f"cannot write {path}: No space left on device; make room on that disk")
            super().write(path, content, mode=mode, durable=durable)

    host = Full()
    async with world.keeper(host) as processes:
        await processes.ensure(revision(), 2)
        first = await seen(processes, all_ready(2))
        host.full = True
        with pytest.raises(WorkloadError, match="No space left"):
            await processes.ensure(revision("web-2"), 1)
        assert await processes.instances("web-2") == ()
        with suppress(Exception):
            await get(first[0], "/exit/1")
        await seen(processes, lambda found: all_ready(2)(found) and found[0].restarts == 1)
        assert await processes.stop("web-1", (0,)) == ()
        assert await processes.stop("web-1", (1,)) == ()
    assert await world.running() == ()
    assert not world.record().exists()


async def test_logs_are_shown_without_secrets_and_control_characters(world: World) -> None:
    (world.directory / "secrets" / "f1").write_text("sesame\nsecond line")
    code = r"printf 'one\n\033[31mtwo\033[0m\a\n\ntoken=%s\n' \"$TOKEN\"; sleep 600".replace('\\"', '"')
    configuration = replace(CONFIGURATION, command=("sh", "-c", code), secrets=(("TOKEN", "f1"),))
    async with world.keeper() as processes:
        await processes.ensure(revision(configuration=configuration), 1)
        await until(lambda: has_lines(processes, 3))
        assert await processes.log_tail("web-1", 10) == ("one", "two", "token=[secret]")
        assert await processes.log_tail("web-1", 1) == ("token=[secret]",)
        assert await processes.log_tail("web", 10) == ()


async def has_lines(processes: Processes, count: int) -> bool:
    return len(await processes.log_tail("web-1", 10)) >= count


async def test_a_command_probe_runs_beside_the_artefact_with_the_instances_environment(world: World) -> None:
    probe = Probe(
        kind=ProbeKind.COMMAND, command=("sh", "-c", 'test -f server.py && test "$GREETING" = hello && test -n "$PORT"')
    )
    async with world.keeper() as processes:
        await processes.ensure(revision(configuration=replace(CONFIGURATION, readiness=probe)), 1)
        await seen(processes, all_ready(1))


async def test_what_a_probe_quotes_is_shown_without_secrets(world: World) -> None:
    (world.directory / "secrets" / "f1").write_text("sesame")
    probe = Probe(kind=ProbeKind.COMMAND, command=("sh", "-c", 'echo "no login with $TOKEN"; exit 1'))
    configuration = replace(CONFIGURATION, readiness=probe, secrets=(("TOKEN", "f1"),))
    async with world.keeper() as processes:
        await processes.ensure(revision(configuration=configuration), 1)
        found = await seen(processes, lambda found: "no login" in found[0].reason)
        assert "no login with [secret]" in found[0].reason


def test_a_log_that_grows_too_large_is_set_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "web-1-0.log"
    writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(100):
        os.write(writer, b"%d %s\n" % (number, b"x" * 50))
    log.limit(path, size=1 << 20)
    assert path.stat().st_size > 5000
    log.limit(path, size=1000)
    os.write(writer, b"next\n")
    os.close(writer)
    assert path.read_text() == "next\n"
    assert [line.split()[0] for line in log.tail(path, 3, ())] == ["98", "99", "next"]


def test_each_line_of_a_secret_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("-----BEGIN\nMIIE\nabc\n")
    assert log.tail(tmp_path / "log", 9, ["-----BEGIN\nMIIE\nabc"]) == ("[secret]",)
    assert log.tail(tmp_path / "log", 9, ["-----BEGIN\nMIIE\nxyz"]) == ("[secret]", "[secret]", "abc")


def test_a_long_line_is_cut_and_a_missing_log_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * 100_000)
    (line,) = log.tail(tmp_path / "log", 5, ())
    assert len(line) == 500
    assert log.tail(tmp_path / "none", 5, ()) == ()
    assert log.tail(tmp_path / "log", 0, ()) == ()


def test_old_logs_are_removed(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"web-{number}-0.log").write_text("")
        os.utime(tmp_path / f"web-{number}-0.log", (number, number))
    log.clear_old(tmp_path, kept=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["web-3-0.log", "web-4-0.log"]
    log.clear_old(tmp_path / "none")
