"""How is a run told, from its record alone and without any secret?"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from interlock.app.verbs import View
from interlock.core.account import Account
from interlock.core.incident import incident_report
from interlock.core.prose import words
from interlock.core.report import deployment_report

SHORTEST_MASKED = 8
"""Characters: to mask a shorter value would show what it is, by the gaps in ordinary words."""


def report(view: View, secrets: Path, now: datetime, *, incident: bool = False) -> str:
    """Return a run's deployment report, or its incident report (raises NoIncident when nothing was taken back).

    `secrets` is the directory of the values that must not stand in it, although a program may have logged them.
    """
    counted = {**view.checkpoints, **view.live}
    accounts = [Account.of(one, view.entries.get(one.id, ()), counted.get(one.id)) for one in view.rollouts]
    write = incident_report if incident else deployment_report
    return masked(write(view.plan, accounts, now), secrets)


def masked(text: str, secrets: Path) -> str:
    """Return the text without any of the secret values kept in the directory."""
    for path in sorted(secrets.glob("*")) if secrets.is_dir() else ():
        if path.name == "key" or path.name.startswith("."):
            continue
        value = path.read_text(errors="replace").strip()
        if len(value) >= SHORTEST_MASKED:
            for written in (value, words(value), words(value).replace("|", "\\|")):
                text = text.replace(written, "•••")
    return text
