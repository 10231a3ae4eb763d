import asyncio
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.adapters.inquiry import Rejected, Unreachable, inquire
from interlock.adapters.line import serve

SOON = timedelta(seconds=10)


async def answer(verb: str, arguments: dict[str, Any]) -> Any:
    if verb == "refuse":
        raise ValueError("not like this")
    if verb == "sleep":
        await asyncio.sleep(60)
    return {"verb": verb, "large": "ä" * 1_000_000, **arguments}


async def test_a_question_is_answered_and_a_large_answer_comes_whole(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", answer):
        said = await asyncio.to_thread(inquire, tmp_path / "s", "echo", SOON)
    assert said == {"verb": "echo", "large": "ä" * 1_000_000}


async def test_what_goes_wrong_is_told_by_kind_and_words(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", answer):
        with pytest.raises(Rejected, match="not like this") as caught:
            await asyncio.to_thread(inquire, tmp_path / "s", "refuse", SOON)
    assert caught.value.kind == "ValueError"


async def test_nobody_there_no_answer_in_time_and_a_name_too_long_are_unreachable(tmp_path: Path) -> None:
    for nobody in (tmp_path / "none", tmp_path / ("x" * 200)):
        with pytest.raises(Unreachable, match="does not answer on"):
            inquire(nobody, "echo", SOON)
    async with serve(tmp_path / "s", answer):
        with pytest.raises(Unreachable, match="timed out"):
            await asyncio.to_thread(inquire, tmp_path / "s", "sleep", timedelta(milliseconds=200))


async def test_a_keeper_that_hangs_up_is_unreachable(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "s"))
        door.listen()
        asked = asyncio.create_task(asyncio.to_thread(inquire, tmp_path / "s", "echo", SOON))
        caller, _ = await asyncio.to_thread(door.accept)
        await asyncio.to_thread(caller.recv, 1000)
        caller.close()
        with pytest.raises(Unreachable, match="hung up"):
            await asked
