"""What went wrong with a release, whom did it reach, and how was it taken back? Told from the record alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.core.account import Account, Line
from interlock.core.agents import AGENTS
from interlock.core.flag_story import told as flags
from interlock.core.judge.words import count, odds, percent
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.prose import UNKNOWN, bounded, errors, instant, lasting, p99, rate, section
from interlock.core.prose import words as said
from interlock.core.release import StickyBy
from interlock.core.report import cut, findings, released, requests, unproven
from interlock.core.rollout import Rollout
from interlock.core.sections import alerts, audit_head, exceptions, people
from interlock.core.steps import SetWeight, spell
from interlock.core.suspects import Found, suspects
from interlock.core.weight import NONE


class NoIncident(Exception):
    """Nothing was taken back in this run, so there is no incident to report."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The cause of an incident, as a person wrote it."""

    at: datetime
    by: str
    cause: str
    channel: str = ""


def is_incident(rollout: Rollout) -> bool:
    """Whether a cause is asked for: it was taken back, and not only to make way for a newer release.

    A gate that stayed closed, or a change of mind before any user met the release, is none.
    """
    harmed = rollout.exposed or rollout.quarantine or rollout.phase is Phase.FAILED
    return rollout.going_back and not rollout.superseded and harmed


def resolution(lines: Iterable[Line]) -> Resolution | None:
    """Return the cause that was written last; None as long as nobody has: the incident is unresolved."""
    found = [one for one in lines if one.kind == "resolved"]
    if not found:
        return None
    last = found[-1]
    said_of_it = (str(last.data.get(name, "")) for name in ("by", "cause", "channel"))
    return Resolution(last.at, *said_of_it)


def taken_back(accounts: Sequence[Account]) -> Account:
    """Return the environment of a run that was taken back; raise NoIncident when none was."""
    account = next((one for one in reversed(accounts) if one.rollout.going_back), None)
    if account is None:
        raise NoIncident(f"{accounts[0].rollout.run}: nothing was taken back, so there is no incident to report")
    return account


def incident_report(
    plan: Plan, accounts: Sequence[Account], now: datetime, found: Found | None = None, head: str = ""
) -> str:
    """Return the incident report of a run in Markdown; raise NoIncident when nothing of it was taken back.

    `accounts` are the run's environments in order, `found` what was found outside their journals, `head` the audit's.
    What is not on record is said to be not measured.
    """
    account = taken_back(accounts)
    lines = [
        "## Incident Report",
        *section("Summary", [*_summary(plan, account, now), *audit_head(head)]),
        *unproven(accounts),
        *exceptions(accounts),
        *section("Cause", _cause(account)),
        *section("What fired", _fired(account)),
        *section("Timeline", _timeline(accounts)),
        *section("Feature Flags", flags(accounts)),
        *section("Alerts", alerts(accounts)),
        *section("Suspects", suspects(account, found or Found())),
        *section("Blast radius", _radius(account)),
        *section("Requests by version", requests([account])),
        *section("What was reverted, and how that was verified", _reverted(account)),
        *section("Quarantine", _quarantine(account)),
        *section("Open questions", _questions(accounts, account)),
        *section("People", people(accounts)),
        *section("What was released", released(plan)),
    ]
    return bounded(lines, f"`interlock logs {account.rollout.run}`")


def _cause(account: Account) -> list[str]:
    written = resolution(account.story)
    if written is not None:
        return [f"- **{said(written.cause)}** ({said(written.by)}, {instant(written.at)})"]
    if not is_incident(account.rollout):
        why = "it made way for a newer release" if account.rollout.superseded else "no user met it, nor was it at fault"
        return [f"- none is asked for: {why}"]
    return [
        "- **UNRESOLVED**: nobody has written the cause yet",
        f"- When it is known: `interlock incident close {account.rollout.id} --cause TEXT`",
    ]


def status(account: Account) -> str:
    """Say what became of it."""
    rollout, old = account.rollout, account.old_version
    runs = f"{account.environment} runs {old} again" if old else f"{account.environment} runs nothing, it answers 503"
    return {
        Phase.ROLLED_BACK: f"taken back and verified: {runs}",
        Phase.SUPERSEDED: f"taken back for a newer release: {runs}",
        Phase.FAILED: "**the rollback could NOT be verified: look at once**",
    }.get(rollout.phase, f"going back, at step {rollout.index + 1} of {len(rollout.way)}")


