"""Do several machines take a release together, and give it back together?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.lan import a_fleet
from tests.sshd import Machine

from interlock.adapters.http import Connection, HttpError, ask

pytestmark = pytest.mark.timeout(300)
SOON = timedelta(seconds=10)
LED = "state/interlock/shop/led"


@pytest.fixture(autouse=True)
def parts(needs: Callable[[str], Path]) -> None:
    for program in ("sshd", "ssh-keygen", "ssh", "ip"):
        needs(program)


async def test_two_hosts_take_a_release_together_and_one_that_fails_takes_all_back() -> None:
    async with a_fleet("10.77.31.2", "10.77.31.3", apart=True) as (_, machines, laptop):
        status, said = await laptop.run("deploy", "--first", "./app", within=200)
        assert status == 0, said
        assert await versions(laptop.port, machines) == ["v1", "v1"]
        for machine in machines:
            assert [*machine.place.rglob("eds-production-*.json")], "each has an Envoy of its own"
        assert (machines[1].place / LED).exists() and not (machines[0].place / LED).exists()
        users = [Users(f"{one.address}:{laptop.port}") for one in machines]
        laptop.write("v2", unless=machines[1].place.name)  # it does not start on the second machine
        status, said = await laptop.run("deploy", "./app", within=200)
        assert status == 3 and f"{machines[1].url}: instance 0 ended" in said, said
        assert await versions(laptop.port, machines) == ["v1", "v1"]
        laptop.write("v3")
        status, said = await laptop.run("deploy", "./app", within=200)
        assert status == 0 and "400 of 400 probes" in said, said
        assert await versions(laptop.port, machines) == ["v3", "v3"]
        failed = [what for one in users for what in await one.end()]
        assert failed == [] and all(one.answered > 50 for one in users)


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
