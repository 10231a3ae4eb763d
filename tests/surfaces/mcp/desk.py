"""What does a test of the MCP server need? A project to plan, and a client of its server in this process."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, Implementation, TextContent

from interlock.adapters.store.sqlite import SQLite
from interlock.app.agents import Project
from interlock.app.state import StateDirectory
from interlock.core.audit import Act, examine
from interlock.surfaces.mcp.server import server_of

FILE = """\
service: shop
command: [python3, app.py]
health: {readiness: {http: /}}
environments:
  staging: {port: 18001}
  production: {port: 18000}
"""


ROOT = Path(__file__).parents[3]


def earlier_client() -> Path | None:
    """Return a Python that has the protocol's library of the earlier generation; in CI it must be there."""
    found = Path(os.environ.get("INTERLOCK_MCP1", ROOT / ".venv" / "mcp1" / "bin" / "python"))
    if found.is_file():
        return found
    if os.environ.get("CI") == "true":
        raise AssertionError(f"needs an MCP client of the earlier generation in {found}: `make test` has to install it")
    return None


def project(place: Path, more: str = "", file: str = FILE) -> Project:
    """Make a project in git, with a version v1 to plan."""
    root = place / "shop"
    root.mkdir()
    (root / "app.py").write_text("print('a service')\n")
    (root / "interlock.yaml").write_text(file + more)
    git = shutil.which("git") or "git"
    who = ["-c", "user.name=a test", "-c", "user.email=test@example.org"]
    for argv in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "the shop"], ["tag", "v1"]):
        subprocess.run([git, *argv], cwd=root, check=True, timeout=30)
    return again(place)


def again(place: Path) -> Project:
    """Return the project as another server would find it."""
    return Project(StateDirectory(place / "state"), lambda: place / "shop" / "interlock.yaml")


@asynccontextmanager
async def client(of: Project, name: str = "tester", version: str = "1.0", **more: Any) -> AsyncIterator[Client]:
    """Speak with a server of the project's own."""
    async with Client(server_of(of), client_info=Implementation(name=name, version=version), **more) as found:
        yield found


def text(result: Any) -> str:
    """Return what a call answered, as text."""
    assert isinstance(result, CallToolResult)
    return "\n".join(one.text for one in result.content if isinstance(one, TextContent))


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """Call a tool that must say no; return what it says."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, text(result)
    assert "Traceback" not in text(result)
    return text(result)


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that must not fail; return its fields."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text(result)
    return dict(result.structured_content or {})


async def acts(of: Project, kind: str = "agent") -> list[Act]:
    """Return what the audit has of a kind, and check that nothing in it was changed."""
    if "calls" in of.__dict__:
        await of.calls.write()
    store = SQLite(of.state.database)
    try:
        rows, journal = await store.audited()
        assert examine(rows, (), journal).troubles == ()
        return [row.act for row in rows if row.act.kind == kind]
    finally:
        store.close()
