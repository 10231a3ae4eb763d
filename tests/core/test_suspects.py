"""Is what may have caused an incident collected, in order, and without any secret?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.core.test_report import Told, part, recorded
from tests.engine.stories import BAD, HASTY, Story, revision, stage, staging

from interlock.adapters.memory import run
from interlock.core import facts
from interlock.core.account import Account
from interlock.core.conditions import Conditions, Override
from interlock.core.events import OrderKind
from interlock.core.flag import FlagState
from interlock.core.incident import incident_report, is_incident
from interlock.core.phase import Phase
from interlock.core.record import plain
from interlock.core.release import Artefact, Configuration
from interlock.core.report import deployment_report
from interlock.core.steps import GateName
from interlock.core.suspects import Commits, Found, between, changed, repository_commit, unready, written
from interlock.ports.store import Entry

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AT = datetime(2029, 1, 1, tzinfo=UTC)


def told(*entries: Entry, order: OrderKind | None = None) -> Told:
    """A release that was taken back (by a person's order if one is named), with more lines in its journal."""

    async def tale() -> Told:
        story = Story()
        old = await story.stands("v1")
        if order is None:
            story.world.behaviours["production-v2"] = BAD
        name = await story.deploy(staging("v2"), stage(revision("v2"), old, pace=HASTY))
        if order is not None:
            await story.world.sleep(timedelta(seconds=9))
            await story.order(name, order)
        ended = await story.ends(name)
        await story.store.note(ended.id, entries)
        return await recorded(story, name)

    return run(tale())


def incident(it: Told, found: Found | None = None) -> str:
    return incident_report(it.plan, it.accounts, NOW, found, "12:" + "b" * 64)


def test_settings_that_differ_are_named_and_their_values_never() -> None:
    old = Configuration(("serve",), 2, (("GREETING", "hello"), ("GONE", "x")), (("TOKEN", "f1"), ("SAME", "f2")))
    new = replace(old, instances=3, environment=(("GREETING", "hush"), ("NEW", "y")), secrets=(("TOKEN", "f9"),))
    new = replace(new, readiness=replace(old.readiness, path="/well"))
    assert changed(old, new) == (
        ("env.GONE", "removed"),
        ("env.GREETING", "changed"),
        ("env.NEW", "added"),
        ("instances", "changed"),
        ("readiness.path", "changed"),
        ("secrets.SAME", "removed"),
        ("secrets.TOKEN", "changed"),
    )
    assert changed(new, new) == ()
    assert ("instances", "added") in changed(None, new)


@pytest.mark.parametrize(
    ("source", "commit"),
    [("git 1a2b3c4", "1a2b3c4"), ("directory app", None), ("git --output=x", None), ("git main", None)],
)
def test_a_release_made_from_git_names_its_commit(source: str, commit: str | None) -> None:
    assert repository_commit(Artefact("sha256:x", source)) == commit


def test_the_report_lists_commits_log_and_the_first_bad_request_against_each_step() -> None:
    it = told()
    commits = Commits("1a2b3c4", "5d6e7f8", ("5d6e7f8 Make it faster", "9999999 <b>Bold</b> `x`"), 7)
    text = part(incident(it, Found(commits, ("boom", "\x1b[31mred\x1b[0m", "```` end"))), "Suspects")
    assert "- 5d6e7f8 Make it faster" in text and "&lt;b>Bold" in text
    assert "- and 7 more: `git log --oneline 1a2b3c4..5d6e7f8`" in text
    assert "- none: the configuration is the same" in text
    assert "\nboom\nred\n" in text
    gaps = {one.place: gap for one, gap in between(it.accounts[-1])}
    assert any(gap > timedelta(0) for gap in gaps.values())
    assert "First counted by" in text and " after it |" in text


def test_a_line_of_a_log_ends_no_block_and_moves_no_cursor() -> None:
    assert written("a\x1b[2Jb\x07c\rd") == "abcd"
    assert "```" not in written("`````` x")
    assert len(written("x" * 5000)) < 1100


def test_what_readiness_said_of_instances_is_told_once() -> None:
    why = "instance 0: GET /ready answered 503: database is down"
    text = f"start 2 instances of production-v2: after 1 min: 1 of 2 instances ready ({why})"
    it = told(Entry(AT, "held", text, {}), Entry(AT, "held", text, {}))
    assert [reason for _, reason in unready(it.accounts[-1])] == [why]
    assert f"UTC {why}" in part(incident(it), "Suspects")


def test_what_others_write_into_the_journal_appears_in_both_reports() -> None:
    since = "2028-12-31T23:50:00+00:00"
    off, on = plain(FlagState(False, 5)), plain(FlagState(True, 5))
    flag = {"flag": "new-checkout", "before": off, "now": on, "index": 3}
    lines = (
        Entry(AT, "gate", "tests have passed", {"gate": "tests-passed", "open": True, "by": "ci"}),
        Entry(AT, "alert", "active: HighErrorRate of shop", {"alert": {"id": "a", "since": since}}),
        Entry(AT, "approved", "approved by grace with her key", {"by": "grace", "channel": "signed link"}),
        Entry(AT, "override", "window overridden by ada: the shop is on fire", {"by": "ada"}),
        Entry(AT, "told", "on call was told: linus", {"channel": "pagerduty"}),
        Entry(AT, "flag", "new-checkout: enabled at 5%", flag),
    )
    it = told(*lines)
    report, bad = deployment_report(it.plan, it.accounts, NOW, "12:" + "b" * 64), incident(it)
    assert "| production | tests-passed | open | tests have passed |" in part(report, "Gates")
    assert "| production | rollback-ready | open | production-v1 (v1) is ready" in part(report, "Gates")
    assert "approved by grace with her key" in part(report, "Approvals")
    assert "- new-checkout: enabled at 5% (production; before: disabled at 5%)" in part(report, "Feature Flags")
    for text in (report, bad):
        assert "active: HighErrorRate of shop" in part(text, "Alerts")
        assert "(since 2028-12-31 23:50:00 UTC)" in part(text, "Alerts")
        assert "**BREAK-GLASS: 2029-01-01 00:00:00.00 UTC, production: window overridden by ada" in part(
            text, "EXCEPTIONS"
        )
        assert "on call was told: linus (by pagerduty)" in part(text, "People")
        assert "started by ada" in part(text, "People")
        assert "Audit head: 12:" + "b" * 64 in part(text, "Summary")
    document = facts.deployment(it.plan, it.accounts, NOW)
    assert [one["text"] for one in document["alerts"]] == ["active: HighErrorRate of shop"]
    assert document["flags"][0]["flag"] == "new-checkout" and document["flags"][0]["now"]["exposure"] == 5


def test_where_nothing_was_written_a_report_says_so_and_has_no_exceptions() -> None:
    report = told().report
    assert part(report, "Alerts").strip() == "- none is on record"
    assert "EXCEPTIONS" not in report and "Audit head" not in report


def test_an_override_in_the_plan_is_an_exception_too() -> None:
    it = told()
    account = it.accounts[-1]
    word = Override(GateName.WINDOW, "ada", "the shop is on fire", AT)
    planned = replace(account.rollout.stage, conditions=Conditions(overrides=(word,)))
    accounts = [*it.accounts[:-1], replace(account, rollout=replace(account.rollout, stage=planned))]
    report = deployment_report(it.plan, accounts, NOW)
    assert "gate window overridden by ada: the shop is on fire**" in part(report, "EXCEPTIONS")


def test_an_abort_is_an_incident_and_making_way_for_a_newer_release_is_none() -> None:
    aborted = told(order=OrderKind.ABORT)
    assert is_incident(aborted.accounts[-1].rollout)
    superseded: Account = told(order=OrderKind.SUPERSEDE).accounts[-1]
    assert superseded.rollout.going_back and not is_incident(superseded.rollout)
    refused = replace(aborted.accounts[-1].rollout, turned_at=0, phase=Phase.ROLLED_BACK)
    assert not refused.exposed and not is_incident(refused), "a gate stayed closed, say"
    assert is_incident(replace(refused, quarantine=True)) and is_incident(replace(refused, phase=Phase.FAILED))
    assert "none is asked for: it made way for a newer release" in incident_report(aborted.plan, [superseded], NOW), (
        "its report is written all the same"
    )
