from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.parts import small_disk

from interlock import twin

DEADLINE = 40.0
KEEPER = """
import signal, sys, time
from interlock.twin import Refused, Watch
runtime, label, log = sys.argv[1:]
watch = Watch(runtime, (sys.executable, *sys.orig_argv[1:]), log, label)
try:
    watch.take()
except Refused as reason:
    sys.exit(f"refused: {reason}")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while watch.mind():
    time.sleep(0.2)
"""


class Pair:
    """A keeper that does nothing but mind its twin, and that twin."""

    def __init__(self, directory: Path) -> None:
        self.runtime, self.log, self.script = directory / "run", directory / "log", directory / "keeper.py"
        self.label = f"test-{uuid.uuid4()}"
        self.script.write_text(KEEPER)

    def start(self, generation: int | None = None) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "INTERLOCK_LABEL": f"{self.label}/keeper"}
        if generation is not None:
            environment["INTERLOCK_GENERATION"] = str(generation)
        argv = (sys.executable, str(self.script), str(self.runtime), self.label, str(self.log))
        return subprocess.Popen(argv, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)

    def pid(self, who: str) -> int | None:
        return twin.process_of(self.runtime, who)

    def both(self) -> tuple[int, int] | None:
        """The pids of keeper and twin once both are well."""
        keeper, other = self.pid("keeper"), self.pid("twin")
        well = all(twin.well(self.runtime, who) for who in ("keeper", "twin"))
        return (keeper, other) if keeper and other and well else None

    def kill(self, who: str, number: int = signal.SIGKILL) -> int:
        pid = self.pid(who)
        assert pid is not None
        os.kill(pid, number)
        return pid

    def running(self) -> list[int]:
        """All that carries the label, ours to clean up whatever a test did."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    entry.name.isdecimal()
                    and f"INTERLOCK_LABEL={self.label}/".encode() in (entry / "environ").read_bytes()
                ):
                    found.append(int(entry.name))
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    for _ in range(3):  # what one of them was just starting is seen the next time
        for pid in pair.running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def eventually(holds: Callable[[], object], what: str, deadline: float = DEADLINE) -> float:
    """Wait until it holds; return after how many seconds."""
    since = time.monotonic()
    while not holds():
        assert time.monotonic() - since < deadline, f"not in time: {what}"
        time.sleep(0.02)
    return time.monotonic() - since


def started(pair: Pair) -> subprocess.Popen[str]:
    keeper = pair.start()
    eventually(pair.both, "keeper and twin are well")
    return keeper


def reaped(keeper: subprocess.Popen[str]) -> None:
    keeper.wait(DEADLINE)
    if keeper.stderr:
        keeper.stderr.close()


def test_each_starts_the_other_again_however_often_it_is_killed(pair: Pair) -> None:
    first = started(pair)
    for who in ("keeper", "twin") * 3:
        before = pair.kill(who)
        took = eventually(lambda: (now := pair.both()) and before not in now, f"a new {who}")  # noqa: B023
        print(f"{who} healed after {took:.2f} s")
    reaped(first)
    assert len(pair.running()) == 2
    twin.down(pair.runtime)
    assert pair.running() == []


@pytest.mark.parametrize("who", ["keeper", "twin"])
def test_one_that_is_frozen_is_killed_and_replaced(pair: Pair, who: str) -> None:
    first = started(pair)
    frozen = pair.kill(who, signal.SIGSTOP)
    took = eventually(lambda: (now := pair.both()) and frozen not in now, f"a new {who}")
    print(f"frozen {who} replaced after {took:.2f} s")
    assert took > twin.SILENT_AFTER - 1, "a short pause is no reason to kill"
    assert frozen not in pair.running()
    twin.down(pair.runtime)
    reaped(first)


def test_when_both_stood_still_nobody_is_killed(pair: Pair) -> None:
    first = started(pair)
    before = pair.both()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for who in ("keeper", "twin"):
            pair.kill(who, number)
        time.sleep(twin.SILENT_AFTER + 1.5)
    assert pair.both() == before
    twin.down(pair.runtime)
    reaped(first)


def test_when_both_are_killed_at_once_nothing_heals_until_a_keeper_is_started(pair: Pair) -> None:
    first = started(pair)
    for pid in pair.both() or ():
        os.kill(pid, signal.SIGSTOP)  # so that neither sees the other die
    for who in ("keeper", "twin"):
        pair.kill(who)
    reaped(first)
    time.sleep(2)
    assert pair.running() == []
    second = started(pair)
    twin.down(pair.runtime)
    reaped(second)


def test_down_leaves_nothing_whatever_was_just_being_started(pair: Pair) -> None:
    for pause in (0.0, 0.02, 0.1, 0.3):
        for who in ("keeper", "twin"):
            first = started(pair)
            pair.kill(who)
            time.sleep(pause)
            twin.down(pair.runtime)
            eventually(lambda: not pair.running(), "nothing runs any more")
            time.sleep(0.3)
            assert pair.running() == []
            reaped(first)


def test_down_is_done_when_nothing_runs(pair: Pair) -> None:
    twin.down(pair.runtime)
    twin.down(pair.runtime)
    assert not pair.runtime.exists()


def test_a_keeper_that_does_not_obey_is_killed(pair: Pair) -> None:
    pair.script.write_text(
        KEEPER.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN").replace(
            "while watch.mind()", "while watch.mind() or True"
        )
    )
    first = started(pair)
    twin.down(pair.runtime, within=0.5)
    assert pair.running() == []
    reaped(first)


def test_there_is_one_keeper_and_none_from_before_a_down(pair: Pair) -> None:
    first = started(pair)
    second = pair.start()
    assert "another keeper runs already" in second.communicate(timeout=DEADLINE)[1]
    twin.down(pair.runtime)
    reaped(first)
    late = pair.start(generation=0)
    assert "started before `down`" in late.communicate(timeout=DEADLINE)[1]
    assert pair.running() == []
    third = started(pair)
    twin.down(pair.runtime)
    reaped(third)


def test_a_keeper_that_dies_at_once_is_started_ever_later(pair: Pair) -> None:
    first = started(pair)
    pair.script.write_text("print('hopeless', flush=True)")
    pair.kill("keeper")
    reaped(first)
    eventually(lambda: pair.log.read_text().count("hopeless") >= 5, "five attempts")
    since, before = time.monotonic(), pair.log.read_text().count("hopeless")
    time.sleep(4)
    assert pair.log.read_text().count("hopeless") - before <= 1 + (time.monotonic() - since) / 2
    pair.script.write_text(KEEPER)
    eventually(pair.both, "a keeper that can live again")
    twin.down(pair.runtime)


def test_a_runtime_directory_that_somebody_cleaned_is_made_again(pair: Pair) -> None:
    first = started(pair)
    before = pair.both()
    shutil.rmtree(pair.runtime)
    eventually(lambda: pair.both() == before, "both say again that they are well")
    time.sleep(1)
    assert pair.both() == before
    twin.down(pair.runtime)
    eventually(lambda: not pair.running(), "nothing runs any more")
    reaped(first)


def test_a_full_disk_takes_neither_heartbeat_nor_healing_nor_down_away(pair: Pair, tmp_path: Path) -> None:
    mounted = tmp_path / "full"
    mounted.mkdir()
    small_disk(mounted, "64k")
    try:
        pair.runtime, pair.log = mounted / "run", mounted / "log"
        first = started(pair)
        with suppress(OSError), (mounted / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 512)
        for who in ("keeper", "twin"):
            before = pair.kill(who)
            eventually(lambda: (now := pair.both()) and before not in now, f"a new {who}")  # noqa: B023
        twin.down(pair.runtime)
        eventually(lambda: not pair.running(), "nothing runs any more")
        reaped(first)
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


def test_the_twin_is_small(pair: Pair) -> None:
    first = started(pair)
    status = Path(f"/proc/{pair.pid('twin')}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    print(f"the twin's resident memory: {resident / 1024:.1f} MB")
    assert resident < 20 * 1024
    twin.down(pair.runtime)
    reaped(first)
