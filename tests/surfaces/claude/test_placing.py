"""Does what is written for agents come beside what others wrote, so that nothing of theirs is lost?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from ruamel.yaml import YAML

from interlock.surfaces.cli import forms, main
from interlock.surfaces.cli.placing import BEGIN, END, marked, untouched

AGENT = Path(".claude/agents/deployment-orchestrator.md")
SOURCE = Path(__file__).parents[3] / "src"
THEIRS = {"mcpServers": {"wiki": {"type": "http", "url": "https://wiki.example.org/mcp"}}, "more": [1, {"ä": None}]}


def run(*words: str) -> int:
    """Run a command in this process; return its status."""
    return main(list(words))


def tree(root: Path) -> dict[str, bytes]:
    """Return all files with their content."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_empty_directory_gets_every_file_and_twice_is_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("claude", "init", str(tmp_path)) == 0
    first = tree(tmp_path)
    assert set(first) == {piece.path for piece in forms.project()}
    assert "There is no interlock.yaml" in capsys.readouterr().out
    assert run("claude", "init", str(tmp_path)) == 0
    assert tree(tmp_path) == first
    said = capsys.readouterr().out
    assert said.count("is as it should be") == len(first) and "wrote" not in said


def test_the_script_of_the_hook_can_be_executed_and_is_what_the_agent_names(tmp_path: Path) -> None:
    run("claude", "init", str(tmp_path))
    assert (tmp_path / ".claude/hooks/interlock_guard.py").stat().st_mode & 0o111


@pytest.mark.parametrize("form", ["project", "plugin"])
def test_the_hook_runs_by_the_very_command_that_claude_code_is_given(form: str, tmp_path: Path) -> None:
    root = tmp_path / "a place with spaces"
    root.mkdir()
    assert run("claude", "init" if form == "project" else "plugin", str(root)) == 0
    if form == "project":
        front = forms.parted((root / AGENT).read_text())[0]
        hooks = YAML(typ="safe").load(front)["hooks"]["PreToolUse"]
    else:
        hooks = json.loads((root / "hooks/hooks.json").read_text())["hooks"]["PreToolUse"]
    places = {"CLAUDE_PROJECT_DIR": str(root), "CLAUDE_PLUGIN_ROOT": str(root)}
    for command, answer in (("kubectl set image deploy/shop shop=shop:v2", "deny"), ("kubectl get pods", "")):
        done = subprocess.run(
            ["/bin/sh", "-c", hooks[0]["hooks"][0]["command"]],
            input=json.dumps({"tool_name": "Bash", "tool_input": {"command": command}}),
            env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}", **places},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stderr, '"deny"' in done.stdout) == (0, "", bool(answer))


async def test_the_entry_in_mcp_json_starts_the_server_that_the_agent_names(tmp_path: Path) -> None:
    run("claude", "init", str(tmp_path))
    entry = json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]["infra-observe"]
    assert entry["command"] == "interlock"
    words = [sys.executable, "-m", "interlock", "--state", str(tmp_path / "state"), *entry["args"]]
    environment = {"PYTHONPATH": str(SOURCE), "PATH": os.defpath}
    server = StdioServerParameters(command=words[0], args=words[1:], cwd=tmp_path, env=environment)
    async with Client(server) as client:
        offered = {f"mcp__infra-observe__{tool.name}" for tool in (await client.list_tools()).tools}
    named = YAML(typ="safe").load(forms.parted((tmp_path / AGENT).read_text())[0])["tools"].split(", ")
    assert offered == {one for one in named if one.startswith("mcp__")}


def test_a_file_of_somebody_else_stays_is_shown_and_the_rest_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / AGENT).parent.mkdir(parents=True)
    (tmp_path / AGENT).write_text("---\nname: deployment-orchestrator\n---\nMine.\n")
    assert run("claude", "init", str(tmp_path)) == 1
    said = capsys.readouterr()
    assert (tmp_path / AGENT).read_text().endswith("Mine.\n")
    assert "    -Mine." in said.out and "more lines" in said.out
    assert said.err.startswith(f"error: {AGENT} kept as somebody wrote it") and "--force" in said.err
    assert (tmp_path / ".mcp.json").exists() and (tmp_path / ".claude/skills").is_dir()


def test_by_force_ours_takes_its_place_and_theirs_is_kept_beside_however_often(tmp_path: Path) -> None:
    (tmp_path / AGENT).parent.mkdir(parents=True)
    for text in ("first", "second"):
        (tmp_path / AGENT).write_text(text)
        assert run("claude", "init", str(tmp_path), "--force") == 0
    assert (tmp_path / f"{AGENT}.orig").read_text() == "first"
    assert (tmp_path / f"{AGENT}.orig1").read_text() == "second"
    assert untouched((tmp_path / AGENT).read_text())


def test_a_file_of_an_earlier_interlock_is_brought_up_to_date_unless_somebody_changed_it(tmp_path: Path) -> None:
    (tmp_path / AGENT).parent.mkdir(parents=True)
    earlier = marked("---\nname: deployment-orchestrator\n---\nAs it was.\n")
    (tmp_path / AGENT).write_text(earlier)
    assert run("claude", "init", str(tmp_path)) == 0
    assert "As it was" not in (tmp_path / AGENT).read_text()
    (tmp_path / AGENT).write_text(earlier.replace("As it was", "As I want it"))
    assert run("claude", "init", str(tmp_path)) == 1
    assert "As I want it" in (tmp_path / AGENT).read_text()


