"""Does a project live on its first host, whichever laptop its commands are typed on?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.lan import TOKEN, a_fleet

from interlock.adapters.http import ask

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def parts(needs: Callable[[str], Path]) -> None:
    for program in ("sshd", "ssh-keygen", "ssh"):
        needs(program)


async def test_a_project_lives_on_its_host_whichever_laptop_types_and_whatever_becomes_of_that() -> None:
    async with a_fleet("127.0.0.2") as (lan, (home,), laptop):
        status, said = await laptop.run("deploy", "--first", "./app")
        assert status == 0, said
        answer = await ask(f"127.0.0.1:{laptop.port}", timeout=timedelta(seconds=10))
        assert answer.status == 200 and b'"v1"' in answer.body and b'"ses"' in answer.body
        assert not [*laptop.place.rglob("interlock.db")], "the records are on the other machine"
        assert (home.place / "state" / "interlock" / "shop" / "interlock.db").exists()

        other = replace(laptop, place=lan.place / "m")  # a second laptop begins where the first is in the middle
        laptop.write("v2")
        other.write("v3")
        lid = asyncio.ensure_future(laptop.run("deploy", "./app"))
        said = ""
        while "shop-2" not in said:
            said = (await other.run("status"))[1]
        status, refused = await other.run("deploy", "./app")
        assert status == 4 and re.search(r"a rollout under way: shop-2", refused), refused
        lid.cancel()  # the lid closes: all that ran on the laptop is killed
        await asyncio.gather(lid, return_exceptions=True)
        status, said = await other.run("status", "--watch", "--timeout", "100s")
        assert status == 0 and "runs in production" in said, said
        assert b'"v2"' in (await ask(f"127.0.0.1:{laptop.port}", timeout=timedelta(seconds=10))).body
        status, said = await other.run("get")
        assert status == 0 and "succeeded" in said and "shop app" in said, said
        where = {path for path in lan.place.rglob("*") if path.is_file() and TOKEN in path.read_text(errors="replace")}
        assert {path.parent.name for path in where} == {"secrets"}
        assert [path for path in where if path.stat().st_mode & 0o077] == []


async def test_a_machine_without_interlock_is_named_with_what_to_type() -> None:
    async with a_fleet("127.0.0.2") as (_, (home,), laptop):
        (home.place / "bin" / "interlock").write_text("#!/bin/sh\nexit 127\n")
        status, said = await laptop.run("get")
        assert status == 1 and f"interlock setup {home.url}" in said
