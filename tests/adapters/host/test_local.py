from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from signal import Signals

import pytest
from tests.parts import small_disk

from interlock.adapters.host import local
from interlock.adapters.host.local import LocalHost
from interlock.ports.host import Command, Host, HostError, Process

SOON = timedelta(seconds=20)
PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def label() -> Iterator[str]:
    label = f"test-{uuid.uuid4()}"
    yield label
    host = LocalHost()
    for process in asyncio.run(host.find(label)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def sleeper(label: str, tmp_path: Path, *argv: str) -> Command:
    return Command(label, argv or ("sleep", "600"), tmp_path, tmp_path / "log", PATH)


def python(label: str, tmp_path: Path, code: str) -> Command:
    return sleeper(label, tmp_path, sys.executable, "-c", code)


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON.total_seconds()
    while not holds():
        assert time.monotonic() < until, "did not come about in time"
        time.sleep(0.02)


async def test_a_process_starts_in_a_session_of_its_own_and_appends_to_its_log(label: str, tmp_path: Path) -> None:
    host: Host = LocalHost()
    (tmp_path / "log").write_text("before\n")
    process = await host.start(python(label, tmp_path, "import os; print(os.getsid(0) == os.getpid(), os.read(0, 1))"))
    assert await host.gone(process, SOON)
    assert (tmp_path / "log").read_text() == "before\nTrue b''\n"
    assert not await host.alive(process)
    assert await host.exit_status(process) == 0


async def test_its_environment_is_what_was_given_and_its_label(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    command = python(label, tmp_path, "import os; print(sorted(os.environ))")
    process = await host.start(replace(command, environment={"A": "1", "LC_CTYPE": "C.UTF-8"}))
    assert await host.gone(process, SOON)
    assert (tmp_path / "log").read_text() == "['A', 'INTERLOCK_LABEL', 'LC_CTYPE']\n"


async def test_whoever_comes_after_us_finds_it_by_its_label(label: str, tmp_path: Path) -> None:
    first = await LocalHost().start(sleeper(f"{label}/a/0", tmp_path))
    await asyncio.sleep(0.05)
    second = await LocalHost().start(sleeper(f"{label}/b/0", tmp_path))
    host = LocalHost()
    assert await host.find(label) == (first, second)
    assert await host.find(f"{label}/b/") == (second,)
    assert await host.find("no such label") == ()
    await host.signal(first, Signals.SIGKILL)
    assert await host.gone(first, SOON)
    assert await host.find(label) == (second,)


async def test_helpers_that_it_forks_are_not_found_even_in_sessions_of_their_own(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    code = """
import subprocess, time
for own in (True, False):
    subprocess.Popen(["sleep", "600"], start_new_session=own)
print("forked", flush=True)
time.sleep(600)"""
    process = await host.start(python(label, tmp_path, code))
    eventually(lambda: "forked" in (tmp_path / "log").read_text())
    assert await host.find(label) == (process,)
    await host.signal(process, Signals.SIGKILL)
    assert await host.gone(process, SOON)
    assert len(await host.find(label)) == 1, "a helper in a session of its own that outlives it is an orphan"
    await host.signal(process, Signals.SIGKILL, group=True)


async def test_a_zombie_is_dead(label: str, tmp_path: Path) -> None:
    other, host = LocalHost(), LocalHost()
    process = await other.start(sleeper(label, tmp_path))
    os.kill(process.pid, signal.SIGKILL)
    assert await host.gone(process, SOON), "it is nobody's child to this host, which cannot reap it"
    assert "Z" in Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert not await host.alive(process)
    assert await host.find(label) == ()
    assert await host.memory(process) is None
    assert await host.exit_status(process) is None
    assert await other.exit_status(process) == -9
    eventually(lambda: not Path(f"/proc/{process.pid}").exists())


async def test_a_pid_that_was_given_to_another_process_is_left_alone(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    process = await host.start(sleeper(label, tmp_path))
    for stranger in (replace(process, started=process.started - 1), replace(process, boot="another boot")):
        assert not await host.alive(stranger)
        assert await host.gone(stranger, SOON)
        assert await host.memory(stranger) is None
        await host.signal(stranger, Signals.SIGKILL)
        await host.signal(stranger, Signals.SIGKILL, group=True)
    assert not await host.gone(process, timedelta(milliseconds=200))
    assert await host.alive(process)


async def test_a_group_signal_reaches_the_members(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    process = await host.start(sleeper(label, tmp_path, "sh", "-c", "sleep 600 & echo $!; wait"))
    eventually(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text().endswith("\n"))
    member = int((tmp_path / "log").read_text())
    await host.signal(process, Signals.SIGKILL, group=True)
    assert await host.gone(process, SOON)
    eventually(lambda: not running(member))


async def test_a_group_signal_reaches_the_members_that_their_leader_left_behind(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    process = await host.start(sleeper(label, tmp_path, "sh", "-c", "sleep 600 & echo $!"))
    assert await host.gone(process, SOON)
    member = int((tmp_path / "log").read_text())
    assert running(member)
    await host.signal(process, Signals.SIGKILL)
    assert running(member), "without `group` only the process itself is meant"
    await host.signal(process, Signals.SIGKILL, group=True)
    eventually(lambda: not running(member))


async def test_waiting_for_an_end_does_not_block_the_loop_and_gives_up_in_time(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    process = await host.start(sleeper(label, tmp_path))
    waiting = asyncio.create_task(host.gone(process, SOON))
    assert not await host.gone(process, timedelta(milliseconds=50))
    assert not waiting.done()
    await host.signal(process, Signals.SIGTERM)
    assert await waiting
    assert await host.exit_status(process) == -15


async def test_signals_to_what_is_gone_do_nothing(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    process = await host.start(sleeper(label, tmp_path, "true"))
    assert await host.gone(process, SOON)
    await host.signal(process, Signals.SIGKILL)
    await host.signal(process, Signals.SIGKILL, group=True)


async def test_it_outlives_a_killed_parent(label: str, tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal
from interlock.adapters.host.local import LocalHost
from interlock.ports.host import Command
command = Command({label!r}, ("sleep", "600"), {str(tmp_path)!r}, {str(tmp_path / "log")!r}, dict(os.environ))
asyncio.run(LocalHost().start(command))
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert await asyncio.wait_for(parent.wait(), SOON.total_seconds()) == -9
    host = LocalHost()
    (process,) = await host.find(label)
    assert await host.alive(process)
    await host.signal(process, Signals.SIGTERM)
    assert await host.gone(process, SOON)


async def test_memory_is_resident_bytes(label: str, tmp_path: Path) -> None:
    host = LocalHost()
    code = "b = bytearray(b'x' * (64 << 20)); print('ready', flush=True); import time; time.sleep(600)"
    process = await host.start(python(label, tmp_path, code))
    eventually(lambda: (tmp_path / "log").exists() and "ready" in (tmp_path / "log").read_text())
    memory = await host.memory(process)
    assert memory is not None
    assert 64 << 20 < memory < 256 << 20


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("no-such-program",), "no such program in PATH"),
        (("./missing",), "no such file seen from"),
        (("./plain",), "chmod"),
        (("./script",), "#!"),
        (("true", "a\0b"), "cannot be given"),
        ((), "cannot start"),
    ],
)
async def test_a_command_that_cannot_start_says_why(
    label: str, tmp_path: Path, argv: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "plain").write_text("echo\n")
    (tmp_path / "script").write_text("echo\n")
    (tmp_path / "script").chmod(0o755)
    with pytest.raises(HostError, match=expected):
        await LocalHost().start(Command(label, argv, tmp_path, tmp_path / "log", PATH))


async def test_a_missing_directory_is_named(label: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"directory .*nowhere does not exist"):
        await LocalHost().start(Command(label, ("true",), tmp_path / "nowhere", tmp_path / "log", PATH))


async def test_free_ports_are_free_and_not_handed_out_twice() -> None:
    host = LocalHost()
    ports = [await host.free_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_a_file_is_replaced_in_one_step_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    host, path = LocalHost(), tmp_path / "new" / "file"
    host.write(path, b"one")
    before = path.stat().st_ino
    host.write(path, b"two", mode=0o600, durable=True)
    assert (host.read(path), path.stat().st_ino != before, path.stat().st_mode & 0o777) == (b"two", True, 0o600)
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_raises_an_error_with_the_path(tmp_path: Path) -> None:
    host = LocalHost()
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="file/below"):
        host.write(tmp_path / "file" / "below", b"")
    (tmp_path / "directory").mkdir()
    with pytest.raises(HostError, match=f"cannot write {tmp_path}/directory"):
        host.write(tmp_path / "directory", b"")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["directory", "file"]


def test_rename_and_remove(tmp_path: Path) -> None:
    host = LocalHost()
    host.write(tmp_path / "a", b"a")
    host.write(tmp_path / "b", b"b")
    host.rename(tmp_path / "a", tmp_path / "b")
    assert (host.read(tmp_path / "a"), host.read(tmp_path / "b")) == (None, b"a")
    with pytest.raises(HostError, match="cannot rename"):
        host.rename(tmp_path / "a", tmp_path / "b")
    host.write(tmp_path / "d" / "e" / "f", b"")
    for name in ("b", "d", "d", "b"):
        host.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own without room; needs the right to mount."""
    mounted = tmp_path / "full"
    mounted.mkdir()
    small_disk(mounted, "64k")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


async def test_a_full_disk_hinders_neither_a_start_nor_a_rename(label: str, full_disk: Path) -> None:
    host = LocalHost()
    host.write(full_disk / "prepared", b"x")
    with suppress(OSError), (full_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 1024)
    with pytest.raises(HostError, match="make room"):
        host.write(full_disk / "file", b"x" * 8192)
    assert sorted(p.name for p in full_disk.iterdir()) == ["filler", "prepared"]
    host.rename(full_disk / "prepared", full_disk / "live")
    assert host.read(full_disk / "live") == b"x"
    process = await host.start(Command(label, ("sleep", "600"), full_disk, full_disk / "logs" / "log", PATH))
    assert await host.alive(process)
    await host.signal(process, Signals.SIGKILL)
    assert await host.gone(process, SOON)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_a_killed_writer_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from interlock.adapters.host import local
local._write_all = lambda path, *_: (path.write_bytes(b"half"), os.kill(os.getpid(), signal.SIGKILL))
local.LocalHost().write(Path(sys.argv[1]) / "below" / "rds.json", b"whole")
"""
    source = str(Path(__file__).parents[3] / "src")
    argv = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(argv, env={**PATH, "PYTHONPATH": source}, timeout=30).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "below").iterdir())) == 1
    others = [tmp_path / "below" / name for name in (".rds.json.1-1.tmp", ".rds.json.tmp", "rds.json.99-9.tmp")]
    for path in others:
        path.write_text("of a living process, or not ours")
    (tmp_path / f".own.{os.getpid()}-1.tmp").write_text("of an earlier process with our number")
    local.clear_torn(tmp_path)
    local.clear_torn(tmp_path / "none")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(others)


def test_a_process_value_is_hashable_and_has_no_secrets() -> None:
    process = Process(1, 2, "boot", "label")
    assert hash(process)
    assert "secret" not in repr(Command("l", ("true",), Path("/"), Path("/log"), {"TOKEN": "secret"}))
