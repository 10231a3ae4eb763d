"""Does the judge fall into what other judges of canaries have fallen into? The traps that are tested elsewhere:

- sum, then subtract: `test_sample.py::test_a_replaced_instance_does_not_look_like_a_reset_of_the_sum`,
  `test_samples.py::test_a_replaced_source_does_not_look_like_a_reset_of_the_sum`
- the same time stamp twice, a sample out of order: `test_judge.py::test_a_sample_told_twice_or_late_is_ignored`
- a step that forgets or proves: `test_judge.py::test_a_step_keeps_the_evidence_against_and_restarts_the_evidence_for`
- a restart that counts twice: `test_judge.py::test_stored_and_restored_evidence_decides_bit_for_bit_the_same`,
  `test_samples.py::test_a_crash_between_two_readings_changes_nothing`
- layouts that differ: `test_judge.py::test_a_canary_with_other_edges_is_judged_on_its_own_edge_or_not_at_all`
- a canary that poisons both sides: `test_judge.py::test_a_canary_that_poisons_both_sides_is_taken_back_after_…`
- hidden retries, counted in the same way for both sides by Envoy's counters:
  `test_envoy_metrics.py::test_a_try_that_a_retry_has_hidden_is_a_failure`
- alpha for each metric: `test_judge.py::test_odds_begin_at_one_because_weights_sum_to_one`,
  `test_named.py::test_with_named_metrics_all_weights_still_sum_to_one`

And weaknesses that a judge of this kind may have:

- a proof of latency that never forgets: `test_judge.py::test_a_proof_of_latency_is_forgotten_when_answers_get_slow`,
  `…::test_a_slow_leak_within_one_long_step_is_not_passed`
- sides out of phase: `test_judge.py::test_sides_that_report_in_turns_are_compared`
- errors in rare bursts: `test_judge.py::test_errors_in_rare_bursts_of_the_canary_are_found_within_half_an_hour`
- bursts that both share: `test_judge.py::test_after_bursts_that_both_sides_share_a_healthy_canary_is_proven`
- hanging as silence: `test_judge.py::test_a_canary_that_hangs_fails_within_its_patience_and_one_sample`,
  `test_samples.py::test_requests_in_flight_across_readings_make_a_hang`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import comb, exp, lgamma

import pytest
from tests.core.examples import canary_stage

from interlock.core.criteria import Criteria
from interlock.core.events import Done, Event, Failed, Held, Observed, Order, OrderKind, Unsafe
from interlock.core.judge import Baseline, Evidence, Verdict, begin, decide, decode, encode, judge, observe
from interlock.core.judge.bets import absolute
from interlock.core.judge.verdict import odds_against
from interlock.core.metric import Metric, Ratio, Series
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.rollout import begin as begin_rollout
from interlock.core.sample import Counters, Reading, Sample, Side, difference
from interlock.core.transitions import Refused, advance

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERY = timedelta(seconds=5)
STABLE = Side(950, 950, 5)


def play(evidence: Evidence, samples: int, canary: Side, stable: Side = STABLE) -> Evidence:
    for _ in range(samples):
        at = (evidence.sight.monotonic or 0.0) + 5.0
        evidence = observe(evidence, Sample(at, EVERY, canary, stable), concurrent=True)
    return evidence


# Trap 36: criteria that change while a rollout is under way


@pytest.mark.parametrize(
    "others",
    [
        {"error_rate": 0.02},
        {"alpha": 0.05},
        {"latency_p99": timedelta(seconds=1)},
        {"metrics": (Metric("m", 0.01, Ratio(Series("b"), Series("a"))),)},
    ],
    ids=lambda others: next(iter(others)),
)
def test_evidence_gathered_under_other_criteria_is_never_gone_on_with(others: dict[str, object]) -> None:
    stored = encode(play(begin(Criteria(), 90), 10, Side(100, 100, 3)))
    assert decode(stored, Criteria()).criteria == Criteria()
    with pytest.raises(ValueError, match="other criteria"):
        decode(stored, replace(Criteria(), **others))  # type: ignore[arg-type]


def test_nothing_that_happens_to_a_rollout_changes_the_criteria_it_is_judged_by() -> None:
    """They are part of its plan: whatever comes, at whatever step, the same plan is gone on with, or gone back by."""
    for index in range(len(canary_stage().steps)):
        for event in happenings(index):
            before = replace(begin_rollout("1", "run", "plan", canary_stage(), AT), index=index)
            with suppress(Refused):
                after = advance(before, event)
                assert after.stage is before.stage and after.plan == before.plan


def happenings(index: int) -> Iterator[Event]:
    yield from (Done(AT, index), Failed(AT, index, "x"), Held(AT, index, "x"), Observed(AT, index, EVERY))
    yield Unsafe(AT, "x", quarantine=True)
    yield from (Order(AT, kind, "ada", str(kind), index=index, phase=Phase.PROGRESSING) for kind in OrderKind)


def test_to_deploy_the_same_release_under_other_criteria_is_another_plan() -> None:
    stage = canary_stage()
    other = replace(stage, criteria=Criteria(error_rate=0.02))
    plans = [Plan("shop", "v2", (one,), AT) for one in (stage, other)]
    assert plans[0].hash != plans[1].hash and stage.revision.release.identity == other.revision.release.identity


# Trap 37: clustering that the sum over many instances hides


def beta_binomial(n: int, k: int, rate: float, correlation: float) -> float:
    """How probable k bad ones of n requests are that go together with this correlation."""
    if correlation == 0:
        return comb(n, k) * rate**k * (1 - rate) ** (n - k)
    a, b = rate * (1 / correlation - 1), (1 - rate) * (1 / correlation - 1)
    return comb(n, k) * exp(_log_beta(k + a, n - k + b) - _log_beta(a, b))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


@pytest.mark.parametrize("correlation", [0.0, 0.03, 0.3, 0.9])
@pytest.mark.parametrize("n", [1, 7, 60])
def test_however_a_canarys_failures_cluster_the_odds_do_not_grow_at_the_limit(n: int, correlation: float) -> None:
    """Stable's sum over nineteen instances looks nineteen times as smooth as one instance is."""
    means = [0.0] * 6
    for k in range(n + 1):
        chance = beta_binomial(n, k, 0.01, correlation)
        means = [mean + chance * factor for mean, factor in zip(means, absolute((0.01,), n, (k,)), strict=True)]
    assert means == pytest.approx([1.0] * 6)


