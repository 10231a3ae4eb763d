"""What may have caused it? Whatever differs between the two releases, and whatever else was wrong at that time.

Nothing here accuses: it is what a person would look at first. Names of settings only, for a value may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from interlock.core.account import Account, Happened
from interlock.core.prose import instant, lasting, table
from interlock.core.prose import words as said
from interlock.core.record import plain
from interlock.core.release import Artefact, Configuration

_COMMIT = re.compile(r"git ([0-9a-f]{7,64})")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_LONGEST_LINE = 1_000
_NOT_READY = re.compile(r"instance \d+(?:: | of )[^;)|]*")


@dataclass(frozen=True, slots=True)
class Commits:
    """The commits from one release's to the next, newest first; `more` were left out. `why` they are not known."""

    old: str | None = None
    new: str | None = None
    lines: tuple[str, ...] = ()
    more: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found outside the journal: the commits, and the last lines that the new revision's instances wrote."""

    commits: Commits = Commits(why="nobody has looked")
    log: tuple[str, ...] = ()


def repository_commit(artefact: Artefact) -> str | None:
    """Return the commit that an artefact was made from; None when it was made from a directory."""
    match = _COMMIT.fullmatch(artefact.source)
    return match[1] if match else None


def changed(old: Configuration | None, new: Configuration) -> tuple[tuple[str, str], ...]:
    """Return (setting, "added", "removed" or "changed") of everything in which two configurations differ."""
    before, now = ({} if one is None else dict(_settings(one)) for one in (old, new))
    kinds = {name: _how(name, before, now) for name in sorted({**before, **now})}
    return tuple((name, how) for name, how in kinds.items() if how)


def _how(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if name not in before:
        return "added"
    if name not in now:
        return "removed"
    return "changed" if before[name] != now[name] else ""


def _settings(configuration: Configuration) -> Iterator[tuple[str, Any]]:
    record = plain(configuration)
    for name, value in record.pop("environment"):
        yield f"env.{name}", value
    for name, fingerprint in record.pop("secrets"):
        yield f"secrets.{name}", fingerprint
    yield from _flat("", record)


def _flat(above: str, record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{above}{name}.", value)
        elif above or name != "kind":
            yield f"{above}{name}", value


def between(account: Account) -> tuple[tuple[Happened, timedelta], ...]:
    """Return each step that ended, and how long after it the first bad request was counted (before it: negative)."""
    bad = account.tally.first_bad if account.tally else None
    if bad is None:
        return ()
    return tuple((one, bad - one.at) for one in account.of_kind("done", "failed") if one.step and not one.back)


def unready(account: Account) -> tuple[tuple[datetime, str], ...]:
    """Return what readiness said of instances that were not ready, each once, as the journal has it."""
    told: dict[str, datetime] = {}
    for one in account.of_kind("failed", "unsafe", "held"):
        for reason in _NOT_READY.findall(one.text):
            told.setdefault(reason.strip(), one.at)
    return tuple((at, reason) for reason, at in told.items())


def suspects(account: Account, found: Found) -> list[str]:
    """Lay out all suspects in Markdown."""
    stage = account.rollout.stage
    old = stage.replaces.release.configuration if stage.replaces else None
    settings = changed(old, stage.revision.release.configuration)
    return [
        "#### Commits between the releases",
        *_commits(found.commits),
        "",
        "#### Settings that changed",
        *(f"- `{said(name)}`: {how}" for name, how in settings),
        *([] if settings else ["- none: the configuration is the same"]),
        "",
        "#### The first bad request, against each step",
        *_steps(account),
        "",
        "#### Readiness",
        *(f"- {instant(at)} {said(reason)}" for at, reason in unready(account)),
        *([] if unready(account) else ["- no instance was found not to be ready"]),
        "",
        f"#### The last lines of {said(stage.revision.name)}",
        *_log(found.log),
    ]


def _commits(commits: Commits) -> list[str]:
    if commits.why:
        return [f"- not known: {said(commits.why)}"]
    lines = [f"- {said(line)}" for line in commits.lines]
    more = [f"- and {commits.more} more: `git log --oneline {commits.old}..{commits.new}`"] if commits.more else []
    return [*lines, *more] or ["- none: both releases are made from the same commit, or the newer from an older one"]


def _steps(account: Account) -> list[str]:
    rows = [(one.place, str(one.step), instant(one.at), _apart(gap)) for one, gap in between(account)]
    if not rows:
        return ["- no request of it was seen to fail"]
    assert account.tally is not None and account.tally.first_bad is not None
    first = f"- First counted by {instant(account.tally.first_bad)}, the end of the first sample with failed requests"
    return [first, "", *table(("step", "what", "ended", "the first bad request came"), rows)]


def _apart(gap: timedelta) -> str:
    return f"{lasting(gap)} after it" if gap >= timedelta(0) else f"{lasting(-gap)} before it ended"


def _log(lines: tuple[str, ...]) -> list[str]:
    if not lines:
        return ["- nothing is kept of them"]
    fence = "````"
    return [f"{fence}text", *map(written, lines), fence]


def written(line: str) -> str:
    """Make a line of somebody's log one that ends no block and moves no cursor."""
    line = _CONTROL.sub("", line).replace("```", "'''")
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} …"


def as_document(account: Account, found: Found) -> dict[str, Any]:
    """Return all suspects for programs."""
    stage = account.rollout.stage
    old = stage.replaces.release.configuration if stage.replaces else None
    return {
        "commits": {k: v for k, v in plain(found.commits).items() if k != "kind"},
        "settings": [{"name": n, "how": how} for n, how in changed(old, stage.revision.release.configuration)],
        "steps": [
            {"step": one.place, "what": str(one.step), "ended": one.at.isoformat(), "seconds": gap.total_seconds()}
            for one, gap in between(account)
        ],
        "readiness": [{"at": at.isoformat(), "text": reason} for at, reason in unready(account)],
        "log": list(found.log),
    }
