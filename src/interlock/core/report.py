"""How did a deployment go? Told from the record alone, in the form that is handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from interlock.core.account import Account, Happened
from interlock.core.curves import Curves
from interlock.core.flag_story import told as flags
from interlock.core.judge.words import count, odds, percent
from interlock.core.load import Tried
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.plot import evidence_plot
from interlock.core.prose import UNKNOWN, bounded, errors, instant, lasting, moment, p99, rate, section, success, table
from interlock.core.prose import words as said
from interlock.core.sample import Events, Side
from interlock.core.sections import alerts, approvals, audit_head, exceptions, gates, migrations, people
from interlock.core.steps import SetWeight
from interlock.core.weight import ALL


def deployment_report(
    plan: Plan,
    accounts: Sequence[Account],
    now: datetime,
    head: str = "",
    curves: Mapping[str, Curves] | None = None,
) -> str:
    """Return the report of a run in Markdown; `accounts` are its environments in order, at least one.

    `head` is the audit's, as it is published; `curves` by rollout id are what was recorded, None when nobody asked.
    What is not on record is said to be not measured. It has no secrets because no record has.
    """
    lines = [
        "## Deployment Report",
        *section("Summary", [*_summary(plan, accounts, now), *audit_head(head)]),
        *unproven(accounts),
        *exceptions(accounts),
        *synthetic(accounts),
        *section("Deployment Steps", _steps(plan, accounts)),
        *section("Metrics", _metrics(plan, accounts)),
        *section("Feature Flags", flags(accounts)),
        *section("Gates", gates(accounts)),
        *migrations(accounts),
        *section("Alerts", alerts(accounts)),
        *section("Evidence", _evidence(accounts, curves)),
        *section("Requests by version", requests(accounts)),
        *section("Drains", _drains(accounts)),
        *section("Approvals", approvals(accounts)),
        *section("People", people(accounts)),
        *section("What was released", released(plan)),
    ]
    return bounded(lines, f"`interlock logs {accounts[0].rollout.run}`")


def unproven(accounts: Sequence[Account]) -> list[str]:
    """Say loudly which steps went on without proof, and by whose order."""
    found = [f"- **{said(text)}** ({one.environment})" for one in accounts for text in one.rollout.unproven]
    return section("ADVANCED UNPROVEN", found) if found else []


def synthetic(accounts: Sequence[Account]) -> list[str]:
    """Say loudly what was proven by requests of our own and not by users, with counts of their own."""
    proven = [f"- **{said(text)}** ({one.environment})" for one in accounts for text in one.rollout.synthetic]
    lines = section("PROVEN BY SYNTHETIC LOAD, NOT BY USERS", proven) if proven else []
    rows = [row for one in accounts if one.tried is not None for row in _tried(one, one.tried)]
    head = ("environment", "version", "synthetic requests", "failed", "error rate", "p99")
    note = "Sent by Interlock to the previews of both versions. None of them is in any other number of this report."
    return lines + (section("Synthetic load", [*table(head, rows), "", note]) if rows else [])


def released(plan: Plan) -> list[str]:
    """Name the plan, and for each environment the release and its artefact."""
    rows = []
    for stage in plan.stages:
        release = stage.revision.release
        artefact = f"{release.artefact.digest} ({release.artefact.source})"
        rows.append((stage.environment, release.version, release.identity, artefact, stage.revision.name))
    by = f" by {said(plan.by)}" if plan.by else ""
    return [
        f"- Plan: {plan.hash}, made {moment(plan.made_at)}{by}",
        "",
        *table(("environment", "version", "identity", "artefact", "revision"), rows),
    ]


def requests(accounts: Sequence[Account]) -> list[str]:
    """Count requests, failures and latency by environment, version and time."""
    rows = [row for account in accounts for row in _counted(account)]
    head = ("environment", "version", "when", "requests", "failed", "error rate", "p99")
    if not rows:
        return [f"- {UNKNOWN}: no counts are on record"]
    note = (
        "Counted at the proxy. A failure that a retry hid from its user counts too. A p99 is the upper edge of the "
        "histogram's bucket that it lies in."
    )
    return [*table(head, rows), "", note]


def findings(happened: Happened) -> list[str]:
    """Lay out what the judge said at that moment: counts, estimates, limits, odds."""
    judgement = happened.judgement
    if judgement is None:
        return [f"- {UNKNOWN}: no judgement is on record"]
    rows = []
    for one in judgement.findings:
        interval = f" ({_share(one.interval[0])} to {_share(one.interval[1])})" if one.interval else ""
        estimate = UNKNOWN if one.estimate is None else f"{percent(one.estimate)}{interval}"
        counted = f"{count(one.canary_bad)} of {count(one.canary_requests)}"
        limit = "none" if one.limit is None else percent(one.limit)
        rows.append((one.rule, one.verdict.value, counted, estimate, limit, odds(one.odds_against), odds(one.odds_for)))
    head = ("rule", "verdict", "bad of all", "rate (95 % interval)", "limit", "odds against it", "odds that it is safe")
    texts = [f"- {one.rule}: {said(one.text)}" for one in judgement.findings]
    return [*table(head, rows), "", *texts, *([f"- missing: {said(judgement.missing)}"] if judgement.missing else [])]


def _share(bound: float) -> str:
    """Write an interval's bound: what is below a millionth is nothing."""
    return percent(0.0 if bound < 1e-6 else bound)


