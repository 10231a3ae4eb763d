"""How does Claude Code come to work with Interlock: by files in a project, or by a plugin?"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.surfaces.cli.placing import Piece, Placed

SHOWN = 30
"""So many lines of a difference are shown, unless all were asked for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="init|plugin", required=True)
    init = verbs.add_parser("init", help="write agent, skills and server into a project", description=_said(init_run))
    init.add_argument("directory", metavar="DIR", nargs="?", default=".", help="the project's (default: here)")
    plugin = verbs.add_parser("plugin", help="write the same as a plugin", description=_said(plugin_run))
    plugin.add_argument("directory", metavar="DIR", help="where the plugin is to be; made where it is not there")
    for one in (init, plugin):
        placing(one)


def placing(parser: argparse.ArgumentParser) -> None:
    """Let a command write files beside those of others."""
    parser.add_argument("--force", action="store_true", help="replace what others wrote; it is kept as NAME.orig")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; show every difference in full")
    output(parser)
    parser.set_defaults(usage=parser.error)


def run(call: Call) -> Exit:
    return init_run(call) if call.options.verb == "init" else plugin_run(call)


def init_run(call: Call) -> Exit:
    """Write .claude/agents, .claude/skills, .claude/hooks and .mcp.json; what others wrote there stays."""
    from interlock.surfaces.cli.forms import project

    root = existing(call)
    status = place(call, root, project(_file(call, root)))
    for hint in _hints(call, root):
        call.say(hint)
    call.say(f"Next: start claude in {root}, let it use the server infra-observe, and ask it for a deployment.")
    return status


def plugin_run(call: Call) -> Exit:
    """Write the plugin: manifest, agent, skills, hook and server; for many projects, or a marketplace."""
    from interlock.surfaces.cli.forms import plugin
    from interlock.surfaces.cli.placing import PlacingError

    root = Path(call.options.directory)
    if root.is_dir() and any(root.iterdir()) and not _is_plugin(root):
        raise PlacingError(
            f"{root} has something else in it than this plugin: name a directory that is empty or not there yet"
        )
    status = place(call, root, plugin(_version()))
    call.say(f"Next: claude --plugin-dir {root}; or in Claude Code /plugin marketplace add {root.absolute()}")
    return status


def existing(call: Call) -> Path:
    """Return the directory that was named; raises PlacingError where it is none."""
    from interlock.surfaces.cli.placing import PlacingError

    root = Path(call.options.directory)
    if not root.is_dir():
        raise PlacingError(
            f"{root}: expected the directory of a project, found {'a file' if root.exists() else 'none'}"
        )
    return root


def place(call: Call, root: Path, pieces: list[Piece]) -> Exit:
    """Put files there and say of each what became of it; the status is 1 where one that others wrote stays."""
    from interlock.surfaces.cli.placing import Fate, decide, put

    dry = call.options.dry_run
    call.goes_on = "interrupted: what was said to be written is written as a whole, the rest is as it was"
    placed = decide(root, pieces, force=call.options.force)
    if not dry:
        put(root, placed)
    for one in placed:
        call.say(_line(root, one, dry))
        if one.fate is Fate.KEPT or dry:
            _show(call, one, dry)
    kept = [one.piece.path for one in placed if one.fate is Fate.KEPT]
    if call.json:
        files = [{"path": one.piece.path, "fate": one.fate.name.lower()} for one in placed]
        call.document({"type": "placed", "directory": str(root), "dry_run": dry, "files": files})
    if kept and not dry:
        call.warn(
            f"error: {', '.join(kept)} kept as somebody wrote {'it' if len(kept) == 1 else 'them'}. See all that "
            "differs with --dry-run; take ours with --force, which keeps the other as NAME.orig"
        )
    return Exit.ERROR if kept else Exit.OK


def _line(root: Path, one: Placed, dry: bool) -> str:
    from interlock.surfaces.cli.placing import Fate

    would = {Fate.WRITTEN: "write", Fate.UPDATED: "bring up to date", Fate.MERGED: "add to", Fate.REPLACED: "replace"}
    said = f"would {would[one.fate]}" if dry and one.fate in would else one.fate.value
    path = root / one.piece.path
    return f"{path} {said}" if one.fate in (Fate.SAME, Fate.KEPT) else f"{said} {path}"


def _show(call: Call, one: Placed, all_of_it: bool) -> None:
    from interlock.surfaces.cli.placing import Fate

    if one.fate in (Fate.SAME, Fate.WRITTEN):
        return
    lines = one.difference()
    shown = lines if all_of_it else lines[:SHOWN]
    for line in shown:
        call.say(f"    {line}")
    if len(lines) > len(shown):
        call.say(f"    … {len(lines) - len(shown)} more lines")


def _file(call: Call, root: Path) -> str:
    """Return the interlock.yaml that was named, seen from the project; "" where none was."""
    given = call.options.file
    return os.path.relpath(Path(given).absolute(), root.absolute()) if given else ""


def _hints(call: Call, root: Path) -> list[str]:
    """Say what is still missing before the agent can work."""
    import shutil
    from importlib.util import find_spec

    from interlock.app.project import file_of
    from interlock.config import FileError

    hints = []
    try:
        file_of(call.options.file, root.absolute())
    except FileError:
        hints.append(f"There is no interlock.yaml in {root} or above: write one with interlock init.")
    if find_spec("mcp") is None:
        hints.append("The server takes an optional part: pip install 'interlock[mcp]'.")
    if shutil.which("interlock") is None:
        hints.append("The command interlock is not on the PATH: Claude Code starts the server by it.")
    return hints


def _is_plugin(root: Path) -> bool:
    """Whether our plugin was written here before."""
    import json

    from interlock.surfaces.cli.forms import PLUGIN

    try:
        manifest = json.loads((root / ".claude-plugin/plugin.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("name") == PLUGIN


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("interlock")
    except PackageNotFoundError:  # run from its sources
        return "0.0.0"


def _said(function: object) -> str:
    return str(function.__doc__)
