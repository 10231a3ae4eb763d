"""Which files let an agent work with Interlock: in a project of Claude Code, as its plugin, or for any other agent?

All say the same. The guide is one file, `claude_files/deployment-orchestrator.md`; what differs is what surrounds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.surfaces.cli.placing import Piece, marked, section, server_entry, versioned

FILES = Path(__file__).parent / "claude_files"
SERVER = "infra-observe"
PLUGIN = "interlock"
AGENT = "deployment-orchestrator"
SKILLS = ("implementing-unleash-featureops", "implementing-kong-gateway", "implementing-kuma-production")
GUARD = "interlock_guard.py"

_OURS = f"mcp__{SERVER}__"
_PLUGINS = f"mcp__plugin_{PLUGIN}_{SERVER}__"
_IGNORED = frozenset({"permissionMode", "hooks", "mcpServers"})
"""What Claude Code ignores in an agent that comes with a plugin."""

_ABOUT = "Zero-downtime deployments with Interlock: rolling, blue-green, canary, feature flags, and the way back."
_AGENTS_MD = f"""\
## Deployments

This project is deployed with Interlock. Let your client start the MCP server `{SERVER}` by the command `interlock`
with the argument `mcp`, in the project's directory.
"""
_HOOK = "Keeps what would change production past Interlock, and what only a person may say, out of the shell."


def project(file: str = "") -> list[Piece]:
    """Return the files of the project form; `file` is the interlock.yaml where it is not found by itself."""
    return [
        Piece(f".claude/agents/{AGENT}.md", marked(guide())),
        *(Piece(f".claude/{name}", marked(text)) for name, text in _skills()),
        Piece(f".claude/hooks/{GUARD}", marked(_guard(), "# "), executable=True),
        Piece(".mcp.json", _json({"mcpServers": {SERVER: _server(file)}}), merge=server_entry(SERVER, _server(file))),
    ]


def plugin(version: str) -> list[Piece]:
    """Return the files of the plugin, which is a marketplace of its own too."""
    about = {"name": PLUGIN, "description": _ABOUT}
    manifest = {**about, "version": version, "author": {"name": "The Interlock authors"}, "license": "Apache-2.0"}
    market = {
        "name": f"{PLUGIN}-local",
        "owner": {"name": "The Interlock authors"},
        "plugins": [{**about, "source": "./"}],
    }
    return [
        Piece(".claude-plugin/plugin.json", _json(manifest), merge=versioned(_json(manifest))),
        Piece(".claude-plugin/marketplace.json", _json(market)),
        Piece(f"agents/{AGENT}.md", marked(_for_plugin(guide()))),
        *(Piece(name, marked(text)) for name, text in _skills()),
        Piece("hooks/hooks.json", _json(_hooks())),
        Piece(f"hooks/{GUARD}", marked(_guard(), "# "), executable=True),
        Piece(".mcp.json", _json({"mcpServers": {SERVER: _server("")}})),
    ]


def agents_md() -> list[Piece]:
    """Return the guide for agents that read AGENTS.md, as a section of that file."""
    _, body = parted(guide())
    _, _, rest = body.lstrip("\n").partition("\n")  # its own heading goes
    rest = re.sub(r"\n- Before you touch flags, read the skill .*", "", rest)
    merge = section(f"{_AGENTS_MD}{_deeper(rest).rstrip()}\n")
    return [Piece("AGENTS.md", merge("# For agents\n", True) or "", merge=merge)]


def guide() -> str:
    """Return the agent as it is written in a project."""
    return (FILES / f"{AGENT}.md").read_text(encoding="utf-8")


def parted(text: str) -> tuple[str, str]:
    """Return frontmatter and body of a Markdown file."""
    _, front, body = text.split("---\n", 2)
    return front, body


def _for_plugin(text: str) -> str:
    """Name tools and skills as a plugin's are named, and leave out what is ignored in a plugin."""
    front, body = parted(text)
    blocks = re.split(r"^(?=\S)", front, flags=re.MULTILINE)
    kept = [block for block in blocks if block.partition(":")[0] not in _IGNORED]
    front = "".join(kept).replace(_OURS, _PLUGINS)
    front = re.sub(r"^  - (?=\S+$)", rf"  - {PLUGIN}:", front, flags=re.MULTILINE)
    return f"---\n{front}---\n{body}"


def _deeper(text: str) -> str:
    """Put the sections under the one of AGENTS.md; what is quoted between fences stays."""
    parts = re.split(r"(^```[\s\S]*?^```$)", text, flags=re.MULTILINE)
    return "".join(part if part.startswith("```") else re.sub(r"^(##+) ", r"#\1 ", part, flags=re.M) for part in parts)


def _skills() -> list[tuple[str, str]]:
    names = [f"skills/{name}/SKILL.md" for name in SKILLS]
    return [(name, (FILES / name).read_text(encoding="utf-8")) for name in names]


def _guard() -> str:
    return (FILES / "guard.py").read_text(encoding="utf-8")


def _server(file: str) -> dict[str, Any]:
    return {"command": "interlock", "args": [*(["-f", file] if file else []), "mcp"]}


def _hooks() -> dict[str, Any]:
    command = f'python3 "${{CLAUDE_PLUGIN_ROOT}}/hooks/{GUARD}"'
    hook = {"type": "command", "command": command, "timeout": 30}
    return {"description": _HOOK, "hooks": {"PreToolUse": [{"matcher": "Bash|Monitor", "hooks": [hook]}]}}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
