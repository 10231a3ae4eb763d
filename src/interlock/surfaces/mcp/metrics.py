"""How do users fare on the new version, and on the old one beside it?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import isfinite
from typing import Annotated, Any

from pydantic import BaseModel, Field

from interlock.app.report import accounts_of
from interlock.app.view import View
from interlock.core.account import Account
from interlock.core.phase import Phase
from interlock.core.rollout import Rollout
from interlock.core.sample import Side
from interlock.ports.metrics import MetricsError
from interlock.surfaces.mcp.call import Answer, Call
from interlock.surfaces.mcp.quoted import Quoted, quote
from interlock.surfaces.mcp.rollouts import RunId


class Requests(BaseModel):
    """Users' requests to one side. Rates are from 0 to 1."""

    completed: float
    failed: float
    error_rate: float | None
    p99_ms: float | None = Field(description="null where nothing was measured, or it is off the scale")


class Finding(BaseModel):
    """What one rule says, as odds to 1 against the release and for it."""

    rule: str
    odds_against: float | None
    odds_for: float | None
    estimate: float | None
    limit: float | None

    @property
    def said(self) -> str:
        """Say it in a line."""
        return f"{self.rule}: odds against the release {_odds(self.odds_against)}, for it {_odds(self.odds_for)}"


class Measured(Answer):
    """Users' requests in one environment of a run, and the verdict on them."""

    run: str
    environment: str
    weight: float
    before: Requests | None = Field(description="the old version in the hour before")
    stable: Requests | None = Field(description="the old version while both were there")
    canary: Requests | None = Field(description="the new version")
    now: dict[str, Requests] = Field(
        description="by version: what users got while this was asked, whatever is under way"
    )
    verdict: str = Field(description="pass, fail, inconclusive, or not judged")
    live: bool = Field(description="false: these are the last numbers on record, nothing is measured now")
    findings: list[Finding]
    trouble: Quoted | None = Field(description="why nothing can be measured now")

    def text(self) -> str:
        lines = [f"{self.run} in {self.environment}, {100 * self.weight:g} % on the new version: {self.verdict}"]
        for name, side in (("before", self.before), ("old", self.stable), ("new", self.canary)):
            lines.append(f"{name}: {_side_text(side)}")
        lines += [f"now, {version}: {_side_text(side)}" for version, side in self.now.items()]
        seen = bool(self.canary and self.canary.completed)
        lines += [one.said for one in self.findings] if seen else ["no evidence yet: no request has been judged"]
        if self.trouble:
            lines.append(f"trouble: {self.trouble}")
        return "\n".join(lines)


async def query_metrics(
    call: Call,
    rollout: RunId = "",
    environment: Annotated[str, Field(max_length=64, description="which one; empty: the newest of the run")] = "",
    seconds: Annotated[
        float, Field(ge=0, le=10, description="measure for so long from now; 0: only what is known")
    ] = 2.0,
) -> Measured:
    """Ask how users fare: error rate and p99 latency of the new version, of the old beside it, before, and right now.

    No evidence is never a success: numbers of a few requests prove nothing, and the verdict says so.
    """
    view = await call.project.glance.view(rollout or None)
    known = measured(view, environment)
    if not seconds:
        return known
    sides, trouble = await _now(call, view, known.environment, seconds)
    return known.model_copy(update={"now": sides, "trouble": known.trouble or trouble})


async def _now(call: Call, view: View, environment: str, seconds: float) -> tuple[dict[str, Requests], Quoted | None]:
    """Return what users of either version get now, or why that cannot be seen."""
    from interlock.app.now import now  # imported late: a server must be there at once

    stage = next(one.stage for one in view.rollouts if one.stage.environment == environment)
    sides = {one.name: one.release.version for one in (stage.replaces, stage.revision) if one is not None}
    try:
        found = await now(call.project.state, tuple(sides), timedelta(seconds=seconds))
    except MetricsError as error:
        return {}, quote(str(error), "the data plane")
    seen = {sides[name]: _side(side) for name, side in found.items()}
    return {version: side for version, side in seen.items() if side is not None}, None


def measured(view: View, environment: str = "") -> Measured:
    """Return what was counted in one environment of a run."""
    account = _account(view, environment)
    rollout, tally = account.rollout, account.tally
    live: Mapping[str, Any] = view.live.get(rollout.id, {})
    judgement = live.get("judgement") or {}
    return Measured(
        run=view.run,
        environment=account.environment,
        weight=rollout.weight.share,
        before=_side(account.before),
        stable=_side(account.beside),
        canary=_side(tally.canary if tally else None),
        now={},
        verdict=_verdict(rollout, judgement),
        live=bool(live),
        findings=[_finding(one) for one in judgement.get("findings", ())],
        trouble=quote(str(live.get("trouble") or ""), "the data plane"),
    )


def _verdict(rollout: Rollout, judgement: Mapping[str, Any]) -> str:
    if rollout.stage.criteria is None:
        return "not judged"
    if rollout.quarantine:
        return "fail"
    return str(judgement.get("verdict") or ("pass" if rollout.phase is Phase.SUCCEEDED else "not judged"))


def _account(view: View, environment: str) -> Account:
    accounts = accounts_of(view)
    if not environment:
        return accounts[-1]
    found = next((one for one in accounts if one.environment == environment), None)
    if found is None:
        known = ", ".join(one.environment for one in accounts)
        raise NoSuchEnvironment(f"{view.run} has not come to {environment}; it has been in {known}")
    return found


class NoSuchEnvironment(Exception):
    """The run has no rollout in this environment; the message says where it has."""


def _side(side: Side | None) -> Requests | None:
    if side is None or side.completed <= 0:
        return None
    p99 = side.quantile(0.99)
    return Requests(
        completed=side.completed,
        failed=side.failed,
        error_rate=side.error_rate,
        p99_ms=p99 if p99 is not None and isfinite(p99) else None,
    )


def _finding(one: Mapping[str, Any]) -> Finding:
    return Finding(
        rule=str(one["rule"]),
        odds_against=_number(one.get("odds_against")),
        odds_for=_number(one.get("odds_for")),
        estimate=_number(one.get("estimate")),
        limit=_number(one.get("limit")),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and isfinite(value) else None


def _side_text(side: Requests | None) -> str:
    if side is None:
        return "not measured"
    p99 = "off the scale" if side.p99_ms is None else f"{side.p99_ms:.3g} ms"
    rate = "unknown" if side.error_rate is None else f"{100 * side.error_rate:.2g} %"
    return f"{side.completed:,.0f} requests, {rate} failed, p99 {p99}"


def _odds(value: float | None) -> str:
    return "beyond number" if value is None else f"{value:.3g} to 1"
