"""Is everything that agents are told true: every tool, argument, field, command, option and skill that is named?"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from mcp import Client
from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from interlock.app.agents import Project
from interlock.app.state import StateDirectory
from interlock.config.reference import settings as settings_of
from interlock.surfaces.cli import forms
from interlock.surfaces.cli.claude_files import guard
from interlock.surfaces.cli.parser import parse
from interlock.surfaces.mcp.server import NAME, offer_of, server_of

ROOT = Path(__file__).parents[3]
MANUAL = ROOT / "docs" / "claude-code.md"
PREFIX = {"project": "mcp__infra-observe__", "plugin": "mcp__plugin_interlock_infra-observe__"}
SPECIFICATION = {
    "name": "deployment-orchestrator",
    "description": "Manages zero-downtime deployments. Use for production deployments.",
    "tools": "Bash, Read, Write, mcp__infra-observe__docker_build_push, mcp__infra-observe__toggle_feature_flag",
    "model": "inherit",
    "permissionMode": "acceptEdits",
    "skills": ["implementing-unleash-featureops", "implementing-kong-gateway", "implementing-kuma-production"],
}
"""The frontmatter that holds: whoever has a subagent that says this must find the server and the skills it names."""

PERSONS = {
    "interlock approve shop-7",
    "interlock acknowledge shop-7 --as NAME",
    "interlock deploy --plan FILE",
    "interlock deploy v2",
    "interlock incident close ID --cause TEXT",
    "interlock flag set new_feature -e production --percentage 25",
}
"""What the texts give to an agent to hand on to a person, and the hook keeps it from typing."""


def written(form: str) -> dict[str, str]:
    """Return the files of a form by their path."""
    made = {"project": forms.project(), "plugin": forms.plugin("1.2.3"), "agents": forms.agents_md()}[form]
    return {piece.path.removeprefix(".claude/"): piece.text for piece in made}


def front(text: str) -> dict[str, Any]:
    """Return the frontmatter of a Markdown file, read as YAML."""
    return dict(YAML(typ="safe").load(forms.parted(text)[0]))


@cache
def texts() -> dict[str, str]:
    """Return all texts for agents, and the manual's page about them."""
    found = {f"{form}:{path}": text for form in ("project", "plugin", "agents") for path, text in written(form).items()}
    return {name: text for name, text in found.items() if name.endswith(".md")} | {MANUAL.name: MANUAL.read_text()}


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of what stands between fences."""
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


def spans(text: str) -> list[str]:
    """Return what is set as code within the text."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [found.replace("\n", " ") for found in re.findall(r"`([^`]+)`", plain)]


def commands(text: str) -> set[str]:
    """Return every command of Interlock that is named, as it would be typed."""
    lines = [line for language, code in fenced(text) if language == "sh" for line in code.splitlines()]
    return {line.partition("#")[0].strip() for line in (*spans(text), *lines) if line.startswith("interlock ")}


def calls(text: str) -> Iterator[ast.Call]:
    """Yield every call of a tool that is written out."""
    sources = [code for language, code in fenced(text) if language == "python"]
    sources += [span for span in spans(text) if re.fullmatch(r"[a-z_]+\(.*\)", span)]
    for source in sources:
        yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tools as the real server lists them."""
    place = tmp_path_factory.mktemp("state")

    async def listed() -> dict[str, Any]:
        project = Project(StateDirectory(place), lambda: place / "interlock.yaml")
        async with Client(server_of(project)) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    return asyncio.run(listed())


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What checks the arguments of each tool in the server."""
    place = tmp_path_factory.mktemp("state")
    offer = offer_of(Project(StateDirectory(place), lambda: place / "interlock.yaml"))
    return {tool.name: tool.fn_metadata.arg_model for tool in offer.tools}


@pytest.mark.parametrize("form", ["project", "plugin"])
def test_the_agents_tools_are_all_that_the_server_has_as_claude_code_calls_them(
    form: str, tools: dict[str, Any]
) -> None:
    named = front(written(form)[f"agents/{forms.AGENT}.md"])["tools"].split(", ")
    assert named[:3] == ["Bash", "Read", "Write"]
    assert sorted(named[3:]) == sorted(PREFIX[form] + name for name in tools)
    assert max(map(len, named)) <= 64


def test_the_specifications_frontmatter_holds_and_its_tools_and_skills_are_there(tools: dict[str, Any]) -> None:
    ours = front(written("project")[f"agents/{forms.AGENT}.md"])
    line = str(SPECIFICATION["tools"])
    assert {**SPECIFICATION, "tools": ours["tools"]} == {name: ours[name] for name in SPECIFICATION}
    assert str(ours["tools"]).startswith(f"{line}, "), "the specification's tools come first, word for word"
    assert {one.removeprefix(PREFIX["project"]) for one in line.split(", ")[3:]} <= set(tools)
    assert list(json.loads(written("project")[".mcp.json"])["mcpServers"]) == [NAME] == ["infra-observe"]


@pytest.mark.parametrize("form", ["project", "plugin"])
def test_every_skill_that_is_named_is_there_under_its_name_and_says_when_it_is_used(form: str) -> None:
    files = written(form)
    named = [one.rpartition(":")[2] for one in front(files[f"agents/{forms.AGENT}.md"])["skills"]]
    assert named == list(forms.SKILLS) == SPECIFICATION["skills"]
    for name in named:
        skill = front(files[f"skills/{name}/SKILL.md"])
        assert set(skill) == {"name", "description"} and skill["name"] == name
        assert "Use " in skill["description"] and len(skill["description"]) < 1024
        assert files[f"skills/{name}/SKILL.md"].count("\n") < 500
    assert all(one in named for text in files.values() for one in re.findall(r"\bimplementing-[a-z-]+", text))


def test_a_plugin_leaves_out_what_is_ignored_there_and_names_its_skills_as_its_own() -> None:
    agent = front(written("plugin")[f"agents/{forms.AGENT}.md"])
    assert set(agent) == {"name", "description", "tools", "model", "skills"}
    assert all(one.startswith("interlock:") for one in agent["skills"])
    assert not [name for name, text in written("plugin").items() if "mcp__infra-observe" in text]


@pytest.mark.parametrize("name", texts())
def test_every_command_that_is_named_is_one_that_the_command_line_takes(name: str) -> None:
    for command in commands(texts()[name]):
        parse(shlex.split(command)[1:])  # exits where there is no such command, verb, option or form


@pytest.mark.parametrize("wrong", ["interlock depoly v2", "interlock abort shop-7 --quick", "interlock flag sett x"])
def test_a_command_that_is_not_there_is_seen(wrong: str) -> None:
    for text in (f"Say `{wrong}` then.", f"```sh\n{wrong}   # so\n```\n"):
        (found,) = commands(text)
        with pytest.raises(SystemExit):
            parse(shlex.split(found)[1:])


