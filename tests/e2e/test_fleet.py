"""Do several machines take a release together, and give it back together?"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

import pytest
from tests.e2e.lan import TOKEN, Laptop, a_fleet
from tests.sshd import Lan, Machine

from interlock import twin
from interlock.adapters.http import Connection, HttpError, ask
from interlock.app.state import StateDirectory

pytestmark = pytest.mark.timeout(300)
SOON = timedelta(seconds=10)


@pytest.fixture(autouse=True)
def parts(needs: Callable[[str], Path]) -> None:
    for program in ("sshd", "ssh-keygen", "ssh", "ip"):
        needs(program)


async def test_hosts_take_a_release_together_whichever_laptop_types_and_one_that_fails_takes_all_back() -> None:
    async with a_fleet("10.77.31.2", "10.77.31.3", apart=True) as (lan, machines, laptop):
        status, said = await laptop.run("deploy", "--first", "./app", within=200)
        assert status == 0 and "400 of 400 probes" in said, said
        assert await versions(laptop.port, machines) == ["v1", "v1"]
        users = [Users(f"{one.address}:{laptop.port}") for one in machines]
        await the_lid_closes_and_the_other_laptop_sees_it_go_on(lan, laptop)
        assert await versions(laptop.port, machines) == ["v2", "v2"]

        laptop.write("v4", unless=machines[1].place.name)  # it does not start on the second machine
        status, said = await laptop.run("deploy", "./app", within=200)
        assert status == 3 and f"{machines[1].url}: spoilt" in said, said
        assert await versions(laptop.port, machines) == ["v2", "v2"]
        assert re.search(rf"✔ host +{machines[1].url}: .* epoch 2", (await laptop.run("doctor"))[1])
        failed = [what for one in users for what in await one.end()]
        assert failed == [] and all(one.answered > 50 for one in users)
        everything_lies_where_it_belongs(lan, machines, laptop)


async def the_lid_closes_and_the_other_laptop_sees_it_go_on(lan: Lan, laptop: Laptop) -> None:
    other = replace(laptop, place=lan.place / "m")
    laptop.write("v2")
    other.write("v3")
    lid = asyncio.ensure_future(laptop.run("deploy", "./app"))
    said = ""
    while "shop-2" not in said:
        said = (await other.run("status"))[1]
    status, refused = await other.run("deploy", "./app")
    assert status == 4 and re.search("a rollout under way: shop-2", refused), refused
    lid.cancel()  # the lid closes: all that ran on the laptop is killed
    await asyncio.gather(lid, return_exceptions=True)
    keeper = twin.process_of(StateDirectory(lan.machines[0].state("shop")).runtime, "keeper")
    assert keeper is not None
    os.kill(keeper, SIGKILL)  # and so is the keeper: the next one leads the other machine under an epoch of its own
    status, said = await other.run("status", "--watch", "--timeout", "100s")
    assert status == 0 and "runs in production" in said, said


def everything_lies_where_it_belongs(lan: Lan, machines: list[Machine], laptop: Laptop) -> None:
    home, other = (one.state("shop") for one in machines)
    assert not [*laptop.place.rglob("interlock.db")], "the records are on the first machine"
    assert json.loads((other / "led").read_text())["epoch"] == 2 and not (home / "led").exists()
    for state in (home, other):
        assert (state / "envoy" / "lds.json").exists(), "each has an Envoy of its own"
    where = {path for path in lan.place.rglob("*") if path.is_file() and TOKEN in path.read_text(errors="replace")}
    assert {path.parent.name for path in where} == {"secrets"}
    assert [path for path in where if path.stat().st_mode & 0o077] == []


class Users:
    """Users of one machine, who ask without pause."""

    def __init__(self, target: str) -> None:
        self._target, self._over, self.answered = target, False, 0
        self._failed: list[str] = []
        self._task = asyncio.ensure_future(self._ask())

    async def end(self) -> list[str]:
        """Have them finish; return what failed."""
        self._over = True
        await self._task
        return self._failed

    async def _ask(self) -> None:
        async with Connection(self._target) as connection:
            while not self._over:
                try:
                    answer = await connection.ask(timeout=SOON)
                    self.answered += answer.status == 200
                    if answer.status != 200:
                        self._failed.append(f"{self._target}: {answer.status}")
                except HttpError as error:
                    self._failed.append(str(error))
                await asyncio.sleep(0.02)


async def versions(port: int, machines: list[Machine]) -> list[str]:
    answers = [await ask(f"{one.address}:{port}", timeout=SOON) for one in machines]
    return [answer.body.decode().split('"version": "')[1][:2] for answer in answers]
