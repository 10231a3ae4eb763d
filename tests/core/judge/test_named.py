"""Are bad events that the user names judged like failures, and is a metric that is not seen never a zero?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import nan

import pytest

from interlock.core.criteria import Control, Criteria
from interlock.core.judge import (
    Baseline,
    Evidence,
    Judgement,
    Verdict,
    begin,
    decide,
    decode,
    encode,
    judge,
    observe,
    step,
)
from interlock.core.judge.verdict import odds_against, shares
from interlock.core.metric import Metric, Ratio, Series
from interlock.core.sample import Events, Sample, Side

EVENTS = Ratio(Series("failures_total"), Series("checkouts_total"))
CHECKOUTS = Metric("failed-checkouts", 0.01, EVENTS)
CRITERIA = Criteria(metrics=(CHECKOUTS,), latency_p99=timedelta(milliseconds=500))
EVERY = timedelta(seconds=5)


def side(requests: float, events: Events | None, why: str = "", failed: float = 0) -> Side:
    """Requests, all of them quick, and what the application says of its checkouts."""
    named = {} if events is None else {CHECKOUTS.name: events}
    unseen = {CHECKOUTS.name: why} if why else {}
    return Side(requests, requests, failed, {100.0: requests, 500.0: 0.0, 1000.0: 0.0}, named=named, unseen=unseen)


def play(evidence: Evidence, samples: int, canary: Side | None, stable: Side | None = None) -> Evidence:
    """Feed the same sample again and again, until it fails."""
    for _ in range(samples):
        at = (evidence.sight.monotonic or 0.0) + EVERY.total_seconds()
        evidence = observe(evidence, Sample(at, EVERY, canary, stable), concurrent=stable is not None)
        if decide(evidence) is Verdict.FAIL:
            break
    return evidence


def start(criteria: Criteria = CRITERIA) -> Evidence:
    return begin(criteria, 90)


GOOD, STABLE = side(100, Events(50, 0)), side(900, Events(450, 1))


def finding(judgement: Judgement, rule: str = CHECKOUTS.name) -> str:
    return next(one.text for one in judgement.findings if one.rule == rule)


# Failing and passing


def test_a_release_whose_checkouts_fail_at_status_200_is_taken_back_and_named() -> None:
    judgement = judge(play(start(), 30, side(100, Events(50, 10)), STABLE))
    assert judgement.verdict is Verdict.FAIL
    first = judgement.findings[0]
    assert first.rule == CHECKOUTS.name and first.verdict is Verdict.FAIL
    assert "failures_total of checkouts_total" in first.text and "1 % is allowed" in first.text
    assert [one.verdict for one in judgement.findings[1:] if one.verdict is Verdict.FAIL] == []


def test_a_release_passes_when_requests_and_checkouts_are_both_proven() -> None:
    judgement = judge(play(start(), 30, GOOD, STABLE))
    assert judgement.verdict is Verdict.PASS
    assert {one.rule: one.verdict for one in judgement.findings}[CHECKOUTS.name] is Verdict.PASS


def test_checkouts_that_fail_on_both_sides_alike_are_not_blamed_on_the_canary() -> None:
    evidence = play(start(), 200, side(100, Events(50, 5)), side(900, Events(450, 45)))
    assert judge(evidence).verdict is Verdict.INCONCLUSIVE
    assert "over the limit of a calm canary" in judge(evidence).missing


def test_too_few_checkouts_prove_nothing_and_the_number_missing_is_said() -> None:
    judgement = judge(play(start(), 30, side(100, Events(1, 0)), side(900, Events(9, 0))))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "more canary events of failed-checkouts" in judgement.missing
    assert "canary requests" not in judgement.missing


def test_a_weight_step_keeps_what_is_against_and_restarts_what_is_for() -> None:
    before = play(start(), 30, GOOD, STABLE)
    after = step(before)
    assert odds_against(after) == odds_against(before)
    assert after.named[0].stream.odds_for == pytest.approx(1.0)
    assert decide(after) is Verdict.INCONCLUSIVE


def test_a_warm_up_does_not_weigh_checkouts() -> None:
    warming = start(replace(CRITERIA, warm_up=timedelta(seconds=60)))
    evidence = play(warming, 12, side(100, Events(50, 25)), STABLE)
    assert evidence.named[0].odds_against == 1.0


# Seeing


def test_a_metric_that_was_never_seen_forbids_a_pass_and_says_why() -> None:
    evidence = play(start(), 60, side(100, None, "instance 1: it has no checkouts_total"), STABLE)
    judgement = judge(evidence)
    assert judgement.verdict is Verdict.INCONCLUSIVE and not judgement.blind
    assert "failed-checkouts of the canary has not been seen yet: instance 1: it has no" in judgement.missing
    assert "not seen: instance 1" in finding(judgement)


@pytest.mark.parametrize("events", [None, Events(nan, 0), Events(50, nan)])
def test_a_proof_does_not_survive_a_metric_that_is_not_seen_any_more(events: Events | None) -> None:
    proven = play(start(), 30, GOOD, STABLE)
    assert decide(proven) is Verdict.PASS
    blind = play(proven, 13, side(100, events), STABLE)
    assert decide(blind) is Verdict.INCONCLUSIVE
    assert "has not been seen for 65 s" in judge(blind).missing
    assert decide(play(blind, 1, GOOD, STABLE)) is Verdict.PASS


def test_one_instance_of_three_that_does_not_show_the_metric_forbids_a_pass() -> None:
    evidence = play(start(), 30, side(100, Events(30, 0), "instance 2: no answer"), STABLE)
    assert evidence.named[0].stream.proven
    assert decide(evidence) is Verdict.INCONCLUSIVE
    assert "instance 2: no answer" in judge(evidence).missing


def test_a_metric_that_is_new_in_this_version_is_judged_by_its_limit_alone() -> None:
    """Stable does not have it, so there is nothing to compare with."""
    old = side(900, None, "instance 0: it has no checkouts_total")
    assert decide(play(start(), 60, GOOD, old)) is Verdict.PASS
    bad = play(start(), 60, side(100, Events(50, 10)), old)
    assert decide(bad) is Verdict.FAIL
    assert "no concurrent control" in finding(judge(bad))


def test_bad_events_that_are_counted_before_what_they_belong_to_are_carried_over() -> None:
    evidence = play(start(), 1, side(100, Events(0, 3)), STABLE)
    evidence = play(evidence, 1, side(100, Events(50, 0)), STABLE)
    assert evidence.named[0].stream.total.bad == 3


# Weights


def test_with_named_metrics_all_weights_still_sum_to_one() -> None:
    for weights in ((1.0,), (0.5, 2.0), (1.0,) * 9):
        metrics = tuple(Metric(f"m{i}", 0.01, EVENTS, weight) for i, weight in enumerate(weights))
        fresh = start(replace(CRITERIA, metrics=metrics))
        assert odds_against(fresh) == pytest.approx(1.0)
        assert sum(shares(fresh).values()) == pytest.approx(1.0)
        assert len(shares(fresh)) == 3 + len(weights)


def test_a_metric_of_twice_the_weight_has_twice_the_part() -> None:
    metrics = (Metric("one", 0.01, EVENTS), Metric("two", 0.01, EVENTS, 2.0))
    parts = shares(start(replace(CRITERIA, metrics=metrics)))
    assert parts["two"] == pytest.approx(2 * parts["one"]) and parts["one"] == pytest.approx(parts["latency-p99"])


def test_without_a_named_metric_the_odds_are_to_the_last_bit_what_they_were() -> None:
    evidence = play(start(replace(CRITERIA, metrics=())), 10, side(100, None, failed=3), side(900, None, failed=4))
    errors, outage = evidence.errors.odds_against(True), min(evidence.catastrophe.odds, evidence.errors.relative.odds)
    assert evidence.latency is not None
    assert odds_against(evidence) == 0.55 * errors + 0.02 * outage + 0.43 * evidence.latency.stream.odds_against(True)


def test_evidence_on_named_metrics_comes_back_bit_for_bit() -> None:
    evidence = play(start(), 7, side(100, Events(50, 1), "instance 2: no answer"), STABLE)
    again = decode(encode(evidence), CRITERIA)
    assert again == evidence
    assert odds_against(play(again, 5, GOOD, STABLE)) == odds_against(play(evidence, 5, GOOD, STABLE))


# The baseline


@pytest.mark.parametrize(
    ("baseline", "words"),
    [(Control.HISTORY, "baseline is stable's last 60 min"), (Control.FIXED, "baseline is the fixed limits alone")],
)
def test_another_baseline_than_stable_is_said_in_every_finding(baseline: Control, words: str) -> None:
    evidence = play(start(replace(CRITERIA, baseline=baseline)), 30, GOOD, STABLE)
    judgement = judge(evidence)
    assert all(words in one.text and "no concurrent control" in one.text for one in judgement.findings)
    assert judgement.verdict is Verdict.PASS


@pytest.mark.parametrize("baseline", [Control.HISTORY, Control.FIXED])
def test_without_stable_beside_it_a_shared_incident_takes_the_release_back(baseline: Control) -> None:
    both = (side(100, Events(50, 0), failed=6), side(900, Events(450, 0), failed=54))
    assert decide(play(start(), 100, *both)) is not Verdict.FAIL
    assert decide(play(start(replace(CRITERIA, baseline=baseline)), 100, *both)) is Verdict.FAIL


def test_the_history_is_what_slow_answers_are_compared_with_and_fixed_limits_are_not() -> None:
    calm = sum((Baseline.of(side(900, None)) for _ in range(3)), Baseline())
    learnt = begin(replace(CRITERIA, latency_p99=None, baseline=Control.HISTORY), 90, history=calm)
    assert learnt.history is calm
    assert begin(replace(CRITERIA, baseline=Control.FIXED), 90, history=calm).history is None