@pytest.mark.parametrize("name", texts())
def test_every_call_that_is_written_out_is_one_that_the_tool_takes(name: str, takes: dict[str, Any]) -> None:
    for call in calls(texts()[name]):
        assert isinstance(call.func, ast.Name) and not call.args, ast.unparse(call)
        given = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        takes[call.func.id].model_validate(given, strict=True)


@pytest.mark.parametrize("name", texts())
def test_every_name_in_code_is_a_tool_an_argument_or_a_field(name: str, tools: dict[str, Any]) -> None:
    told = json.dumps([[tool.input_schema, tool.output_schema] for tool in tools.values()])
    known = {*re.findall(r'"(\w+)"', told), *tools, *(name for name, _, _ in settings_of()), "new_feature"}
    named = {span for span in spans(texts()[name]) if re.fullmatch(r"[a-z]+(_[a-z]+)+", span)}
    assert sorted(named - known) == []


@pytest.mark.parametrize("name", texts())
def test_every_setting_that_is_named_is_one_of_the_file(name: str) -> None:
    known = {name for name, _, _ in settings_of()}
    named = {span for span in spans(texts()[name]) if re.fullmatch(r"[a-z]+(\.[a-z_]+)+", span)}
    settings = {one for one in named if not one.endswith((".yaml", ".json", ".md", ".py"))}
    assert sorted(settings - known - {"data.nodeWeight"}) == []


def test_an_agent_is_told_no_command_that_only_a_person_may_type_but_to_hand_it_on() -> None:
    named = {command for name, text in texts().items() if name != MANUAL.name for command in commands(text)}
    refused = {command for command in named if list(guard.answer({"tool_input": {"command": command}}))}
    assert refused == PERSONS
    assert not [one for one in named if re.search("force|override|fixes|supersede|--first", one)]


def test_what_a_skill_shows_to_an_agent_to_run_goes_through_the_hook_and_what_it_leaves_to_people_does_not() -> None:
    for name in forms.SKILLS:
        for _, code in (one for one in fenced(written("project")[f"skills/{name}/SKILL.md"]) if one[0] == "sh"):
            for line in code.splitlines():
                refused = "".join(guard.answer({"tool_input": {"command": line}}))
                assert bool(refused) is ("PATCH" in line), line


