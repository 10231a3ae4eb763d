"""What else belongs into every report: who, with whose leave, past which gates, and what was made an exception of?

All of it is read from the journal by kind, so that it stands there as soon as something writes it. A line's data may
have `by` and `channel` (who, and by which surface); `gate` and `answer` for gates; `alert` for alerts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.core.account import Account, Happened
from interlock.core.prose import instant, moment, section, table
from interlock.core.prose import words as said
from interlock.core.steps import Gate

_LINES = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What a gate said at one moment; `answer` is one of open, closed, waits, overridden."""

    at: datetime
    environment: str
    gate: str
    answer: str
    evidence: str


def asked(accounts: Sequence[Account]) -> Iterator[Asked]:
    """Yield each answer of a gate that is on record, with its evidence."""
    for account in accounts:
        for one in account.of_kind("done", "failed", "held", "gate"):
            if (isinstance(one.step, Gate) and not one.back) or one.kind == "gate":
                yield Asked(one.at, account.environment, _gate(one), _answer(one), _evidence(one))


def _gate(one: Happened) -> str:
    if named := one.data.get("gate"):
        return str(named)
    return one.step.name.value if isinstance(one.step, Gate) else "gate"


def _answer(one: Happened) -> str:
    told = _mapping(one.data.get("answer"))
    if told.get("overridden") or one.data.get("overridden"):
        return "overridden"
    if "open" in told or "open" in one.data:
        return "open" if told.get("open", one.data.get("open")) else "closed"
    return {"done": "open", "failed": "closed", "held": "waits"}.get(one.kind, "")


def _evidence(one: Happened) -> str:
    told = _mapping(one.data.get("answer"))
    return str(told.get("reason") or one.text.removeprefix(f"{one.step}: "))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def gates(accounts: Sequence[Account]) -> list[str]:
    """Lay out what each gate said, when, and why."""
    rows = [(moment(a.at), a.environment, a.gate, a.answer, a.evidence) for a in asked(accounts)]
    return table(("when", "environment", "gate", "answer", "evidence"), rows) if rows else ["- none was asked yet"]


def migrations(accounts: Sequence[Account]) -> list[str]:
    """Say what was done once, how it ended and what it wrote last; no section where nothing was to be done."""
    lines = [line for account in accounts for line in _migrated(account)]
    return section("Migrations", lines) if lines else []


def _migrated(account: Account) -> Iterator[str]:
    stage = account.rollout.stage
    if stage.migration is None:
        return
    begun = account.of_kind("migration")
    yield f"- {account.environment}: {said(str(stage.migration))}" + ("" if begun else " (not begun by this rollout)")
    for one in (*begun, *(one for one in account.of_kind("done", "failed") if "migration" in one.data)):
        yield f"  - {moment(one.at)}: {said(one.text)}"
        told = _mapping(one.data.get("migration")).get("lines")
        yield from (f"    - {said(line)}" for line in (told if isinstance(told, list) else [])[-_LINES:])
    if begun and account.turned is not None:
        yield f"  - **Not undone: {said(stage.not_undone)}**"


def alerts(accounts: Sequence[Account]) -> list[str]:
    """Name each alert that was active while it was under way, with when it began."""
    found = [(account, one) for account in accounts for one in account.of_kind("alert")]
    return [f"- {_since(one)}, {a.environment}: {said(one.text)}" for a, one in found] or ["- none is on record"]


def _since(one: Happened) -> str:
    """Say when it was seen, and since when it was active where the source says so."""
    since = _mapping(one.data.get("alert")).get("since")
    try:
        began = f" (since {moment(datetime.fromisoformat(str(since)))})" if since else ""
    except ValueError:
        began = f" (since {said(str(since))})"
    return f"{instant(one.at)}{began}"


def exceptions(accounts: Sequence[Account]) -> list[str]:
    """Say loudly what was overridden, by whom and why; no section where nothing was."""
    found = [f"- **BREAK-GLASS: {said(text)}**" for text in broken_glass(accounts)]
    return section("EXCEPTIONS", found) if found else []


def broken_glass(accounts: Sequence[Account]) -> list[str]:
    """Return a sentence for each exception that a person made."""
    told = []
    for account in accounts:
        where = account.environment
        told += [f"{instant(one.at)}, {where}: {one.text}" for one in account.of_kind("override")]
        for word in account.rollout.stage.conditions.overrides:
            told.append(f"{instant(word.at)}, {where}: gate {word.gate.value} overridden by {word.by}: {word.reason}")
    return list(dict.fromkeys(told))


def approvals(accounts: Sequence[Account]) -> list[str]:
    """Lay out who approved what."""
    lines = [line for account in accounts for line in _approved(account)]
    if lines:
        return lines
    asked_for = any("wait for approval" in str(step) for a in accounts for step in a.rollout.stage.steps)
    return ["- asked for, none was given" if asked_for else "- none was asked for"]


def _approved(account: Account) -> Iterator[str]:
    for one in account.rollout.approvals:
        how = ("proven by signature, " if one.proven else "") + ("on call, " if one.on_call else "")
        yield (
            f"- {moment(one.at)}, {account.environment}: {said(one.by)}{f' ({how[:-2]})' if how else ''} approved "
            f"release {one.identity} under plan {one.plan}" + (f": {said(one.reason)}" if one.reason else "")
        )
    known = {one.at for one in account.rollout.approvals}
    for line in account.of_kind("approved"):
        if line.at in known:  # told already, with what it is bound to
            continue
        yield f"- {moment(line.at)}, {account.environment}: {said(line.text)}"


def people(accounts: Sequence[Account]) -> list[str]:
    """Say who had a part in it: who began it, gave orders, was told, wrote the cause."""
    return [f"- {moment(at)}, {where}: {said(text)}" for at, where, text in parts(accounts)]


def parts(accounts: Sequence[Account]) -> Iterator[tuple[datetime, str, str]]:
    """Yield (when, environment, what) of everything that a person did, or was told."""
    for account in accounts:
        rollout = account.rollout
        yield rollout.started, account.environment, f"started by {rollout.by or 'nobody who is on record'}"
        for one in account.of_kind("order", "approved", "told", "resolved"):
            channel = one.data.get("channel")
            yield one.at, account.environment, one.text + (f" (by {channel})" if channel else "")


def audit_head(head: str) -> list[str]:
    """Publish the audit's head: who keeps this report can find out whether the record was written anew since."""
    return [f"- Audit head: {head} (kept, it proves the record: `interlock audit verify --head HEAD`)"] if head else []