# --- summary


def _summary(plan: Plan, accounts: Sequence[Account], now: datetime) -> list[str]:
    first, last = accounts[0].rollout, accounts[-1].rollout
    until = last.since if last.over else now
    ended = moment(until) if last.over else "not over yet"
    return [
        f"- Service: {said(plan.service)}",
        f"- Version: {said(_versions(plan))}",
        f"- Strategy: {', then '.join(_strategy(stage) for stage in plan.stages)}",
        f"- Duration: {lasting(until - first.started)} ({moment(first.started)} to {ended})",
        f"- Status: {said(status(plan, accounts))}",
        f"- Rollout: {first.run}, started by {said(first.by or 'nobody who is on record')}",
    ]


def _versions(plan: Plan) -> str:
    last = plan.stages[-1]
    if last.flag_alone:
        return f"{plan.version}, which ran already and stays"
    return f"{last.replaces.release.version if last.replaces else 'nothing (first release)'} → {plan.version}"


def _strategy(stage: Stage) -> str:
    if stage.flag_alone:
        return "; ".join(f"flag {use.flag}{_ramp(use.ramp)} in {stage.environment}" for use in stage.flags)
    weights = [str(step.weight) for step in stage.steps if isinstance(step, SetWeight)]
    by = f" by {', '.join(weights)}" if stage.strategy is not StrategyName.BLUE_GREEN and len(weights) > 1 else ""
    return f"{stage.strategy.value}{by} in {stage.environment}"


def _ramp(percentages: tuple[int, ...]) -> str:
    return f" by {', '.join(f'{one}%' for one in percentages)}" if percentages else " off"


def status(plan: Plan, accounts: Sequence[Account]) -> str:
    """Say how it went, or how far it is."""
    last = accounts[-1]
    rollout, where = last.rollout, last.environment
    not_begun = last.of_kind("not begun")
    if not_begun:
        return f"STOPPED after {where}: {not_begun[-1].text}"
    match rollout.phase:
        case Phase.SUCCEEDED if where == plan.stages[-1].environment:
            return f"SUCCESS, but flag rolled back: {rollout.retracted}" if rollout.retracted else "SUCCESS"
        case Phase.SUCCEEDED:
            return f"UNDER WAY: {where} has it, {plan.stages[-1].environment} does not yet"
        case Phase.ROLLED_BACK:
            return f"ROLLBACK in {where}: {rollout.reason}"
        case Phase.SUPERSEDED:
            return f"ROLLBACK in {where}, for a newer release: {rollout.reason}"
        case Phase.FAILED:
            return f"ROLLBACK NOT VERIFIED in {where}, look at once: {rollout.reason}"
    return f"UNDER WAY: {rollout.phase.value} in {where}, step {rollout.index + 1} of {len(rollout.way)}"


# --- steps


def _steps(plan: Plan, accounts: Sequence[Account]) -> list[str]:
    release = plan.stages[0].revision.release
    log = f"; build log: {release.artefact.log}" if release.artefact.log else ""
    packed = f"Planned {plan.version}: artefact {release.artefact.digest} ({release.artefact.source}){log}"
    lines = [(plan.made_at, packed)]
    for account in accounts:
        lines += [(one.at, f"{account.environment}: {_told(one)}") for one in account.story if not one.told_by_its_step]
    return [f"{number}. [{moment(at)}] - {said(text)}" for number, (at, text) in enumerate(lines, 1)]


def _told(one: Happened) -> str:
    place = f"{one.place} " if one.place and one.kind in ("done", "failed") else ""
    kinds = {"failed": "FAILED ", "unsafe": "UNSAFE ", "held": "waits: ", "not begun": "not begun: "}
    return f"{kinds.get(one.kind, '')}{place}{one.text}"


# --- metrics


def _metrics(plan: Plan, accounts: Sequence[Account]) -> list[str]:
    where = plan.stages[-1].environment
    account = next((one for one in accounts if one.environment == where), None)
    if account is None:
        return [f"- Error rate, latency p99, success rate: {UNKNOWN}, {where} was not reached"]
    (whose_before, before), (whose_after, after) = _before(account), _after(account)
    new = None if account.tally is None else account.tally.canary
    return [
        f"- Error rate: {errors(before)} → {errors(after)}",
        f"- Latency p99: {p99(before)} → {p99(after)}",
        f"- Success rate: {success(new)} of {said(account.version)}",
        *_named(account),
        f"- Before is {said(whose_before)}, after is {said(whose_after)}; both in {account.environment}",
    ]