def test_every_hook_names_a_script_that_goes_along() -> None:
    hooks = json.loads(written("plugin")["hooks/hooks.json"])["hooks"]["PreToolUse"]
    ours = front(written("project")[f"agents/{forms.AGENT}.md"])["hooks"]["PreToolUse"]
    for group, root in ((hooks, "${CLAUDE_PLUGIN_ROOT}/"), (ours, "$CLAUDE_PROJECT_DIR/.claude/")):
        for hook in (hook for entry in group for hook in entry["hooks"]):
            python, script = shlex.split(hook["command"])
            assert python == "python3" and hook["type"] == "command"
            assert script.removeprefix(root) in written("plugin")
    assert [re.fullmatch(entry["matcher"], "Bash") for entry in (*hooks, *ours)].count(None) == 0


# Kept by hand after https://json.schemastore.org/claude-code-plugin-manifest.json (of 2026-04-23), the marketplace's
# beside it, and Claude Code's pages on hooks and on MCP: the parts that we write, and nothing besides them.
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Author(Strict):
    name: Text


class Manifest(Strict):
    """.claude-plugin/plugin.json"""

    name: Name
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+")]
    description: Text
    author: Author
    license: Text


class Listed(Strict):
    name: Name
    source: Annotated[str, Field(pattern=r"^\./")]
    description: Text


class Marketplace(Strict):
    """.claude-plugin/marketplace.json"""

    name: Name
    owner: Author
    plugins: Annotated[list[Listed], Field(min_length=1)]


class Command(Strict):
    type: Literal["command"]
    command: Text
    timeout: Annotated[float, Field(gt=0)]


class Matched(Strict):
    matcher: Text
    hooks: Annotated[list[Command], Field(min_length=1)]


class Hooks(Strict):
    """hooks/hooks.json"""

    description: Text
    hooks: dict[Literal["PreToolUse"], list[Matched]]


class Server(Strict):
    command: Text
    args: list[Text]


class Servers(Strict):
    """.mcp.json"""

    mcpServers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")], Server]


SCHEMAS: dict[str, type[Strict]] = {
    ".claude-plugin/plugin.json": Manifest,
    ".claude-plugin/marketplace.json": Marketplace,
    "hooks/hooks.json": Hooks,
    ".mcp.json": Servers,
}


@pytest.mark.parametrize(("form", "path"), [*(("plugin", path) for path in SCHEMAS), ("project", ".mcp.json")])
def test_the_json_is_what_claude_code_takes(form: str, path: str) -> None:
    SCHEMAS[path].model_validate_json(written(form)[path])


def test_the_plugin_is_laid_out_as_claude_code_looks_for_it() -> None:
    paths = set(written("plugin"))
    assert {path for path in paths if path.startswith(".claude-plugin/")} == {
        ".claude-plugin/plugin.json",
        ".claude-plugin/marketplace.json",
    }
    skills = {f"skills/{name}/SKILL.md" for name in forms.SKILLS}
    assert paths - skills == {
        ".claude-plugin/plugin.json",
        ".claude-plugin/marketplace.json",
        f"agents/{forms.AGENT}.md",
        "hooks/hooks.json",
        f"hooks/{forms.GUARD}",
        ".mcp.json",
    }
    market = json.loads(written("plugin")[".claude-plugin/marketplace.json"])
    assert market["plugins"][0]["name"] == json.loads(written("plugin")[".claude-plugin/plugin.json"])["name"]


SECTIONS = (
    "When to Invoke|Deployment Strategies|Workflow|Pre-Deployment|Deployment|Post-Deployment|Feature Flag Integration|"
    "Rollback Procedures|Health Check Requirements|Output Format|Safety Rules"
).split("|")


@pytest.mark.parametrize("name", ["project", "plugin", "agents"])
def test_the_guide_has_the_specifications_sections_in_their_order_in_every_form(name: str) -> None:
    text = next(text for path, text in written(name).items() if path.endswith((f"{forms.AGENT}.md", "AGENTS.md")))
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)
    assert [one for one in headings if one in SECTIONS] == SECTIONS
    assert "## Deployment Report\n\n### Summary\n" in text


def test_the_three_forms_say_the_same() -> None:
    bodies = [
        forms.parted(written(form)[f"agents/{forms.AGENT}.md"])[1].rpartition("\n<!--")[0]
        for form in ("project", "plugin")
    ]
    assert bodies[0] == bodies[1]
    rules = bodies[0].partition("## Safety Rules\n")[2].strip()
    assert rules and rules in written("agents")["AGENTS.md"]
    assert "implementing-" not in written("agents")["AGENTS.md"]


def test_the_skills_of_what_interlock_does_not_drive_say_so() -> None:
    for name, system in (("implementing-kong-gateway", "Kong"), ("implementing-kuma-production", "Kuma")):
        assert f"**Interlock does not drive {system} yet.**" in written("project")[f"skills/{name}/SKILL.md"]
