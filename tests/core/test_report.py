"""Is all that happened in a run told, with its numbers, and nothing that is not on record?

The records are those of the real engine in a world in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.engine.stories import BAD, HASTY, Story, revision, stage, staging

from interlock.adapters.memory import Behaviour, run
from interlock.core.account import Account
from interlock.core.criteria import Criteria
from interlock.core.events import OrderKind
from interlock.core.incident import NoIncident, incident_report
from interlock.core.judge.words import count
from interlock.core.load import Recipe
from interlock.core.phase import Phase
from interlock.core.plan import Plan, StrategyName
from interlock.core.prose import LONGEST, bounded, lasting, success, table, words
from interlock.core.report import deployment_report
from interlock.core.sample import Side
from interlock.core.strategy import Pace
from interlock.core.weight import Weight

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    plan: Plan
    accounts: list[Account]

    @property
    def report(self) -> str:
        return deployment_report(self.plan, self.accounts, NOW)

    @property
    def incident(self) -> str:
        return incident_report(self.plan, self.accounts, NOW)


async def recorded(story: Story, run: str) -> Told:
    store = story.store
    rollouts = await store.run(run)
    plan = await store.plan(rollouts[0].plan)
    assert plan is not None
    accounts = [Account.of(r, await store.entries(r.id), await store.last_checkpoint(r.id)) for r in rollouts]
    return Told(plan, accounts)


async def deployed(story: Story, pace: Pace = HASTY, behaviour: Behaviour | None = None) -> str:
    old = await story.stands("v1")
    if behaviour is not None:
        story.world.behaviours["production-v2"] = behaviour
    new = stage(revision("v2"), old, StrategyName.CANARY, pace)
    return await story.deploy(staging("v2"), new)


async def has_users(story: Story, name: str) -> None:
    """Wait until production's first users are on the new version."""
    while (await story.store.run(name))[-1].stage.environment != "production":
        await story.world.sleep(timedelta(milliseconds=100))
    await story.reaches(name, Weight(2000))


def told(behaviour: Behaviour | None = None) -> Told:
    async def tale() -> Told:
        story = Story()
        name = await deployed(story, behaviour=behaviour)
        await story.ends(name)
        return await recorded(story, name)

    return run(tale())


def part(report: str, title: str) -> str:
    """The section with this title."""
    return report.split(f"### {title}\n")[1].split("\n### ")[0]


def test_a_good_release_is_told_in_the_usual_form() -> None:
    report = told().report
    assert report.startswith("## Deployment Report\n\n### Summary\n- Service: shop\n- Version: v1 → v2\n")
    titles = [line[4:] for line in report.splitlines() if line.startswith("### ")]
    assert titles[:4] == ["Summary", "Deployment Steps", "Metrics", "Feature Flags"]
    summary = part(report, "Summary")
    assert "- Status: SUCCESS\n" in summary
    assert "blue-green in staging, then canary by 20 %, 100 % in production" in summary
    assert "- none are part of this release" in part(report, "Feature Flags")


def test_every_line_of_both_journals_is_a_numbered_step_with_its_time() -> None:
    it = told()
    steps = part(it.report, "Deployment Steps").strip().splitlines()
    assert len(steps) == 1 + sum(len(account.story) for account in it.accounts)
    assert [line.split(".")[0] for line in steps] == [str(number) for number in range(1, len(steps) + 1)]
    assert all(" UTC] - " in line for line in steps)
    text = "\n".join(steps)
    assert "staging: " in text and "production: " in text and "weight 20 %: observed" in text


def test_the_metrics_are_those_of_production_before_and_after() -> None:
    it = told()
    tally = it.accounts[-1].tally
    assert tally is not None and tally.last.completed > 0 and tally.canary.failed == 0
    metrics = part(it.report, "Metrics")
    assert f"→ 0 % (0 of {count(tally.last.completed)} requests)" in metrics
    assert f"100 % ({count(tally.canary.completed)} of {count(tally.canary.completed)} requests) of v2" in metrics
    assert " ms → " in metrics


def test_each_verdict_is_told_with_counts_estimate_limit_and_odds() -> None:
    evidence = part(told().report, "Evidence")
    assert "staging: health and smoke tests are the evidence" in evidence
    assert "rolled back at odds of 100 to 1" in evidence and "proven at 20 to 1" in evidence
    assert "watch 10 s, until proven: pass" in evidence
    assert "| error-rate | pass | 0 of " in evidence and "| 1 % |" in evidence


def test_the_old_revision_s_last_requests_are_counted_before_it_is_forgotten() -> None:
    it = told()
    tally = it.accounts[-1].tally
    assert tally is not None
    assert tally.stable.started == tally.stable.completed > 0


