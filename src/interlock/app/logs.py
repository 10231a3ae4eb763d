"""What did the instances, the keeper and Envoy write?"""

from __future__ import annotations

from pathlib import Path

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import LocalHost
from interlock.adapters.secrets import kept
from interlock.app.instances import containers, instances
from interlock.app.state import StateDirectory
from interlock.core.secrecy import hidden

_SHOWN = 256 << 10


def programs(state: StateDirectory) -> dict[str, Path]:
    """Return the logs of our own programs by name."""
    return {"keeper": state.keeper_log, "envoy": state.envoy / "envoy.log"}


async def tail(state: StateDirectory, name: str, lines: int) -> tuple[str, ...]:
    """Return the last lines of a revision's migration and instances (stopped ones too), or of one of our programs."""
    program = programs(state).get(name)
    if program is not None:
        text = "\n".join(_end_of(program, lines))
        return tuple(hidden(text, kept(state.secrets)).splitlines())
    host = LocalHost()
    return await instances(state, host, SystemClock(), containers(state, host)).logs(name, lines)


def _end_of(path: Path, lines: int) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _SHOWN))
            return tuple(file.read(_SHOWN).decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ()