def test_bursts_on_the_one_instance_of_the_canary_do_not_take_it_back_while_stables_sum_is_smooth() -> None:
    smooth = sum((Baseline.of(STABLE) for _ in range(60)), Baseline())
    evidence = begin(Criteria(), 180, history=smooth)
    for _ in range(6):
        evidence = play(evidence, 1, Side(50, 50, 13))
        evidence = play(evidence, 29, Side(50, 50, 0))
        assert decide(evidence) is not Verdict.FAIL


# Trap 38: retries that are counted on one side only


def test_retries_that_both_sides_have_are_counted_on_both_and_blame_nobody() -> None:
    """A hidden try is a completed and a failed request on either side: the reading knows no sides."""
    evidence, before = begin(Criteria(), 90), None
    for i in range(60):
        tried, beside = Counters(106.0 * i, 106.0 * i, 6.0 * i), Counters(1007.0 * i, 1007.0 * i, 57.0 * i)
        after = Reading(5.0 * i, "boot", {"new": {"proxy": tried}, "old": {"proxy": beside}})
        if sample := difference(before, after, "new", "old"):
            evidence = observe(evidence, sample, concurrent=True)
        before = after
    assert decide(evidence) is Verdict.INCONCLUSIVE and odds_against(evidence) < 2


# Trap 39: a source that is asked more often than it counts


def test_a_source_asked_three_times_as_often_as_it_counts_says_what_it_says_when_asked_in_time() -> None:
    def told(times: list[float]) -> Evidence:
        evidence = begin(Criteria(), 90)
        for before, after in pairwise(map(_shown, times)):
            sample = difference(before, after, "new", "old")
            assert sample is not None
            evidence = observe(evidence, sample, concurrent=True)
        return evidence

    in_time, too_often = told([15.0 * i for i in range(40)]), told([5.0 * i for i in range(118)])
    assert odds_against(too_often) == odds_against(in_time)
    assert too_often.errors.odds_for == in_time.errors.odds_for
    assert judge(too_often).verdict is judge(in_time).verdict is Verdict.FAIL


def _shown(at: float) -> Reading:
    """What a source shows that counts every 15 s."""
    counted = at // 15 * 15
    sides = {"new": (10.0, 0.3), "old": (190.0, 0.9)}
    return Reading(at, "boot", {side: {"x": _counters(counted, *rates)} for side, rates in sides.items()})


def _counters(seconds: float, rate: float, bad_rate: float) -> Counters:
    return Counters(seconds * rate, seconds * rate, seconds * bad_rate)
