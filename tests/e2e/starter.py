"""One of several commands at once: starts the plan in a file, and says how it went. `STATE PLAN`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.e2e.town import PatientApp

from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.core.plan import Plan
from interlock.core.record import restore


async def main(state: str, plan: str) -> None:
    """Start it."""
    app = PatientApp(StateDirectory(Path(state)))
    try:
        print("started", await app.start(restore(Plan, json.loads(Path(plan).read_text()))))
    except Blocked as blocked:
        print("blocked", blocked)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