def test_what_is_in_a_mcp_json_stays_to_the_last_value_and_its_indent(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    path.write_text(json.dumps(THEIRS, indent="\t", ensure_ascii=False))
    assert run("claude", "init", str(tmp_path)) == 0
    now = json.loads(path.read_text())
    assert now["mcpServers"].pop("infra-observe") == {"command": "interlock", "args": ["mcp"]}
    assert now == THEIRS and list(now) == list(THEIRS)
    assert "\n\t" in path.read_text() and "ä" in path.read_text()
    before = path.read_bytes()
    assert run("claude", "init", str(tmp_path)) == 0 and path.read_bytes() == before


def test_another_entry_of_the_servers_name_stays_unless_by_force_which_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    theirs = {"mcpServers": {**THEIRS["mcpServers"], "infra-observe": {"command": "observe"}}}  # type: ignore[dict-item]
    path.write_text(json.dumps(theirs))
    assert run("claude", "init", str(tmp_path)) == 1
    assert json.loads(path.read_text()) == theirs
    assert run("claude", "init", str(tmp_path), "--force") == 0
    assert set(json.loads(path.read_text())["mcpServers"]) == {"wiki", "infra-observe"}
    assert json.loads((tmp_path / ".mcp.json.orig").read_text()) == theirs


def test_an_entry_that_says_the_same_in_more_words_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    path.write_text('{"mcpServers": {"infra-observe": {"type": "stdio", "args": ["mcp"], "command": "interlock"}}}')
    before = path.read_bytes()
    assert run("claude", "init", str(tmp_path)) == 0 and path.read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[]", '{"mcpServers": []}', "// a comment\n{}"])
def test_a_mcp_json_that_cannot_be_read_is_one_error_and_nothing_is_written(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".mcp.json").write_text(text)
    assert run("claude", "init", str(tmp_path), "--force") == 1
    assert tree(tmp_path) == {".mcp.json": text.encode()}
    said = capsys.readouterr().err
    assert ".mcp.json: expected" in said and "Nothing was written" in said and said.count("\n") == 1


def test_what_is_in_the_way_is_named_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".claude").write_text("a file")
    assert run("claude", "init", str(tmp_path)) == 1
    assert "expected a directory, found a file" in capsys.readouterr().err
    assert run("claude", "init", str(tmp_path / "nowhere")) == 1
    assert "found none" in capsys.readouterr().err
    assert set(tree(tmp_path)) == {".claude"}


def test_a_dry_run_shows_everything_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = json.dumps(THEIRS, indent=2)
    (tmp_path / ".mcp.json").write_text(theirs)
    assert run("claude", "init", str(tmp_path), "--dry-run") == 0
    said = capsys.readouterr().out
    assert "would write" in said and "would add to" in said and '+    "infra-observe": {' in said
    assert tree(tmp_path) == {".mcp.json": theirs.encode()}


def test_programs_hear_what_became_of_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("claude", "init", str(tmp_path), "-o", "json")
    told = json.loads(capsys.readouterr().out)
    assert told["type"] == "placed" and {one["fate"] for one in told["files"]} == {"written"}


def test_the_server_is_told_where_the_file_is_when_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "services/shop").mkdir(parents=True)
    assert run("-f", str(tmp_path / "services/shop/interlock.yaml"), "claude", "init", str(tmp_path)) == 0
    entry = json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]["infra-observe"]
    assert entry["args"] == ["-f", "services/shop/interlock.yaml", "mcp"]


def test_the_plugin_is_written_where_nothing_is_or_over_itself_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "new" / "plugin"
    assert run("claude", "plugin", str(place)) == 0
    first = tree(place)
    assert run("claude", "plugin", str(place)) == 0 and tree(place) == first
    manifest = place / ".claude-plugin/plugin.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": "0.0.1"}))
    assert run("claude", "plugin", str(place)) == 0 and tree(place) == first
    (tmp_path / "file").write_text("mine")
    assert run("claude", "plugin", str(tmp_path)) == 1
    assert "something else in it" in capsys.readouterr().err
    assert set(tree(tmp_path)) == {"file", *(f"new/plugin/{path}" for path in first)}


def test_agents_md_gets_a_section_and_keeps_the_rest_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "AGENTS.md"
    path.write_text("# Agents\n\nUse tabs.\n")
    assert run("agents", str(tmp_path)) == 0
    first = path.read_text()
    assert first.startswith("# Agents\n\nUse tabs.\n\n" + BEGIN) and first.endswith(END + "\n")
    path.write_text(first + "\n## Tests\n\nmake test\n")
    assert run("agents", str(tmp_path)) == 0
    assert path.read_text() == first + "\n## Tests\n\nmake test\n"


def test_a_section_that_somebody_changed_stays_unless_by_force_which_changes_nothing_around_it(tmp_path: Path) -> None:
    path = tmp_path / "AGENTS.md"
    run("agents", str(tmp_path))
    whole = path.read_text()
    changed = "Before.\n" + whole.replace("NEVER skip staging", "Skip staging") + "Behind.\n"
    path.write_text(changed)
    assert run("agents", str(tmp_path)) == 1 and path.read_text() == changed
    assert run("agents", str(tmp_path), "--force") == 0
    assert path.read_text() == f"Before.\n{whole}Behind.\n"
    assert (tmp_path / "AGENTS.md.orig").read_text() == changed


def test_an_agents_md_of_an_earlier_interlock_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "AGENTS.md"
    run("agents", str(tmp_path))
    whole = path.read_text()
    path.write_text(f"# For agents\n\n{BEGIN}\n{marked('## Deployments')}{END}\n")
    assert run("agents", str(tmp_path)) == 0 and path.read_text() == whole


def test_a_section_without_its_end_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "AGENTS.md").write_text(f"{BEGIN}\nhalf of it\n")
    assert run("agents", str(tmp_path)) == 1
    assert "AGENTS.md: expected <!-- interlock: end -->" in capsys.readouterr().err
