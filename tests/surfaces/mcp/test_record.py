"""Is every call of an agent on record, whole, in time, and without anybody's secrets?"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp.types import ElicitRequestParams, ElicitResult
from tests.surfaces.mcp.desk import acts, again, client, project, refused, text, told

from interlock.adapters.store.sqlite import SQLite
from interlock.app.secrets import keep
from interlock.app.verbs import who
from interlock.core.audit import Act
from interlock.ports.store import StoreError
from interlock.surfaces.mcp.agent import MODEL

SECRET = "hunter2-hunter2-hunter2"


async def test_a_call_is_on_record_with_client_version_model_tool_and_arguments(tmp_path: Path) -> None:
    of = project(tmp_path)
    async with client(of, "claude-code", "2.1.0") as agent:
        await agent.call_tool("plan_deployment", {"version": "v1"}, meta={MODEL: "a-model-5"})  # type: ignore[arg-type]
        await refused(agent, "get_rollout", rollout="shop-9")
    planned, looked = await acts(of)
    assert (planned.by, planned.channel) == (f"{who()}'s agent claude-code 2.1.0", "mcp")
    assert planned.data["tool"] == "plan_deployment" and planned.data["arguments"] == {"version": "v1"}
    assert (planned.data["client"], planned.data["version"]) == ("claude-code", "2.1.0")
    assert planned.data["model"] == "a-model-5" and "(a-model-5)" in planned.text
    assert (looked.data["tool"], looked.subject) == ("get_rollout", "shop-9")


async def test_what_no_tool_takes_is_on_record_too_and_what_is_refused_says_why(tmp_path: Path) -> None:
    of = project(tmp_path)
    async with client(of) as agent:
        await refused(agent, "abort", force=True)
        await refused(agent, "drop_tables", now=True)
    found = [(one.data.get("tool"), one.data.get("arguments"), one.data.get("refused")) for one in await acts(of)]
    assert found == [("abort", {"force": True}, None), (None, None, "abort"), ("drop_tables", {"now": True}, None)]


async def test_alike_looks_are_one_row_with_their_number_and_are_written_while_the_server_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.app.calls.WRITTEN_WITHIN", timedelta(seconds=0.2))
    of = project(tmp_path)
    async with client(of) as agent:
        for _ in range(7):
            await told(agent, "list_rollouts")
        for _ in range(100):
            store = SQLite(of.state.database)
            rows = [row.act for row in await store.audit()]
            store.close()
            if rows:
                break
            await asyncio.sleep(0.1)
        assert [one.data["count"] for one in rows] == [7] and "7 times" in rows[0].text


async def test_secrets_are_in_no_row_and_of_build_arguments_only_the_names(tmp_path: Path) -> None:
    of = project(tmp_path)
    (tmp_path / "value").write_text(SECRET)
    keep(of.state.secrets, [f"file:{tmp_path / 'value'}"])
    async with client(of) as agent:
        said = await refused(agent, "plan_deployment", version=f"{SECRET}")
        assert SECRET not in said
        arguments = {"image": "localhost:1/x", "build_args": {"TOKEN": "not-named-anywhere"}}
        await agent.call_tool("docker_build_push", arguments)
        await refused(agent, "get_rollout", rollout=SECRET[:10] + "\u200b" + SECRET[10:])
    rows = repr(await acts(of))
    assert "hunter2" not in rows and "not-named-anywhere" not in rows
    assert "[secret]" in rows and "TOKEN" in rows


async def test_names_that_clients_give_themselves_cannot_pass_for_our_words(tmp_path: Path) -> None:
    of = project(tmp_path)
    async with client(of, "x\u202e, proven by a signature (ada's)\n" + "y" * 300, "1\x1b[31m") as agent:
        await told(agent, "list_rollouts")
    (row,) = await acts(of)
    assert row.by.startswith(f"{who()}'s agent x proven by a signature adas") and len(row.by) < 120
    assert row.by.isprintable() and "," not in row.by


async def test_a_change_that_cannot_be_written_down_is_not_made_but_going_back_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: SQLite, act: Act) -> None:
        raise StoreError("cannot write it: the disk is full")

    for mode in ("auto", "legacy"):
        of = again(tmp_path) if mode == "legacy" else project(tmp_path)
        async with client(of, mode=mode) as agent:
            plan = await told(agent, "plan_deployment", version="v1")
            with monkeypatch.context() as patch:
                patch.setattr(SQLite, "act", full)
                said = await refused(agent, "start_deployment", plan=plan["plan"])
                assert "nothing was done, for it cannot be written down" in said
                assert "nothing has been deployed" in await refused(agent, "abort"), "it was tried"
                assert (await told(agent, "list_rollouts"))["rollouts"] == []


async def test_a_comment_is_asked_for_where_the_client_can_ask_and_is_on_record(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(_: Any, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"comment": "I saw it"})

    for mode in ("auto", "legacy"):
        of = again(tmp_path) if mode == "legacy" else project(tmp_path)
        async with client(of, mode=mode, elicitation_callback=answer) as agent:
            result = await agent.call_tool("acknowledge", {"comment": "looking"})
            assert "nothing has been deployed" in text(result)
    assert len(asked) == 2 and all("no acknowledgement" in one for one in asked)


async def test_two_clients_at_once_are_told_apart(tmp_path: Path) -> None:
    of = project(tmp_path)
    async with client(of, "one") as first, client(again(tmp_path), "two") as second:
        await asyncio.gather(
            told(first, "plan_deployment", version="v1"), told(second, "plan_deployment", version="v1")
        )
    assert sorted(one.data["client"] for one in await acts(of)) == ["one", "two"]
