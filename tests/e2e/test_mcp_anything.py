"""Whatever agents say, in whatever order: does the server stand, do the interlocks hold, and is no secret told?

INTERLOCK_CALLS is how many calls are made: 300 in `make test`, 10,000 for what the manual promises.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mcp import MCPError
from tests.e2e.agents import LONG, planned, project
from tests.e2e.town import Town
from tests.surfaces.mcp.anything import calls
from tests.surfaces.mcp.desk import acts, client, text

from interlock.adapters.store.sqlite import SQLite
from interlock.app.agents import Project
from interlock.app.secrets import keep
from interlock.core.agents import AGENTS, Verb, is_agent
from interlock.core.steps import Until, Watch
from interlock.ports.store import Entry

MADE = int(os.environ.get("INTERLOCK_CALLS", "300"))
TOGETHER = 10
STARTS = 6
SECRET = "correct-horse-battery-staple-9"
ONE, TWO = "anyone", "whoever"
MEANT = frozenset({"paused", "resumed", "aborted"})

pytestmark = pytest.mark.timeout(60 + MADE)


class Play:
    """One server, two clients, and what came of their calls."""

    def __init__(self, town: Town, of: Project) -> None:
        self.town, self.of, self.made = town, of, 0
        self.clients: list[Any] = []

    async def several(self, wanted: list[tuple[str, dict[str, Any]]]) -> None:
        """Make calls, some of them at once."""
        half = len(wanted) // 2
        await asyncio.gather(
            *(self.one(agent, part) for agent, part in zip(self.clients, (wanted[:half], wanted[half:]), strict=True))
        )

    async def one(self, agent: Any, wanted: list[tuple[str, dict[str, Any]]]) -> None:
        for tool, arguments in wanted:
            try:
                result = await agent.call_tool(tool, arguments)
            except (MCPError, ValueError, UnicodeError):  # what the client's own library refuses, or the protocol does
                continue
            self.made += 1
            said = text(result) + json.dumps(result.structured_content)
            assert SECRET not in said and base64.b64encode(SECRET.encode()).decode()[:-4] not in said, (tool, arguments)
            assert "Traceback" not in said and "this is a bug in Interlock" not in said, (tool, arguments, said)
            assert not [one for one in said if not one.isprintable() and one != "\n"], (tool, arguments, said)


def test_nothing_that_agents_say_breaks_anything(town: Town) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_all(town, loop))
    finally:
        loop.close()


async def _all(town: Town, loop: asyncio.AbstractEventLoop) -> None:
    of, known = await _prepared(town)
    play = Play(town, of)
    async with client(of, ONE) as one, client(of, TWO, mode="legacy") as two:
        play.clients = [one, two]
        tools = (await one.list_tools()).tools
        await asyncio.get_running_loop().run_in_executor(None, _play, play, loop, calls(tools, known))
        assert (await one.list_tools()).tools == tools, "the server stands"
    await _held(town, play)
    await of.close()
    for rollout in await town.app.records.active():
        await town.abort(rollout.run)


def _play(play: Play, loop: asyncio.AbstractEventLoop, anything: st.SearchStrategy[Any]) -> None:
    """Draw calls on a thread of its own, and make them in the loop of the clients."""

    @settings(
        max_examples=max(1, MADE // TOGETHER),
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(anything, min_size=TOGETHER, max_size=TOGETHER))
    def drawn(wanted: list[tuple[str, dict[str, Any]]]) -> None:
        asyncio.run_coroutine_threadsafe(play.several(wanted), loop).result(120)

    drawn()


async def _prepared(town: Town) -> tuple[Project, list[str]]:
    """Have plans that an agent may start, a secret that a journal quotes, and a budget of a few starts."""
    of = project(town)
    spent = await of.budget.spent(Verb.START, datetime.now(UTC))
    await of.close()
    root = town.place / "anything"
    root.mkdir(exist_ok=True)
    (root / "secret").write_text(SECRET)
    (root / "interlock.yaml").write_text(
        "service: shop\ncommand: [serve]\nenvironments: {staging: {port: 18001}, production: {port: 18000}}\n"
        f"agents: {{environments: [production], starts_per_hour: {spent + STARTS}}}\n"
    )
    keep(town.state.secrets, [f"file:{root / 'secret'}"])
    of = Project(town.state, lambda: root / "interlock.yaml")
    newest = (await town.app.records.rollouts(1))[0]
    note = Entry(datetime.now(UTC), "note", f"it printed {SECRET} and {base64.b64encode(SECRET.encode()).decode()}", {})
    await of.store.note(newest.id, (note,))
    approval = Watch(timedelta(0), Until.APPROVED, timedelta(hours=1))
    hashes = [
        await planned(town, town.wish(criteria=None)),
        await planned(town, town.wish(criteria=None, bake=LONG)),
        await planned(town, town.wish(criteria=None), approval),
        await planned(town, town.wish(manners={"crashes": True}, criteria=None)),
    ]
    return of, [*hashes, newest.run, newest.id, "staging", "production", "new_feature", SECRET, "1"]


async def _held(town: Town, play: Play) -> None:
    """See that nothing was done that only a person may do, and that all of it is on record."""
    store = SQLite(town.state.database)
    try:
        rows = [row.act for row in await store.audit(0, 1_000_000)]
        rollouts = await store.rollouts(1_000)
        assert await store.locked("shop") is None
    finally:
        store.close()
    ours = [act for act in rows if act.channel == AGENTS and act.by.endswith((f" {ONE} 1.0", f" {TWO} 1.0"))]
    mine = [act for act in ours if act.kind in ("order", "approved", "acknowledged", "released")]
    assert {act.text.partition(" ")[0] for act in mine} <= MEANT
    assert not [one for one in rollouts for given in one.approvals if given.channel == AGENTS or is_agent(given.by)]
    assert not [said for one in rollouts for said in one.unproven if ONE in said or TWO in said]
    began = [act for act in ours if act.kind == "began"]
    assert len(began) <= STARTS + _returns(rows)
    told = [act for act in await acts(play.of) if act.data.get("client") in (ONE, TWO)]
    assert sum(int(act.data["count"]) for act in told if "count" in act.data) >= play.made
    assert SECRET not in repr(told)
    assert play.made > MADE * 0.7, "most of them were calls"


def _returns(rows: list[Any]) -> int:
    """How many runs brought an earlier release back: to go back is never counted."""
    return len([act for act in rows if act.kind == "agent" and act.data.get("tool") == "rollback"])