def _summary(plan: Plan, account: Account, now: datetime) -> list[str]:
    rollout, old = account.rollout, account.old_version
    return [
        f"- Service: {said(plan.service)}, {account.environment}",
        f"- Version: {said(account.version)}, was to replace {said(old or 'nothing (first release)')}",
        f"- What happened: {said(rollout.reason)}",
        f"- Status: {said(status(account))}",
        f"- Times: {', '.join(_times(account, now))}",
        f"- Rollout: {rollout.run}, plan {rollout.plan}, started by {said(rollout.by or 'nobody who is on record')}",
    ]


def _times(account: Account, now: datetime) -> list[str]:
    """Say how long it took from the first bad answer to each thing that followed."""
    rollout, turned, tally = account.rollout, account.turned, account.tally
    since = tally.first_bad if tally else None
    if turned is None:
        return [UNKNOWN]
    times = []
    if since is not None and since <= turned.at:
        times.append(f"first failure counted to decision {lasting(turned.at - since)}")
    if zero := account.moved(back=True):
        times.append(f"decision to no traffic, observed {lasting(zero[0].at - turned.at)}")
    times.append(f"decision to {'end' if rollout.over else 'now'} {lasting(_until(rollout, now) - turned.at)}")
    return times


def _until(rollout: Rollout, now: datetime) -> datetime:
    return rollout.since if rollout.over else now


def _fired(account: Account) -> list[str]:
    cause, criteria = account.cause, account.rollout.stage.criteria
    if cause is None:
        return [f"- {said(account.rollout.reason)}"]
    by = "an agent's order" if cause.data.get("channel") == AGENTS else "a person's order"
    who = {"order": by, "failed": "a step that failed", "unsafe": "a finding of safety"}[cause.kind]
    step = "" if cause.step is None else f", at step {cause.place} ({said(str(cause.step))})"
    lines = [f"- {instant(cause.at)}, {who}{step}: {said(cause.text)}"]
    if cause.judgement is None or criteria is None:
        return lines
    lines += [
        f"- The judge rolls back at odds of {odds(1 / criteria.alpha)} against a release: a healthy one is taken back "
        f"with a probability of at most {percent(criteria.alpha)}, where a stable side runs beside it",
        "",
        *findings(cause),
    ]
    return lines


def timeline(accounts: Sequence[Account]) -> list[tuple[datetime, str]]:
    """Return all that happened in a run, by its journals and by what was counted, in order."""
    events: list[tuple[datetime, str]] = []
    for account in accounts:
        where = account.environment
        story = [one for one in account.story if not one.told_by_its_step]
        events += [(one.at, f"{where}: {'going back' if one.kind == 'turned' else one.text}") for one in story]
        if account.tally and account.tally.first_bad and account.tally.last_bad:
            sample = f"the end of the first sample with failed requests of {account.version}"
            events.append((account.tally.first_bad, f"{where}: {sample}"))
            events.append((account.tally.last_bad, f"{where}: {sample.replace('first', 'last')}"))
    return sorted(events, key=lambda event: event[0])


def _timeline(accounts: Sequence[Account]) -> list[str]:
    return [f"- {instant(at)} {said(text)}" for at, text in timeline(accounts)]


# --- blast radius


def _radius(account: Account) -> list[str]:
    if not account.rollout.exposed:
        return [f"- None: no user's request was ever sent to {said(account.version)}"]
    tally = account.tally
    if tally is None:
        return [f"- Requests: {UNKNOWN}, no counts are on record", f"- Users: {_users(account)}", *_exposure(account)]
    new = tally.canary
    return [
        f"- Failed requests: {count(new.failed)} of the {count(new.completed)} that {said(account.version)} answered "
        f"({rate(new)})",
        f"- Slowest: p99 of {said(account.version)} {p99(new)}, of {said(account.old_version or 'nothing')} beside it "
        f"{p99(account.beside)}",
        f"- Users: {_users(account)}",
        *_exposure(account),
        f"- Bad from first to last: {_bad_for(account)}",
        f"- {said(account.old_version or 'No other version')} meanwhile: {errors(account.beside)}",
        *cut([account]),
    ]


