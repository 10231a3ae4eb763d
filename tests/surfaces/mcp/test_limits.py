"""Do agents get only what the file leaves to them, whatever they say and however often they begin anew?"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.mcp.desk import again, client, project, refused, told

from interlock.app.agents import Desk, Project
from interlock.app.budget import Budget
from interlock.app.verbs import Blocked
from interlock.core.agents import Agent, Verb

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def needs_person(agent: Any, tool: str, **arguments: Any) -> str:
    """Call a tool that only a person can do; return the command."""
    answer = await told(agent, tool, **arguments)
    assert answer["outcome"] == "needs_person" and answer["needs"]["why"]["data"]
    return str(answer["needs"]["command"])


async def test_without_a_word_of_the_file_production_is_a_persons(tmp_path: Path) -> None:
    async with client(project(tmp_path)) as agent:
        plan = await told(agent, "plan_deployment", version="v1")
        assert [one["environment"] for one in plan["stages"]] == ["staging"]
        command = await needs_person(agent, "plan_deployment", version="v1", environment="production")
        assert command == "interlock deploy v1"


async def test_where_nothing_is_left_nothing_is_planned(tmp_path: Path) -> None:
    async with client(project(tmp_path, "agents: {environments: []}\n")) as agent:
        assert await needs_person(agent, "plan_deployment", version="v1") == "interlock deploy v1"


async def test_a_plan_made_before_its_environment_was_taken_away_is_not_started(tmp_path: Path) -> None:
    async with client(project(tmp_path)) as agent:
        plan = (await told(agent, "plan_deployment", version="v1"))["plan"]
    file = tmp_path / "shop" / "interlock.yaml"
    file.write_text(file.read_text() + "agents: {environments: []}\n")
    async with client(again(tmp_path)) as agent:
        command = await needs_person(agent, "start_deployment", plan=plan)
        assert command == f"interlock deploy --plan {tmp_path / 'state' / 'plans' / plan}.json"


CALLS: dict[Verb, tuple[str, dict[str, Any]]] = {
    Verb.BUILD: ("docker_build_push", {"image": "localhost:1/x"}),
    Verb.FLAG: ("toggle_feature_flag", {"flag_name": "x", "action": "enable", "environment": "staging"}),
    Verb.START: ("start_deployment", {"plan": "0" * 16}),
    Verb.PROMOTE: ("promote", {"reason": "because"}),
    Verb.PAUSE: ("pause", {}),
    Verb.RESUME: ("resume", {}),
    Verb.ABORT: ("abort", {}),
    Verb.ROLLBACK: ("rollback", {}),
}


async def test_a_verb_that_is_not_left_is_refused(tmp_path: Path) -> None:
    assert CALLS.keys() == set(Verb)
    async with client(project(tmp_path, "agents: {verbs: [pause]}\n")) as agent:
        for verb, (tool, arguments) in CALLS.items():
            said = await refused(agent, tool, **arguments)
            assert (f"to {verb.value} is not left to agents here" in said) is (verb is not Verb.PAUSE), said


async def test_a_file_that_leaves_more_than_at_the_beginning_leaves_nothing(tmp_path: Path) -> None:
    of = project(tmp_path)
    file = tmp_path / "shop" / "interlock.yaml"
    async with client(of) as agent:
        plan = await told(agent, "plan_deployment", version="v1")
        file.write_text(file.read_text() + "agents: {environments: [staging, production], starts_per_hour: 999}\n")
        said = await refused(agent, "start_deployment", plan=plan["plan"])
        assert "`agents` in interlock.yaml was changed since this server began" in said
        assert "changed since" in await refused(agent, "plan_deployment", version="v1")
        assert (await told(agent, "check_preconditions"))["gates"], "to look is always possible"
        file.write_text("service: [")
        for tool in ("abort", "rollback", "pause"):
            assert "nothing has been deployed" in await refused(agent, tool), "to go back it is tried all the same"


GATED = """\
service: shop
command: [python3, app.py]
health: {readiness: {http: /}}
criteria: {error_rate: 1%}
environments:
  staging: {port: 18001}
  production: {port: 18000, gates: {approvals: {signers: approvers}, incidents: {file: on-fire}}}
