"""Is this command carried out here, or on another machine, where the state is?

Looking must stay quick: only a file that names a machine at all is read for it.
"""

from __future__ import annotations

import os
from pathlib import Path

from interlock.surfaces.cli.call import Call

_HERE = frozenset({"init", "demo", "explain", "schema", "completion", "setup", "simulate", "build", "claude", "agents"})


def home_of(call: Call) -> str:
    """Return the address of the machine where the command belongs, "" when that is here."""
    options = call.options
    chosen = options.state or os.environ.get("INTERLOCK_STATE") or os.environ.get("INTERLOCK_HOME")
    if chosen or options.command in _HERE:
        return ""
    path = _file(options.file)
    if path is None or "ssh://" not in path.read_text(encoding="utf-8", errors="replace"):
        return ""
    hosts = call.file.production.entrance.hosts
    return hosts[0] if hosts else ""


def _file(given: str | None) -> Path | None:
    from interlock.app.project import file_of
    from interlock.config import FileError

    try:
        path = file_of(given, Path.cwd())
    except FileError:
        return None
    return path if path.is_file() else None
