"""What of a run's reports do programs want? The same as people are told, as one document of plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from interlock.core.account import Account, Happened
from interlock.core.flag_story import documents
from interlock.core.incident import is_incident, resolution, status, taken_back, timeline
from interlock.core.plan import Plan
from interlock.core.record import plain
from interlock.core.report import status as outcome
from interlock.core.sample import Side
from interlock.core.sections import asked, broken_glass, parts
from interlock.core.suspects import Found, as_document


def deployment(plan: Plan, accounts: Sequence[Account], now: datetime, head: str = "") -> dict[str, Any]:
    """Return a run's deployment report; `head` is the audit's. Moments are ISO 8601, rates from 0 to 1, p99 in ms."""
    first, last = accounts[0].rollout, accounts[-1].rollout
    old = plan.stages[-1].replaces
    return {
        "service": plan.service,
        "version": plan.version,
        "replaces": old.release.version if old else None,
        "run": first.run,
        "plan": plan.hash,
        "by": first.by,
        "status": outcome(plan, accounts),
        "started": first.started.isoformat(),
        "ended": last.since.isoformat() if last.over else None,
        "seconds": ((last.since if last.over else now) - first.started).total_seconds(),
        "environments": [_environment(account) for account in accounts],
        **_common(accounts),
        "audit_head": head,
    }


def incident(
    plan: Plan, accounts: Sequence[Account], now: datetime, found: Found | None = None, head: str = ""
) -> dict[str, Any]:
    """Return a run's incident report; raise NoIncident when nothing of it was taken back."""
    account = taken_back(accounts)
    written, tally = resolution(account.story), account.tally
    return {
        "id": account.rollout.id,
        "resolved": written is not None or not is_incident(account.rollout),
        "cause": None if written is None else _record(written),
        "service": plan.service,
        "environment": account.environment,
        "version": account.version,
        "replaces": account.old_version,
        "status": status(account).replace("**", ""),
        "reason": account.rollout.reason,
        "quarantined": account.rollout.quarantine,
        "started": account.rollout.started.isoformat(),
        "turned": account.turned.at.isoformat() if account.turned else None,
        "ended": account.rollout.since.isoformat() if account.rollout.over else None,
        "seconds": (now - account.rollout.started).total_seconds() if not account.rollout.over else None,
        "first_bad": tally.first_bad.isoformat() if tally and tally.first_bad else None,
        "last_bad": tally.last_bad.isoformat() if tally and tally.last_bad else None,
        "cut": list(account.cut),
        "timeline": [{"at": at.isoformat(), "text": text} for at, text in timeline(accounts)],
        "suspects": as_document(account, found or Found()),
        "environments": [_environment(one) for one in accounts],
        **_common(accounts),
        "audit_head": head,
    }


def _common(accounts: Sequence[Account]) -> dict[str, Any]:
    return {
        "exceptions": broken_glass(accounts),
        "gates": [_record(one) for one in asked(accounts)],
        "alerts": [_line(a, one) for a in accounts for one in a.of_kind("alert")],
        "approvals": [{"environment": a.environment, **_record(one)} for a in accounts for one in a.rollout.approvals],
        "people": [{"at": at.isoformat(), "environment": where, "text": text} for at, where, text in parts(accounts)],
        "flags": documents(accounts),
    }


def _environment(account: Account) -> dict[str, Any]:
    rollout, tally = account.rollout, account.tally
    sides = {"before": account.before, "stable": account.beside, "canary": tally.canary if tally else None}
    return {
        "environment": account.environment,
        "phase": rollout.phase.value,
        "strategy": rollout.stage.strategy.value,
        "reason": rollout.reason,
        "retracted": rollout.retracted or None,
        "unproven": list(rollout.unproven),
        "release": rollout.stage.revision.release.identity,
        "artefact": rollout.stage.revision.release.artefact.digest,
        "requests": {name: _side(side) for name, side in sides.items()},
        "steps": [_line(account, one) for one in account.story],
    }


def _side(side: Side | None) -> dict[str, Any] | None:
    """Return a side's sums; None when nothing was measured."""
    if side is None or side.completed <= 0:
        return None
    return {
        "completed": side.completed,
        "failed": side.failed,
        "error_rate": side.error_rate,
        "p99_ms": side.quantile(0.99),
    }


def _line(account: Account, one: Happened) -> dict[str, Any]:
    step = {"step": one.place} if one.place else {}
    data = {name: value for name, value in one.data.items() if name != "index"}
    head = {"at": one.at.isoformat(), "environment": account.environment, "kind": one.kind}
    return {**head, **step, "text": one.text, "data": plain(data)}


def _record(value: object) -> dict[str, Any]:
    return {name: item for name, item in plain(value).items() if name != "kind"}