def test_a_bad_release_has_a_report_of_its_rollback_and_an_incident_report() -> None:
    it = told(BAD)
    assert "- Status: ROLLBACK in production: " in it.report
    metrics = part(it.report, "Metrics")
    assert "after is v1 with all the traffic again" in metrics and metrics.count("not measured") == 0
    incident = it.incident
    assert incident.startswith("## Incident Report\n")
    assert "taken back and verified: production runs v1 again" in part(incident, "Summary")


def test_what_fired_is_told_with_its_numbers() -> None:
    it = told(BAD)
    fired = part(it.incident, "What fired")
    cause = it.accounts[-1].cause
    assert cause is not None and cause.judgement is not None and cause.judgement.verdict.value == "fail"
    worst = cause.judgement.findings[0]
    assert f"{count(worst.canary_bad)} of {count(worst.canary_requests)}" in fired
    assert f"| {worst.rule} | fail |" in fired and "| inconclusive |" in fired
    assert "100 to 1" in fired


def test_the_blast_radius_is_counted_in_requests_seconds_and_users() -> None:
    it = told(BAD)
    account = it.accounts[-1]
    assert account.tally is not None and account.tally.canary.failed > 0
    radius = part(it.incident, "Blast radius")
    new = account.tally.canary
    assert f"- Failed requests: {count(new.failed)} of the {count(new.completed)} that v2 answered" in radius
    assert "at most 20 % of the requests; each was assigned by itself" in radius
    there, back = account.moved(back=False)[0], account.moved(back=True)[0]
    assert f"- Exposed for: {lasting(back.at - there.at)} " in radius
    assert "- Bad from first to last: " in radius and "samples taken every 5 s" in radius
    assert "- Requests cut by ending an instance: none" in radius


def test_what_was_reverted_is_told_with_how_it_was_verified() -> None:
    it = told(BAD)
    reverted = part(it.incident, "What was reverted, and how that was verified")
    assert "traffic back on production-v1: observed" in reverted
    assert "watch until back to normal for 10 s: healthy" in reverted
    assert "v1 with all the traffic again: " in reverted


def test_a_quarantined_release_s_way_out_is_told() -> None:
    it = told(BAD)
    identity = it.accounts[-1].rollout.stage.revision.release.identity
    assert f"interlock quarantine release {identity} --reason TEXT" in part(it.incident, "Quarantine")


def test_open_questions_are_asked_and_not_answered() -> None:
    questions = part(told(BAD).incident, "Open questions").strip().splitlines()
    assert all(line.startswith("- [ ] ") for line in questions)
    assert "Root cause" in questions[0]
    assert any("Why did staging not show it?" in line for line in questions)


def test_a_good_release_has_no_incident_report() -> None:
    with pytest.raises(NoIncident, match="nothing was taken back"):
        _ = told().incident


def test_a_release_that_reached_nobody_says_so_and_asks_nothing_of_users() -> None:
    async def tale() -> Told:
        story = Story()
        old = await story.stands("v1")
        story.world.behaviours["staging-v2"] = Behaviour(launches=False)
        name = await story.deploy(staging("v2"), stage(revision("v2"), old))
        await story.ends(name)
        return await recorded(story, name)

    it = run(tale())
    assert "- None: no user's request was ever sent to v2" in part(it.incident, "Blast radius")
    assert "production was not reached" in part(it.report, "Metrics")
    assert "failed requests" not in part(it.incident, "Open questions")


def test_a_step_that_a_person_ended_without_proof_is_loud_and_names_them() -> None:
    async def tale() -> Told:
        story = Story()
        name = await deployed(story, replace(HASTY, first_bake=timedelta(minutes=5)))
        await has_users(story, name)
        await story.world.sleep(timedelta(seconds=3))
        await story.order(name, OrderKind.PROMOTE, reason="we are in a hurry")
        await story.ends(name)
        return await recorded(story, name)

    it = run(tale())
    assert "advanced unproven by ada: we are in a hurry" in part(it.report, "ADVANCED UNPROVEN")
    assert "inconclusive" in part(it.report, "Evidence")


def test_an_approval_is_told_with_who_what_and_why() -> None:
    async def tale() -> Told:
        story = Story()
        name = await deployed(story, replace(HASTY, approve=True))
        while (await story.store.run(name))[-1].phase is not Phase.WAITING:
            await story.world.sleep(timedelta(milliseconds=100))
        await story.order(name, OrderKind.APPROVE, reason="looks good")
        await story.ends(name)
        return await recorded(story, name)

    it = run(tale())
    approvals = part(it.report, "Approvals")
    release = it.accounts[-1].rollout.stage.revision.release
    assert f"ada approved release {release.identity} under plan {it.plan.hash}: looks good" in approvals


