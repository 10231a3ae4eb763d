"""Do the specification's two tools build, push and move flags, for real, and within what is left to agents?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.registry.registries import Docked, registry
from tests.app.yard import tools
from tests.e2e.town import Town
from tests.surfaces.mcp.desk import acts, client, project, refused, told

from interlock.adapters.registry.v2 import V2
from interlock.app.agents import Project
from interlock.app.state import StateDirectory
from interlock.core.image import Access, Image

FLAG = {"state": "DISABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


async def test_an_agent_builds_and_pushes_hears_of_progress_and_gets_the_digest_that_the_registry_has(
    tmp_path: Path, docked: Docked
) -> None:
    name = f"{docked.host}/agents/shop"
    of = project(tmp_path, f'agents: {{images: ["{name}"]}}\n')
    (tmp_path / "shop" / "Dockerfile").write_text("FROM scratch\nCOPY app.py /app.py\n")
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    with tools(tmp_path):
        async with client(of) as agent:
            arguments = {"image": name, "tag": "v1", "build_args": {"LEVEL": "3"}}
            result = await agent.call_tool("docker_build_push", arguments, progress_callback=hear)
            built = dict(result.structured_content or {})
            assert not result.is_error, result
            again = await told(agent, "docker_build_push", **arguments)
            assert "is not left to agents" in await refused(agent, "docker_build_push", image=f"{docked.host}/other")
    image = Image.parse(name).tagged("v1")
    manifest = await V2(image.registry, Access()).manifest(image)
    assert manifest is not None and built["digest"] == manifest.digest == again["digest"]
    assert again["found"] and not built["found"] and heard
    (act, *_) = await acts(of, "built")
    assert act.channel == "mcp" and act.by.endswith("'s agent tester 1.0")


def flagged(place: Path, state: StateDirectory) -> Project:
    """Make a project whose flags are in a file."""
    place.mkdir(parents=True)
    for environment in ("staging", "production"):
        (place / f"{environment}.json").write_text(json.dumps({"flags": {"new_feature": FLAG}}))
    (place / "interlock.yaml").write_text(
        'service: shop\ncommand: [serve]\nflags: {file: "{environment}.json"}\nenvironments: {staging: {port: 18001}, '
        "production: {port: 18000}}\nagents: {environments: [production], flag_changes_per_hour: 2}\n"
    )
    return Project(state, lambda: place / "interlock.yaml")


async def test_an_agent_moves_a_flag_as_the_specification_says_and_only_so_often(town: Town, tmp_path: Path) -> None:
    of = flagged(tmp_path / "flagged", town.state)

    def stands() -> tuple[str, object]:
        flag = json.loads((tmp_path / "flagged" / "production.json").read_text())["flags"]["new_feature"]
        return flag["state"], flag.get("targeting")

    async with client(of, "ramp") as agent:
        wanted = {"flag_name": "new_feature", "environment": "production", "action": "update_strategy"}
        off = {**wanted, "action": "disable"}
        assert (await told(agent, "toggle_feature_flag", **off))["enabled"] is False
        for percentage in (5, 25):
            now = await told(agent, "toggle_feature_flag", **wanted, rollout_percentage=percentage)
            assert (now["enabled"], now["percentage"]) == (True, percentage)
            assert stands() == ("ENABLED", {"fractional": [["on", percentage], ["off", 100 - percentage]]})
        said = await refused(agent, "toggle_feature_flag", **wanted, rollout_percentage=100)
        assert "agents have done 2 of 2 changes of flags that they may within an hour" in said
        assert (await told(agent, "toggle_feature_flag", **off))["enabled"] is False
        assert stands()[0] == "DISABLED", "to turn it off costs nothing"
        elsewhere = await told(agent, "toggle_feature_flag", **{**off, "environment": "staging"})
        assert elsewhere["enabled"] is False, "it leads to safety everywhere"
        more = {**wanted, "environment": "staging", "rollout_percentage": 5}
        elsewhere = await told(agent, "toggle_feature_flag", **more)
        assert elsewhere["outcome"] == "needs_person" and "interlock flag set" in elsewhere["needs"]["command"]
        assert "expected a rollout percentage" in await refused(agent, "toggle_feature_flag", **wanted)
    moved = [act for act in await acts(of, "flag") if act.by.endswith("agent ramp 1.0")]
    assert moved and {act.channel for act in moved} == {"mcp"}
