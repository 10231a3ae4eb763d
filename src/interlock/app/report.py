"""How is a run told, from its record alone and without any secret?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from interlock.adapters.recordings.files import RecordingFiles
from interlock.adapters.secrets import kept
from interlock.app.view import View
from interlock.core import facts
from interlock.core.account import Account
from interlock.core.curves import Curves, curves_of
from interlock.core.incident import incident_report
from interlock.core.recording import RecordingError, read
from interlock.core.report import deployment_report
from interlock.core.secrecy import hidden
from interlock.core.suspects import Found
from interlock.ports.recordings import RecordingsError


def report(
    view: View,
    secrets: Path,
    now: datetime,
    *,
    incident: bool = False,
    found: Found | None = None,
    head: str = "",
    curves: Mapping[str, Curves] | None = None,
) -> str:
    """Return a run's deployment report, or its incident report (raises NoIncident when nothing was taken back).

    `secrets` is the directory of the values that must not stand in it, although a program may have logged them. `found`
    is what is known of an incident beyond the journal, `head` the audit's, `curves` are drawn (see `recorded`).
    """
    if incident:
        return hidden(incident_report(view.plan, accounts_of(view), now, found, head), kept(secrets))
    return hidden(deployment_report(view.plan, accounts_of(view), now, head, curves), kept(secrets))


def recorded(view: View, recordings: Path) -> dict[str, Curves]:
    """Return by rollout id how what was judged of a run moved, where a recording of it can be read."""
    files, found = RecordingFiles(recordings), {}
    for account in accounts_of(view):
        id, back = account.rollout.id, account.moved(back=True)
        with suppress(RecordingsError, RecordingError):
            found[id] = curves_of(read(id, files.read(id)), back[0].at if back else None)
    return found


def document(
    view: View, secrets: Path, now: datetime, *, incident: bool = False, found: Found | None = None, head: str = ""
) -> dict[str, Any]:
    """Return the same for programs, as plain JSON."""
    if incident:
        told = facts.incident(view.plan, accounts_of(view), now, found, head)
    else:
        told = facts.deployment(view.plan, accounts_of(view), now, head)
    without: dict[str, Any] = _without(told, tuple(kept(secrets)))
    return without


def accounts_of(view: View) -> tuple[Account, ...]:
    """Return what is on record of each environment of a run, with what was counted until now."""
    counted = {**view.checkpoints, **view.live}
    return tuple(Account.of(one, view.entries.get(one.id, ()), counted.get(one.id)) for one in view.rollouts)


def _without(value: Any, secrets: Iterable[str]) -> Any:
    """Hide secrets text by text: in a document as a whole a short one might be part of its grammar."""
    match value:
        case str():
            return hidden(value, secrets)
        case dict():
            return {name: _without(item, secrets) for name, item in value.items()}
        case list() | tuple():
            return [_without(item, secrets) for item in value]
    return value