def test_an_aborted_rollout_names_who_aborted_and_quarantines_nothing() -> None:
    async def tale() -> Told:
        story = Story()
        name = await deployed(story)
        await has_users(story, name)
        await story.order(name, OrderKind.ABORT, reason="wrong branch")
        await story.ends(name)
        return await recorded(story, name)

    it = run(tale())
    assert "aborted by ada: wrong branch" in part(it.incident, "What fired")
    assert "a person's order" in part(it.incident, "What fired")
    assert "Not in quarantine" in part(it.incident, "Quarantine")


def test_what_was_not_counted_is_not_measured() -> None:
    it = told(BAD)
    blind = Told(it.plan, [replace(account, tally=None) for account in it.accounts])
    for text in (part(blind.report, "Metrics"), part(blind.incident, "Blast radius")):
        assert "not measured" in text
    assert "How many requests failed? They were not counted" in blind.incident


def test_a_checkpoint_of_another_version_is_as_none() -> None:
    account = told().accounts[-1]
    other = {"tally": {"kind": "Tally", "unheard_of": 1}}
    assert Account.of(account.rollout, account.story, other).tally is None


def test_a_run_under_way_is_told_as_far_as_it_got() -> None:
    async def tale() -> Told:
        story = Story()
        name = await deployed(story)
        await has_users(story, name)
        return await recorded(story, name)

    summary = part(run(tale()).report, "Summary")
    assert "- Status: UNDER WAY: " in summary and "not over yet" in summary


def test_plan_release_and_artefact_are_named() -> None:
    it = told()
    released = part(it.report, "What was released")
    for stage_ in it.plan.stages:
        assert stage_.revision.release.identity in released
        assert stage_.revision.release.artefact.digest in released
    assert it.plan.hash in released


def test_other_people_s_words_cannot_become_the_report_s_structure() -> None:
    assert words("a\n### b") == "a ### b"
    assert words("<!-- gone") == "&lt;!-- gone"
    assert words("`x` < 5") == "'x' < 5"
    assert len(words("x" * 5000)) < 2100
    assert table(("a",), [("b|c",)])[-1] == "| b\\|c |"


def test_a_report_that_is_too_long_is_cut_off_and_says_so() -> None:
    report = bounded(["é" * 99 for _ in range(10_000)], "`interlock logs shop-1`")
    assert len(report.encode()) <= LONGEST
    assert report.endswith("**Cut off here at 900 KB; the rest: `interlock logs shop-1`**\n")


def test_a_success_rate_is_never_rounded_up_to_all() -> None:
    assert success(Side(completed=10_000_000, failed=1)).startswith("99.99999 %")
    assert success(Side(completed=10, failed=0)) == "100 % (10 of 10 requests)"
    assert success(Side()) == success(None) == "not measured"


def test_a_first_release_came_from_nothing_and_may_go_back_to_nothing() -> None:
    async def tale() -> tuple[Told, Told]:
        good, bad = Story(), Story()
        one = await good.deploy(staging("v1"), stage(revision("v1"), None, pace=HASTY))
        await good.ends(one)
        bad.world.behaviours["production-v1"] = BAD
        two = await bad.deploy(staging("v1"), stage(revision("v1"), None, pace=HASTY, criteria=Criteria()))
        await bad.ends(two)
        return await recorded(good, one), await recorded(bad, two)

    good, bad = run(tale())
    assert "- Version: nothing (first release) → v1" in good.report
    assert "runs nothing, it answers 503" in part(bad.incident, "Summary")


LOADED = replace(HASTY, load=Recipe(requests=2000), load_before=(Weight(2000),))


def with_load(behaviour: Behaviour | None = None) -> Told:
    async def tale() -> Told:
        story = Story()
        story.world.requests_per_second = 0.5
        name = await deployed(story, LOADED, behaviour)
        await story.ends(name)
        return await recorded(story, name)

    return run(tale())


def test_what_load_proved_is_said_loudly_and_counted_apart() -> None:
    report = with_load().report
    loud = part(report, "PROVEN BY SYNTHETIC LOAD, NOT BY USERS")
    assert "until proven) proven by synthetic load, not by users: 0 of 2,000 synthetic requests failed" in loud
    apart = part(report, "Synthetic load")
    assert "| production | v2 | 2,000 | 0 |" in apart and "| production | v1 | 2,000 | 0 |" in apart
    assert "2,000" not in part(report, "Requests by version")


def test_what_load_found_harmed_no_user() -> None:
    condemned = with_load(BAD)
    assert "of synthetic requests: " in condemned.report
    assert part(condemned.report, "Synthetic load")
    assert "None: no user's request was ever sent to v2" in part(condemned.incident, "Blast radius")
