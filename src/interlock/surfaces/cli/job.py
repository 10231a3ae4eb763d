"""What does the job that runs us in GitHub Actions show of a run?

Actions shows Markdown that a step appends to the file named in GITHUB_STEP_SUMMARY, 1 MiB of it at most
(https://docs.github.com/actions, "Adding a job summary"); a report is shorter.
"""

from __future__ import annotations

import os
from pathlib import Path

from interlock.surfaces.cli.call import Call

VARIABLE = "GITHUB_STEP_SUMMARY"


async def summarise(call: Call, run: str) -> None:
    """Append the deployment report of a run that has ended; what keeps it from being written changes no exit status."""
    named = os.environ.get(VARIABLE)
    if not named:
        return
    try:
        text = await call.app.report(run)
        _append(Path(named), f"{text.rstrip()}\n\n")
    except Exception as error:  # a report is not the deployment
        call.warn(f"warning: the report could not be appended to {VARIABLE} ({named}): {error}. Read it with: "
                  f"interlock report {run}")  # fmt: skip


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
