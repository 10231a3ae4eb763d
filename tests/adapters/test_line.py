import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.adapters.inquiry import Rejected, Unreachable
from interlock.adapters.line import ask, serve

SOON = timedelta(seconds=10)


async def answer(verb: str, arguments: dict[str, Any]) -> Any:
    if verb == "refuse":
        raise ValueError("not like this")
    if verb == "sleep":
        await asyncio.sleep(60)
    return {"verb": verb, **arguments}


async def test_a_question_is_answered(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", answer):
        assert await ask(tmp_path / "s", "echo", {"a": [1, "ä"]}, SOON) == {"verb": "echo", "a": [1, "ä"]}


async def test_what_goes_wrong_is_told_to_who_asked_by_kind_and_words(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", answer):
        with pytest.raises(Rejected, match="not like this") as caught:
            await ask(tmp_path / "s", "refuse", {}, SOON)
        assert caught.value.kind == "ValueError"
        assert await ask(tmp_path / "s", "echo", {}, SOON) == {"verb": "echo"}


async def test_nobody_there_and_no_answer_in_time_are_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        await ask(tmp_path / "none", "echo", {}, SOON)
    async with serve(tmp_path / "s", answer):
        with pytest.raises(Unreachable):
            await ask(tmp_path / "s", "sleep", {}, timedelta(milliseconds=200))


async def test_a_large_answer_comes_whole(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", answer):
        large = "x" * 3_000_000
        assert (await ask(tmp_path / "s", "echo", {"large": large}, SOON))["large"] == large


async def test_rubbish_is_answered_with_an_error_and_the_socket_goes_on(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", answer):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"rubbish\n")
        assert b"error" in await reader.readline()
        writer.close()
        assert await ask(tmp_path / "s", "echo", {}, SOON) == {"verb": "echo"}


async def test_only_this_user_may_open_the_socket(tmp_path: Path) -> None:
    async with serve(tmp_path / "s", answer):
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
