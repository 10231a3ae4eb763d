"""Is everything told by a real keeper, whenever it is killed, at least once, and nothing more than once more?"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from tests.adapters.notify.sink import Receiver, listening
from tests.e2e.test_secrets import bytes_below
from tests.e2e.town import Town, eventually

from interlock.core.channel import Channel, Webhook
from interlock.core.phase import Phase
from interlock.core.plan import StrategyName

KEY = "geheim-of-the-receiver"
NEWS = ["started", "promoted", "promoted", "succeeded"]


@dataclass
class Killer(Receiver):
    """A receiver that does not honour keys, and kills the keeper -9 at one message: before or after it answers."""

    town: Town | None = None
    at: str = ""
    answers: bool = True
    killed: list[str] = field(default_factory=list)

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        super()._take(headers, body)
        kind = self.shown[-1]["data"]["customData"]["kind"]
        if kind == self.at and not self.killed:
            assert self.town is not None
            self.killed.append(kind)
            pid = self.town.pid("keeper")
            assert pid is not None
            if self.answers:  # it has the answer, and some milliseconds to mark it: most often it does not get there
                asyncio.get_running_loop().call_later(0.001, os.kill, pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)

    @property
    def kinds(self) -> list[str]:
        return [one["data"]["customData"]["kind"] for one in self.shown]

    @property
    def ids(self) -> list[str]:
        return [one["id"] for one in self.shown]


async def told(town: Town, killer: Killer, **wish: Any) -> tuple[str, Phase]:
    """Release something that tells the receiver, until it has been told the end; return the run and how it ended."""
    (town.state.secrets).mkdir(mode=0o700, exist_ok=True)
    (town.state.secrets / "0e1f").touch(mode=0o600)
    (town.state.secrets / "0e1f").write_text(KEY)
    killer.key, killer.honours = KEY.encode(), False
    channel = Channel("receiver", Webhook(f"http://127.0.0.1:{killer.port}/", "", "0e1f"))
    plan = replace(await town.plan(town.wish(strategy=StrategyName.CANARY, **wish)), channels=(channel,))
    async with town.traffic(80, 16):
        run = await town.app.start(plan)
        ended = await town.over(run)
    return run, ended.phase


async def hears_the_end(killer: Killer, end: str) -> None:
    await eventually(lambda: end in killer.kinds, f"the receiver is told that it {end}")
    await asyncio.sleep(3)  # whatever else would come


@pytest.mark.parametrize("answers", [False, True], ids=["before its answer", "after its answer"])
@pytest.mark.parametrize("at", ["started", "promoted", "succeeded"])
async def test_a_keeper_killed_at_a_message_tells_it_at_most_once_more_under_the_same_key(
    town: Town, at: str, answers: bool
) -> None:
    killer = Killer(town=town, at=at, answers=answers)
    async with listening(killer):
        _, phase = await told(town, killer)
        await hears_the_end(killer, "succeeded")
        if not answers:
            await eventually(lambda: len(set(killer.ids)) < len(killer.ids), "the message comes once more")
    assert phase is Phase.SUCCEEDED and killer.killed == [at]
    once = list(dict.fromkeys(killer.ids))
    assert [killer.kinds[killer.ids.index(id)] for id in once] == NEWS, "everything, in order"
    twice = [id for id in once if killer.ids.count(id) > 1]
    assert len(killer.ids) - len(once) == len(twice) <= 1
    if not answers:
        assert [killer.kinds[killer.ids.index(id)] for id in twice] == [at]


async def test_while_nobody_listens_it_waits_and_a_killed_keeper_tells_it_afterwards(town: Town) -> None:
    killer = Killer()
    async with listening(killer) as port:
        pass
    assert port
    run, phase = await told(town, killer, manners={"errors": 0.7})
    assert phase is Phase.ROLLED_BACK and killer.shown == []
    live = await town.app._ask("live")
    assert "http://127.0.0.1" in live["untold"]["notify:receiver"]["why"]
    assert datetime.fromisoformat(live["untold"]["notify:receiver"]["since"])
    town.kill("keeper")
    async with listening(killer, port):
        await town.well()
        await hears_the_end(killer, "rolled-back")
    assert killer.kinds[-2:] == ["turned-back", "rolled-back"] and len(set(killer.ids)) == len(killer.ids)
    assert all(id.startswith(f"{run}-") for id in killer.ids)


async def test_a_secret_that_signs_or_that_a_program_said_is_in_no_message_record_or_log(town: Town) -> None:
    killer = Killer()
    async with listening(killer):
        _, phase = await told(town, killer, manners={"crashes": True}, secrets=(("PASSWORD", "0e1f"),))
        await hears_the_end(killer, "rolled-back")
    assert phase is Phase.ROLLED_BACK
    assert "[secret]" in repr(killer.shown) and KEY not in repr(killer.shown), "the crashed program said it"
    written = bytes_below(town.state.path, town.state.secrets, town.state.instances / "logs")
    assert [path for path, content in written.items() if KEY.encode() in content] == []