def _named(account: Account) -> list[str]:
    """Say what the application counted of each metric that the user names, on both sides over the same time."""
    criteria, tally = account.rollout.stage.criteria, account.tally
    if criteria is None or tally is None:
        return []
    old, new = tally.stable.named, tally.canary.named
    return [
        f"- {said(name)}: {_bad(old.get(name))} beside it → {_bad(new.get(name))} of {said(account.version)}"
        for name in (metric.name for metric in criteria.metrics)
    ]


def _bad(events: Events | None) -> str:
    if events is None or events.total <= 0:
        return UNKNOWN
    return f"{percent(min(1.0, events.bad / events.total))} ({count(events.bad)} of {count(events.total)} events)"


def _before(account: Account) -> tuple[str, Side | None]:
    old = account.old_version
    if old is None:
        return "nothing: this is the first release", None
    if account.before and account.before.completed > 0:
        return f"{old} in the hour before", account.before
    return f"{old} beside {account.version}, as none of its requests were counted in the hour before", account.beside


def _after(account: Account) -> tuple[str, Side | None]:
    tally, old = account.tally, account.old_version
    if account.rollout.going_back:
        whose = f"{old} with all the traffic again" if old else "nothing, it answers 503"
        return whose, None if tally is None else tally.returned
    if tally is not None and tally.last.completed > 0:
        return f"{account.version} at 100 %", tally.last
    return account.version, None if tally is None else tally.canary


# --- evidence


def _evidence(accounts: Sequence[Account], curves: Mapping[str, Curves] | None) -> list[str]:
    lines: list[str] = []
    for account in accounts:
        criteria = account.rollout.stage.criteria
        if criteria is None:
            lines += _unjudged(account)
            continue
        lines += [
            f"- {account.environment}: rolled back at odds of {odds(1 / criteria.alpha)} against the release, proven "
            f"at {odds(1 / criteria.beta)} that it stays below {criteria.margin:g} × the limit"
        ]
        lines += [] if curves is None else _over_time(account, curves.get(account.rollout.id))
        for one in account.story:
            if one.judgement is not None:
                lines += ["", f"#### {account.environment}, {instant(one.at)}: {said(_heading(one))}", ""]
                lines += findings(one)
    return lines


def _over_time(account: Account, curves: Curves | None) -> list[str]:
    """Draw how the evidence grew towards either decision, in a block that every reader of Markdown leaves as it is."""
    if curves is None:
        return ["- how it grew cannot be drawn: no recording of it is kept"]
    plot = evidence_plot(curves)
    return ["", f"#### {account.environment}: evidence over time", "", "```text", *plot, "```"] if plot else []


def _unjudged(account: Account) -> list[str]:
    proof = "health and smoke tests are the evidence; traffic is not judged here"
    return [f"- {account.environment}: {proof}"]


def _heading(one: Happened) -> str:
    assert one.judgement is not None
    return f"{one.place} {one.step}: {one.judgement.verdict.value}".strip()


def _counted(account: Account) -> list[tuple[str, ...]]:
    tally, old = account.tally, account.old_version
    if tally is None:
        return []
    sides: list[tuple[str, str, Side | None]] = []
    if old is not None:
        sides.append((old, "in the hour before", account.before))
        sides.append((old, f"beside {account.version}", account.beside))
    if account.partly and account.partly.started > 0:
        sides.append((account.version, "below 100 %", account.partly))
    if account.most == ALL:
        sides.append((account.version, "at 100 %", tally.last))
    if old is not None and account.rollout.going_back:
        sides.append((old, "with all the traffic again", tally.returned))
    return [_row(account, *side) for side in sides]


def _row(account: Account, version: str, when: str, side: Side | None) -> tuple[str, ...]:
    requests = "0" if side is None else count(side.completed)
    failed = "0" if side is None else count(side.failed)
    return account.environment, version, when, requests, failed, rate(side), p99(side)


def _tried(account: Account, tried: Tried) -> list[tuple[str, ...]]:
    sides = [(account.version, tried.canary), (account.old_version or UNKNOWN, tried.stable)]
    return [
        (account.environment, version, count(side.started), count(side.failed), rate(side), p99(side))
        for version, side in sides
    ]


# --- leaving


def _drains(accounts: Sequence[Account]) -> list[str]:
    drains = [(a, one) for a in accounts for one in a.of_kind("done") if "drain_seconds" in one.data]
    if not drains:
        return ["- Longest drain: nothing was drained", *cut(accounts)]
    account, longest = max(drains, key=lambda drain: float(drain[1].data["drain_seconds"]))
    left = sum(int(one.data.get("under_way", 0)) for _, one in drains)
    return [
        f"- Longest drain: {longest.data['drain_seconds']:.2f} s ({account.environment}, {said(str(longest.step))})",
        f"- Requests still under way at a drain's deadline: {left}",
        *cut(accounts),
    ]


def cut(accounts: Sequence[Account]) -> list[str]:
    """Name each request that was cut because its instance was ended."""
    named = [f"  - {account.environment}: {said(name)}" for account in accounts for name in account.cut]
    return [f"- Requests cut by ending an instance: {len(named) or 'none'}", *named]
