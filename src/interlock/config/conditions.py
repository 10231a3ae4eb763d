"""What is declared under `gates`, in values of the core? Secrets are references still (see `Conditions.sealed`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from interlock.config.gates import (
    ApprovalsBlock,
    ChecksBlock,
    GatesBlock,
    IncidentsBlock,
    OnCallBlock,
    ReachBlock,
    WindowBlock,
)
from interlock.config.notify import absolute, webhook
from interlock.core import channel, checks, incidents, on_call
from interlock.core.approval import Policy
from interlock.core.checks import Checks
from interlock.core.conditions import Conditions
from interlock.core.incidents import Incidents, Mine
from interlock.core.on_call import OnCall
from interlock.core.window import Freeze, WhenClosed, Window


def conditions(block: GatesBlock, root: Path) -> Conditions:
    """Make the core's values; `root` is where relative paths begin."""
    return Conditions(
        tests=_checks(block.tests, root) if block.tests else None,
        incidents=_incidents(block.incidents, root) if block.incidents else None,
        window=_window(block.window, root) if block.window else None,
        on_call=_on_call(block.on_call, root) if block.on_call else None,
        approvals=_policy(block.approvals, root) if block.approvals else None,
    )


def _policy(block: ApprovalsBlock, root: Path) -> Policy:
    listed_in = str(root / block.signers)
    return Policy(listed_in, (), block.needed, block.not_author, block.valid_for)


def _checks(block: ChecksBlock, root: Path) -> Checks:
    return Checks(tuple(_check_sources(block, root)), block.timeout)


def _check_sources(block: ChecksBlock, root: Path) -> Iterator[checks.Source]:
    if hub := block.github:
        yield checks.GitHub(hub.repository, hub.url.rstrip("/"), absolute(hub.token, root), hub.required)
    if lab := block.gitlab:
        yield checks.GitLab(lab.project, lab.url.rstrip("/"), absolute(lab.token, root), lab.required)
    if block.junit:
        yield checks.JUnit(str(root / block.junit.path), block.junit.newer_than)
    if block.command:
        yield checks.Command(block.command, str(root))


def _incidents(block: IncidentsBlock, root: Path) -> Incidents:
    return Incidents(tuple(_incident_sources(block, root)), Mine(block.mine), block.timeout)


def _incident_sources(block: IncidentsBlock, root: Path) -> Iterator[incidents.Source]:
    if manager := block.alertmanager:
        token = absolute(manager.token, root)
        yield incidents.Alertmanager(manager.url.rstrip("/"), manager.matchers, manager.mine, token)
    if pager := block.pagerduty:
        token = absolute(pager.token, root)
        yield incidents.PagerDuty(pager.services, pager.mine, token, pager.url.rstrip("/"))
    if web := block.http:
        named = {name: getattr(web, name) for name in type(web).model_fields if name != "token"}
        yield incidents.Web(**named, token_secret=absolute(web.token, root))
    if block.file:
        yield incidents.Flagged(str(root / block.file))


def _window(block: WindowBlock, root: Path) -> Window:
    return Window(
        block.open,
        block.timezone,
        tuple(Freeze(one.first, one.last, one.why) for one in block.freezes),
        _feed(block.calendar, root),
        block.holidays,
        WhenClosed(block.when_closed),
        calendar_secret=_secret(block.calendar, root),
    )


def _on_call(block: OnCallBlock, root: Path) -> OnCall:
    reach = tuple(_reach(name, one, root) for name, one in sorted(block.reach.items()))
    return OnCall(_rota(block, root), block.acknowledge, block.within, reach=reach)


def _reach(name: str, block: ReachBlock, root: Path) -> on_call.Reach:
    ways: list[channel.Webhook | channel.Apprise] = []
    if block.apprise is not None:
        ways.append(channel.Apprise(absolute(block.apprise, root)))
    if block.webhook is not None:
        ways.append(webhook(block.webhook, root))
    return on_call.Reach(name, block.mail or "", tuple(ways))


def _rota(block: OnCallBlock, root: Path) -> on_call.Source:
    if pager := block.pagerduty:
        token = absolute(pager.token, root)
        return on_call.PagerDuty(pager.schedules, pager.policies, token, pager.url.rstrip("/"))
    if block.calendar:
        return on_call.Rota(_feed(block.calendar, root), block.timezone, _secret(block.calendar, root))
    return on_call.Roster(block.people, block.start, block.every)


def _feed(calendar: str, root: Path) -> str:
    """Return a feed's URL, or an absolute path; "" for one whose address is a secret."""
    if _secret(calendar, root):
        return ""
    return calendar if not calendar or "://" in calendar else str(root / calendar)


def _secret(calendar: str, root: Path) -> str:
    """Return the reference to a feed's address, where that is a secret."""
    return absolute(calendar, root) if calendar.startswith(("env:", "file:")) else ""
