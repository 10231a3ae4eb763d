"""How do lists look: rollouts, quarantined releases, findings of the doctor?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from interlock.core.rollout import Rollout
from interlock.ports.store import Quarantined
from interlock.surfaces.cli.show.words import ICONS, STYLES, brief, moment


def history(rollouts: Sequence[Rollout], now: datetime) -> Table:
    """One rollout a row, the newest first; the reason takes what width is left."""
    table = _table("run", "environment", "version", "how it stands", "started", "took", "by", "why")
    for one in rollouts:
        took = (one.since if one.over else now) - one.started
        phase = Text(f"{ICONS[one.phase]} {one.phase.value}", STYLES[one.phase])
        version = _short(one.stage.revision.release.version)
        started = moment(one.started, now).removesuffix(" UTC")
        table.add_row(one.run, one.stage.environment, version, phase, started, brief(took), one.by, one.reason)
    return table


def quarantine(releases: Sequence[Quarantined], now: datetime) -> Table:
    """One release a row."""
    table = _table("identity", "version", "since", "rollout", "why")
    for one in releases:
        table.add_row(one.identity, _short(one.version), moment(one.at, now), one.rollout, one.reason)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        last = column == columns[-1]
        table.add_column(column, no_wrap=last or column in ("run", "identity"), overflow="ellipsis" if last else "fold")
    return table


def _short(version: str) -> str:
    return version if len(version) <= 20 else f"{version[:19]}…"