agents: {environments: [staging, production]}
"""


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ("approvals: {signers: approvers}, ", "", "the gates of production"),
        (", incidents: {file: on-fire}", "", "the gates of production"),
        ("signers: approvers", "signers: mine", "the signers of production"),
        ("error_rate: 1%", "error_rate: 90%", "the criteria of production"),
        ("staging: {port: 18001}", "staging: {port: 18002}", "the entrance of staging"),
    ],
)
async def test_an_agent_cannot_take_away_what_holds_it_by_changing_the_file(
    tmp_path: Path, was: str, becomes: str, named: str
) -> None:
    of, file = project(tmp_path, file=GATED), tmp_path / "shop" / "interlock.yaml"
    for name in ("approvers", "mine"):
        (tmp_path / "shop" / name).write_text(f'{name}@example.org namespaces="interlock-approval" {KEY}\n')
    async with client(of) as agent:
        plan = (await told(agent, "plan_deployment", version="v1", environment="staging"))["plan"]
        file.write_text(GATED.replace(was, becomes))
        for tool, arguments in (("plan_deployment", {"version": "v1"}), ("start_deployment", {"plan": plan})):
            said = await refused(agent, tool, **arguments)
            assert named in said and "was changed since this server began" in said
        file.write_text(GATED + "# a remark changes nothing\n")
        await told(agent, "plan_deployment", version="v1", environment="staging")


async def test_an_agent_cannot_add_itself_to_those_who_sign(tmp_path: Path) -> None:
    of, signers = project(tmp_path, file=GATED), tmp_path / "shop" / "approvers"
    signers.write_text(f'ada@example.org namespaces="interlock-approval" {KEY}\n')
    async with client(of) as agent:
        await told(agent, "plan_deployment", version="v1", environment="staging")
        signers.write_text(signers.read_text() * 2)
        assert "the signers of production" in await refused(agent, "plan_deployment", version="v1")


async def test_a_version_with_signs_that_nobody_sees_is_one_clear_error(tmp_path: Path) -> None:
    async with client(project(tmp_path)) as agent:
        for version in ("v1\x00", "v1\u202e", "v1\n"):
            assert "expected a git ref" in await refused(agent, "plan_deployment", version=version)


async def test_what_is_written_before_the_first_call_leaves_no_more_either(tmp_path: Path) -> None:
    of = project(tmp_path)
    file = tmp_path / "shop" / "interlock.yaml"
    file.write_text(file.read_text() + "agents: {environments: [staging, production]}\n")
    async with client(of) as agent:
        assert "was changed since this server began" in await refused(agent, "plan_deployment", version="v1")
    empty = again(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "shop").mkdir(parents=True)
    (tmp_path / "elsewhere" / "shop" / "interlock.yaml").write_text(file.read_text())
    async with client(empty) as agent:
        assert "there was no interlock.yaml when this server" in await refused(agent, "plan_deployment", version="v1")


async def test_in_a_dry_run_agents_are_told_and_nothing_is_done(tmp_path: Path) -> None:
    of = project(tmp_path, "agents: {dry_run: true}\n")
    async with client(of) as agent:
        plan = (await told(agent, "plan_deployment", version="v1"))["plan"]
        answer = await told(agent, "start_deployment", plan=plan)
        assert (answer["outcome"], answer["run"]) == ("dry_run", "")
        assert (await told(agent, "list_rollouts"))["rollouts"] == []
    assert not of.state.socket.exists(), "not even a keeper was started"


async def test_a_directory_outside_of_the_project_is_no_version_nor_a_link_that_leads_there(tmp_path: Path) -> None:
    of = project(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "shop" / "out").symlink_to("/etc")
    async with client(of) as agent:
        for version in ("/etc", "..", "../other", "/", "./out"):
            assert "is outside of" in await refused(agent, "plan_deployment", version=version)


async def test_an_agent_builds_only_images_that_are_left_to_it_and_only_from_the_project(tmp_path: Path) -> None:
    async with client(project(tmp_path, "agents: {images: [localhost:5999/shop]}\n")) as agent:
        said = await refused(agent, "docker_build_push", image="evil.example/shop", tag="v1")
        assert "evil.example/shop is not left to agents; they may use localhost:5999/shop" in said
        said = await refused(agent, "docker_build_push", image="localhost:5999/shop", context="/etc")
        assert "/etc is outside of" in said
        assert "expected" in await refused(agent, "docker_build_push", image="http://x y")
        for where in ({"context": "\x00"}, {"dockerfile": "Docker\u202efile"}):
            said = await refused(agent, "docker_build_push", image="localhost:5999/shop", **where)
            assert "found signs of control" in said


async def test_a_budget_is_spent_by_all_agents_together_and_no_restart_gives_it_back(tmp_path: Path) -> None:
    first, second = project(tmp_path), again(tmp_path)
    for of in (first, second):
        async with of.budget.spend(Verb.START, 2, "an agent", "plan", NOW):
            pass
    anew = again(tmp_path)
    with pytest.raises(Blocked, match="agents have done 2 of 2 starts that they may within an hour"):
        async with anew.budget.spend(Verb.START, 2, "another", "plan", NOW):
            raise AssertionError("not reached")
    async with anew.budget.spend(Verb.FLAG, 1, "another", "flag", NOW):
        assert await anew.budget.spent(Verb.FLAG, NOW) == 1
    assert await anew.budget.spent(Verb.START, NOW + timedelta(hours=1)) == 0


async def test_what_did_not_come_about_is_given_back(tmp_path: Path) -> None:
    of = project(tmp_path)
    with pytest.raises(RuntimeError):
        async with of.budget.spend(Verb.START, 1, "an agent", "plan", NOW):
            raise RuntimeError("the keeper said no")
    assert await of.budget.spent(Verb.START, NOW) == 0


async def test_of_many_at_once_only_so_many_get_through(tmp_path: Path) -> None:
    project(tmp_path)
    through: list[Project] = []

    async def one(of: Project) -> None:
        try:
            async with Budget(of.state, of.store).spend(Verb.START, 3, "an agent", "plan", NOW):
                through.append(of)
        except Blocked:
            pass

    await asyncio.gather(*(one(again(tmp_path)) for _ in range(8)))
    assert len(through) == 3


async def test_a_name_that_an_agent_gives_itself_is_no_persons(tmp_path: Path) -> None:
    desk = Desk(project(tmp_path), Agent("ada", "claude", "2"))
    assert desk.app.by == "ada's agent claude 2"
