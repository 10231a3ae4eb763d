"""Does a command of the user's say whether the tests have passed, and is one that hangs ended with all it started?"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.adapters.checks.command import Commands
from interlock.core.checks import Command
from interlock.core.gates import Answer
from interlock.core.release import Artefact, Configuration, Release

RELEASE = Release("shop", "v1", Artefact("sha256:ab", "here", "6dcb09b"), Configuration(("serve",)), "common")


async def passed(directory: Path, *argv: str, within: float = 20.0) -> Answer:
    return await Commands().passed(Command(argv, str(directory)), RELEASE, timedelta(seconds=within))


async def test_status_0_is_passed(tmp_path: Path) -> None:
    assert (await passed(tmp_path, "true")).open


async def test_any_other_status_is_not_and_the_last_line_says_why(tmp_path: Path) -> None:
    answer = await passed(tmp_path, "sh", "-c", "echo first; echo 2 of 9 failed >&2; exit 3")
    assert not answer.open and answer.reason.endswith(": 2 of 9 failed")
    assert (await passed(tmp_path, "sh", "-c", "exit 3")).reason.endswith("ended with status 3")
    assert (await passed(tmp_path, "sh", "-c", "kill -9 $$")).reason.endswith("was ended by SIGKILL")


async def test_much_output_is_read_to_its_end_and_only_its_end_is_kept(tmp_path: Path) -> None:
    answer = await passed(
        tmp_path, "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf '\\033[31mthe end\\a'; false"
    )
    assert answer.reason.endswith("[31mthe end") and len(answer.reason) < 1000


async def test_one_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    began = time.monotonic()
    answer = await passed(tmp_path, "sh", "-c", "sleep 600 & echo $! > child; wait", within=0.5)
    assert not answer.open and "did not end within 0.5 s" in answer.reason
    assert time.monotonic() - began < 10
    await gone(int((tmp_path / "child").read_text()))


async def test_one_whose_asker_is_gone_is_killed_too(tmp_path: Path) -> None:
    asking = asyncio.create_task(passed(tmp_path, "sh", "-c", "echo $$ > pid; sleep 600"))
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await gone(int((tmp_path / "pid").read_text()))


async def test_one_that_leaves_a_child_behind_is_not_waited_for_longer(tmp_path: Path) -> None:
    answer = await passed(tmp_path, "sh", "-c", "sleep 600 & echo $! > child")
    try:
        assert answer.open
    finally:
        with suppress(ProcessLookupError):
            os.kill(int((tmp_path / "child").read_text()), 9)


async def test_one_that_cannot_be_run_is_a_no_for_good(tmp_path: Path) -> None:
    for argv in (("no-such-program",), (str(tmp_path),), ("a\0b",)):
        answer = await passed(tmp_path, *argv)
        assert not answer.open and answer.final and "cannot be run" in answer.reason


async def test_it_is_told_what_is_asked_about_and_nothing_else_that_we_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "geheim")
    assert (await passed(tmp_path, "sh", "-c", "env > told; pwd > where")).open
    told = dict(line.split("=", 1) for line in (tmp_path / "told").read_text().splitlines())
    assert (told["INTERLOCK_COMMIT"], told["INTERLOCK_VERSION"]) == ("6dcb09b", "v1")
    assert "SHOP_PASSWORD" not in told
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)


async def gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline, f"{pid} still runs"
        await asyncio.sleep(0.02)