def _users(account: Account) -> str:
    """Say whom the new version may have reached: by its weight, and by the requests counted."""
    sticky = account.rollout.stage.entrance.sticky
    most = account.most
    if sticky.by is StickyBy.NOTHING:
        whom = f"at most {most} of the requests; each was assigned by itself, so that more users may have met it"
    else:
        whom = f"at most {most} of the users, assigned by {sticky.by.value} {said(sticky.name)}".rstrip()
    new, old = account.partly, account.beside
    if new is None or old is None or new.started + old.started <= 0:
        return f"{whom}; their share of the requests: {UNKNOWN}"
    return f"{whom}; {percent(new.started / (new.started + old.started))} of the requests while both sides had some"


def _exposure(account: Account) -> list[str]:
    there, back = account.moved(back=False), account.moved(back=True)
    if not there:
        return [f"- Exposed for: {UNKNOWN}, no weight was observed before it turned back"]
    if not back:
        return [f"- Exposed since {instant(there[0].at)}; that it has no traffic was not observed"]
    return [f"- Exposed for: {lasting(back[0].at - there[0].at)} (first weight observed, to no traffic observed)"]


def _bad_for(account: Account) -> str:
    tally, criteria = account.tally, account.rollout.stage.criteria
    if tally is None or tally.first_bad is None or tally.last_bad is None:
        return "no request of it failed" if tally else UNKNOWN
    every = f", by samples taken every {spell(criteria.sample_every)}" if criteria else ""
    span = max(timedelta(0), tally.last_bad - tally.first_bad)
    return f"{lasting(span)} ({instant(tally.first_bad)} to {instant(tally.last_bad)}{every})"


# --- afterwards


def _reverted(account: Account) -> list[str]:
    rollout = account.rollout
    done = [one for one in account.of_kind("done", "failed") if one.back]
    lines = [
        f"- {instant(one.at)}, {one.place}: {'FAILED: ' if one.kind == 'failed' else ''}{said(one.text)}"
        for one in done
    ]
    if not rollout.exposed:
        lines.insert(0, "- Traffic: there was nothing to take back, no route named the new revision")
    if rollout.phase is Phase.FAILED:
        lines.append(f"- **NOT VERIFIED**: {said(rollout.reason)}")
    tally = account.tally
    if tally is not None and account.old_version and tally.returned.completed > 0:
        after = f"error rate {errors(tally.returned)}, p99 {p99(tally.returned)}"
        lines.append(f"- {said(account.old_version)} with all the traffic again: {after}")
    return lines or ["- nothing yet"]


def _quarantine(account: Account) -> list[str]:
    release = account.rollout.stage.revision.release
    if not account.rollout.quarantine:
        return [f"- Not in quarantine: {said(release.version)} was not found to be at fault, and may be deployed again"]
    return [
        f"- {said(release.version)} (identity {release.identity}) was put in quarantine: a deployment of the same "
        "artefact with the same configuration stops at the gate",
        f"- To give it another chance: `interlock quarantine release {release.identity} --reason TEXT`",
    ]


def _questions(accounts: Sequence[Account], account: Account) -> list[str]:
    """Ask what no record can answer."""
    rollout, version = account.rollout, said(account.version)
    logs = f"(its instances' logs: `interlock logs {rollout.run}`)"
    questions = [] if resolution(account.story) else [f"Root cause: what in {version} is it? {logs}"]
    if rollout.phase is Phase.FAILED:
        questions.insert(0, f"Where is the traffic of {account.environment} now? The rollback could not be verified")
    passed = [one for one in accounts if one is not account and one.rollout.phase is Phase.SUCCEEDED]
    questions += [f"Why did {one.environment} not show it?" for one in passed]
    failed = account.tally.canary.failed if account.tally else None
    if failed is None and rollout.exposed:
        questions.append("How many requests failed? They were not counted")
    if failed:
        questions.append(f"Have the {count(failed)} failed requests left work half done, and are their users told?")
    if account.cut:
        questions.append(f"May the {len(account.cut)} requests that were cut be repeated?")
    if account.most != NONE and any(isinstance(step, SetWeight) for step in rollout.reached):
        questions.append(f"Has {version} written data that {said(account.old_version or 'an older one')} cannot read?")
    questions.append("Which test will catch it next time?")
    return [f"- [ ] {question}" for question in questions]
