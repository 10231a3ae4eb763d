"""How is a run told, from its record alone and without any secret?"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from interlock.adapters.secrets import kept
from interlock.app.verbs import View
from interlock.core.account import Account
from interlock.core.incident import incident_report
from interlock.core.report import deployment_report
from interlock.core.secrecy import hidden


def report(view: View, secrets: Path, now: datetime, *, incident: bool = False) -> str:
    """Return a run's deployment report, or its incident report (raises NoIncident when nothing was taken back).

    `secrets` is the directory of the values that must not stand in it, although a program may have logged them.
    """
    counted = {**view.checkpoints, **view.live}
    accounts = [Account.of(one, view.entries.get(one.id, ()), counted.get(one.id)) for one in view.rollouts]
    write = incident_report if incident else deployment_report
    return hidden(write(view.plan, accounts, now), kept(secrets))
