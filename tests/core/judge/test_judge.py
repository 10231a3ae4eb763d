"""Does the judge say fail, pass and inconclusive when it should, and say why?"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from math import inf, isfinite, isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.criteria import Criteria
from interlock.core.judge import (
    Baseline,
    Evidence,
    History,
    Judgement,
    Verdict,
    begin,
    decide,
    decode,
    encode,
    judge,
    observe,
    odds_against,
    step,
    time_to_prove,
)
from interlock.core.judge.evidence import WEIGHTS
from interlock.core.judge.interval import interval
from interlock.core.sample import Sample, Side

EVERY = 10.0
EDGES = [5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, inf]
QUICK = (0.10, 0.009, 0.0005)
SLOW = (0.50, 0.30, 0.20)


def histogram(n: float, tail: tuple[float, ...] = QUICK, edges: list[float] = EDGES) -> dict[float, float]:
    """n answers, of which the given shares took longer than 50, 100 and 200 ms."""
    slower = {25.0: 0.5, 50.0: tail[0], 100.0: tail[1], 200.0: tail[2]}
    upto = [n - round(n * slower.get(e, 1.0 if e < 25 else 0.0)) for e in edges]
    return {e: a - b for e, a, b in zip(edges, upto, [0.0, *upto], strict=False)}


def side(n: float, k: float, tail: tuple[float, ...] = QUICK) -> Side:
    return Side(started=n, completed=n, failed=k, latency=histogram(n, tail))


STABLE = side(950, 5)
HISTORY = sum((Baseline.of(STABLE) for _ in range(60)), Baseline())


def play(
    evidence: Evidence, sides: Iterable[tuple[Side | None, Side | None]], *, concurrent: bool = True
) -> tuple[Evidence, list[Verdict]]:
    """Feed samples one after the other; return the verdicts up to the first fail."""
    verdicts = []
    at = evidence.sight.monotonic or 1000.0
    for canary, stable in sides:
        at += EVERY
        evidence = observe(evidence, Sample(at, timedelta(seconds=EVERY), canary, stable), concurrent=concurrent)
        verdicts.append(judge(evidence).verdict)
        if verdicts[-1] is Verdict.FAIL:
            break
    return evidence, verdicts


def start(**changes: object) -> Evidence:
    return begin(replace(Criteria(), **changes), 90, history=HISTORY)  # type: ignore[arg-type]


def fixed(n: float, k: float, samples: int, stable: Side | None = None) -> list[tuple[Side | None, Side | None]]:
    return [(side(n, k), stable)] * samples


# No evidence is never success


def test_no_requests_are_neither_health_nor_failure() -> None:
    evidence, verdicts = play(start(), [(Side(), STABLE)] * 90)
    assert set(verdicts) == {Verdict.INCONCLUSIVE}
    assert "more canary requests" in judge(evidence).missing or "latency" in judge(evidence).missing


def test_before_the_first_sample_nothing_is_known() -> None:
    judgement = judge(start())
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert not judgement.blind


def test_one_failed_request_and_silence_is_no_fail() -> None:
    _, verdicts = play(start(), [(side(1, 1), side(950, 0))] + [(Side(), side(950, 0))] * 20)
    assert Verdict.FAIL not in verdicts


@pytest.mark.parametrize("unseen", [None, Side(nan, nan, nan), Side(completed=inf), Side(10, 10, -1)])
def test_a_canary_that_is_not_seen_makes_us_blind_and_decides_nothing(unseen: Side | None) -> None:
    evidence, verdicts = play(start(), [(unseen, STABLE)] * 90)
    assert set(verdicts) == {Verdict.INCONCLUSIVE}
    assert judge(evidence).blind
    assert "has not been seen" in judge(evidence).missing


def test_a_proof_does_not_survive_blindness_and_returns_with_sight() -> None:
    evidence, verdicts = play(start(), fixed(100, 0, 8, STABLE))
    assert verdicts[-1] is Verdict.PASS
    blind, verdicts = play(evidence, [(None, STABLE)] * 7)
    assert verdicts[-1] is Verdict.INCONCLUSIVE and judge(blind).blind
    _, verdicts = play(blind, fixed(100, 0, 1, STABLE))
    assert verdicts == [Verdict.PASS]


def test_blindness_at_the_limit_is_still_sight() -> None:
    evidence, _ = play(start(), [*fixed(100, 0, 8, STABLE), *[(None, STABLE)] * 6])
    assert not judge(evidence).blind


# Failing


def test_total_failure_fails_in_one_sample() -> None:
    evidence, verdicts = play(start(), [(side(50, 50), side(950, 0))])
    assert verdicts == [Verdict.FAIL]
    first = judge(evidence).findings[0]
    assert first.verdict is Verdict.FAIL and first.odds_against >= 100
    assert first.canary_requests == 50 and first.canary_bad == 50


def test_one_failing_request_a_sample_fails_within_six() -> None:
    _, verdicts = play(start(), [(side(1, 1), side(19, 0))] * 20)
    assert verdicts[-1] is Verdict.FAIL and len(verdicts) <= 6


def test_twice_the_limit_fails_within_thirty_samples() -> None:
    evidence, verdicts = play(start(), fixed(100, 2, 90, STABLE))
    assert verdicts[-1] is Verdict.FAIL and len(verdicts) <= 30
    assert judge(evidence).findings[0].rule == "error-rate"
    assert "canary requests failed" in judge(evidence).findings[0].text


def test_exactly_the_limit_never_fails() -> None:
    _, verdicts = play(start(), fixed(100, 1, 90, STABLE))
    assert Verdict.FAIL not in verdicts


def test_one_burst_of_errors_never_fails() -> None:
    burst = fixed(100, 0, 4, STABLE) + fixed(100, 30, 1, STABLE) + fixed(100, 0, 55, STABLE)
    assert Verdict.FAIL not in play(start(), burst)[1]


def test_hundreds_of_good_samples_do_not_buy_bad_ones() -> None:
    good, _ = play(start(), fixed(100, 0, 80, STABLE))
    assert play(good, fixed(100, 100, 1, STABLE))[1] == [Verdict.FAIL]
    _, verdicts = play(good, fixed(100, 5, 12, STABLE))
    assert verdicts[-1] is Verdict.FAIL


def test_a_sample_after_a_gap_is_one_observation() -> None:
    gap: list[tuple[Side | None, Side | None]] = [(None, None)] * 17
    after = [(side(1800, 9), side(17100, 90))]
    _, verdicts = play(start(), [*fixed(100, 0, 10, STABLE), *gap, *after, *fixed(100, 0, 20, STABLE)])
    assert Verdict.FAIL not in verdicts


def test_an_excess_of_failures_in_a_torn_reading_is_carried_over() -> None:
    torn, _ = play(start(), [(side(10, 14), STABLE)])
    assert torn.errors.total.bad == 10
    whole, _ = play(torn, [(side(50, 0), STABLE)])
    assert whole.errors.total.bad == 14


def test_a_sample_told_twice_or_late_is_ignored() -> None:
    evidence, _ = play(start(), fixed(100, 5, 3, STABLE))
    assert evidence.sight.monotonic is not None
    for at in (evidence.sight.monotonic, evidence.sight.monotonic - 5):
        again = Sample(at, timedelta(seconds=EVERY), side(100, 100), STABLE)
        assert observe(evidence, again, concurrent=True) == evidence


def test_the_clock_of_another_boot_begins_anew() -> None:
    evidence, _ = play(start(), fixed(100, 5, 3, STABLE))
    evidence = observe(evidence, Sample(2000.0, timedelta(seconds=10), Side(), STABLE, boot="one"), concurrent=True)
    after = observe(evidence, Sample(3.0, timedelta(seconds=2), side(100, 5), STABLE, boot="another"), concurrent=True)
    assert after.sight.now == evidence.sight.now + 2
    assert after.errors.total.requests == 400
    nameless = observe(after, Sample(5.0, timedelta(seconds=2), None, None), concurrent=True)
    assert nameless.sight.now == after.sight.now + 2


# Warm-up


def test_during_the_warm_up_only_a_catastrophe_counts() -> None:
    cold = start(warm_up=timedelta(seconds=60))
    evidence, verdicts = play(cold, fixed(100, 5, 6, STABLE) + fixed(100, 0, 60, STABLE))
    assert Verdict.FAIL not in verdicts and verdicts[-1] is Verdict.PASS
    evidence, verdicts = play(cold, fixed(100, 100, 1, STABLE))
    assert verdicts == [Verdict.FAIL]
    assert judge(evidence).findings[0].rule == "catastrophe"


def test_nothing_passes_during_the_warm_up() -> None:
    evidence, verdicts = play(start(warm_up=timedelta(seconds=300)), fixed(1000, 0, 30, STABLE))
    assert set(verdicts) == {Verdict.INCONCLUSIVE}
    assert "warm-up" in judge(evidence).missing


# Hanging


def hanging(samples: int, n: float = 50) -> list[tuple[Side | None, Side | None]]:
    return [(Side(started=n, pending=n * (i + 1)), STABLE) for i in range(samples)]


def test_a_canary_that_hangs_fails_within_its_patience_and_one_sample() -> None:
    evidence, verdicts = play(start(), hanging(10))
    assert verdicts[-1] is Verdict.FAIL
    assert len(verdicts) * EVERY <= 10 + EVERY
    first = judge(evidence).findings[0]
    assert first.rule == "hanging" and "no answer after 10 s" in first.text


def test_slow_answers_within_the_patience_are_no_hang() -> None:
    _, verdicts = play(start(), [(replace(side(100, 0), pending=90), STABLE)] * 20)
    assert verdicts[-1] is Verdict.PASS


def test_a_request_that_ends_late_is_counted_once() -> None:
    patient = start(catastrophe_rate=0.99, alpha=1e-9)
    evidence, _ = play(patient, hanging(3))
    assert evidence.errors.total.requests == evidence.errors.total.bad == 100
    late = [(Side(started=0, completed=150, failed=150, pending=0), STABLE)]
    evidence, _ = play(evidence, late)
    assert evidence.errors.total.requests == evidence.errors.total.bad == 150
    assert evidence.canary_flight.hung == 0


def test_requests_lost_with_a_replaced_instance_do_not_hang_for_ever() -> None:
    evidence, _ = play(start(), [(Side(started=40, completed=36, pending=4), STABLE)])
    evidence, verdicts = play(evidence, fixed(100, 0, 30, STABLE))
    assert verdicts[-1] is Verdict.PASS and evidence.hung == 0


def test_a_service_of_long_answers_is_compared_with_its_stable() -> None:
    both = [
        (Side(started=10, completed=5, pending=5 * i), Side(started=190, completed=95, pending=95 * i))
        for i in range(40)
    ]
    assert Verdict.FAIL not in play(start(), both)[1]


# Stable beside the canary


def test_an_incident_that_both_sides_share_is_not_blamed_on_the_canary() -> None:
    shared = [(side(100, 6), side(950, 57))] * 36
    assert set(play(start(), shared)[1]) == {Verdict.INCONCLUSIVE}


def test_a_canary_much_worse_than_an_incident_still_fails() -> None:
    _, verdicts = play(start(), [(side(100, 15), side(950, 38))] * 12)
    assert verdicts[-1] is Verdict.FAIL


def test_a_canary_that_poisons_both_sides_is_taken_back_after_the_stated_time() -> None:
    clean, _ = play(start(), fixed(100, 0, 10, STABLE))
    evidence, verdicts = play(clean, [(side(100, 6), side(950, 57))] * 90)
    assert verdicts[-1] is Verdict.FAIL
    assert 600 <= len(verdicts) * EVERY <= 700
    assert judge(evidence).findings[0].rule == "shared-incident"


def test_a_service_that_was_over_the_limit_before_is_not_put_down_to_the_canary() -> None:
    dirty = sum((Baseline.of(side(950, 57)) for _ in range(60)), Baseline())
    _, verdicts = play(begin(Criteria(), 90, history=dirty), [(side(100, 6), side(950, 57))] * 200)
    assert Verdict.FAIL not in verdicts


def test_after_a_shared_incident_a_healthy_canary_is_proven() -> None:
    incident = [(side(100, 6), side(950, 57))] * 18
    _, verdicts = play(start(), [*fixed(100, 0, 5, STABLE), *incident, *fixed(100, 0, 20, STABLE)])
    assert verdicts[-1] is Verdict.PASS


def test_sides_that_report_in_turns_are_compared() -> None:
    turns: list[tuple[Side | None, Side | None]] = [(side(100, 15), None), (None, side(950, 4))]
    evidence, verdicts = play(start(), turns * 6)
    assert verdicts[-1] is Verdict.FAIL
    assert evidence.sight.guarded


def test_without_stables_telemetry_the_limit_applies_as_it_stands() -> None:
    evidence, verdicts = play(start(), fixed(100, 5, 40, None))
    assert verdicts[-1] is Verdict.FAIL and 6 <= len(verdicts) <= 20
    assert "no concurrent control" in judge(evidence).findings[0].text


def test_losing_stable_does_not_blame_the_canary_for_the_incident_before() -> None:
    evidence, verdicts = play(start(), [(side(100, 6), side(950, 57))] * 30)
    assert Verdict.FAIL not in verdicts
    _, verdicts = play(evidence, fixed(100, 0, 12), concurrent=False)
    assert Verdict.FAIL not in verdicts


def test_irrelevant_differences_are_never_significant() -> None:
    history = Baseline.of(side(10**6, 10000))
    _, verdicts = play(begin(Criteria(), 90, history=history), [(side(10**6, 10500), side(10**6, 10000))] * 60)
    assert Verdict.FAIL not in verdicts


def test_shares_that_shift_do_not_make_a_regression_of_equal_rates() -> None:
    small = [(side(20, 1 if i == 20 else 0), side(1980, 4)) for i in range(40)]
    _, verdicts = play(start(), [*small, *[(side(1000, 9), side(1000, 9))] * 40])
    assert Verdict.FAIL not in verdicts


def test_after_bursts_that_both_sides_share_a_healthy_canary_is_proven() -> None:
    minute: list[tuple[Side | None, Side | None]] = [(side(100, 30), side(950, 290)), *fixed(100, 0, 5, STABLE)]
    bursts, verdicts = play(start(), minute * 10)
    assert Verdict.FAIL not in verdicts
    _, verdicts = play(bursts, fixed(100, 0, 30, STABLE))
    assert verdicts[-1] is Verdict.PASS


def test_errors_in_rare_bursts_of_the_canary_are_found_within_half_an_hour() -> None:
    ninety_seconds = fixed(100, 30, 1, STABLE) + fixed(100, 0, 8, STABLE)
    _, verdicts = play(start(), ninety_seconds * 20)
    assert verdicts[-1] is Verdict.FAIL


def test_a_stable_side_that_is_seen_but_idle_does_not_stop_a_proof() -> None:
    _, verdicts = play(start(), [(side(100, 0), Side())] * 20)
    assert verdicts[-1] is Verdict.PASS


# Stable's last hour instead


def test_without_a_concurrent_stable_every_finding_says_so() -> None:
    evidence, verdicts = play(start(), fixed(300, 1, 10), concurrent=False)
    assert verdicts[-1] is Verdict.PASS
    assert all("no concurrent control" in f.text for f in judge(evidence).findings)


def test_without_a_concurrent_stable_the_limit_and_the_catastrophe_apply() -> None:
    assert play(start(), fixed(100, 5, 10), concurrent=False)[1][-1] is Verdict.FAIL
    assert play(start(), fixed(50, 50, 1), concurrent=False)[1] == [Verdict.FAIL]


def test_without_any_latency_to_compare_with_errors_alone_decide_and_it_is_said() -> None:
    evidence, verdicts = play(begin(Criteria(), 90), fixed(300, 0, 10), concurrent=False)
    assert verdicts[-1] is Verdict.PASS
    latency = [f for f in judge(evidence).findings if f.rule == "latency-p99"]
    assert "latency is not judged" in latency[0].text and latency[0].verdict is Verdict.INCONCLUSIVE


def test_slow_answers_fail_against_stables_last_hour() -> None:
    _, verdicts = play(start(), [(side(100, 0, SLOW), None)] * 10, concurrent=False)
    assert verdicts[-1] is Verdict.FAIL


# Latency


def test_a_tail_twice_as_slow_fails() -> None:
    evidence, verdicts = play(start(), [(side(100, 0, SLOW), STABLE)] * 5)
    assert verdicts[-1] is Verdict.FAIL
    assert judge(evidence).findings[0].rule == "latency-p99"


def test_slowness_that_both_sides_share_never_fails() -> None:
    tail = (0.6, 0.2, 0.009)
    _, verdicts = play(start(), [(side(1000, 5, tail), side(950, 5, tail))] * 60)
    assert Verdict.FAIL not in verdicts


def test_fast_failures_are_no_gain() -> None:
    _, verdicts = play(start(), [(side(100, 100, (0, 0, 0)), STABLE)])
    assert verdicts == [Verdict.FAIL]


def test_a_histogram_too_short_for_the_limit_is_unjudgeable_not_safe() -> None:
    edges = [5.0, 10.0, 25.0, 50.0, 100.0, inf]
    short = Side(950, 950, 5, histogram(950, QUICK, edges))
    history = sum((Baseline.of(short) for _ in range(60)), Baseline())
    canary = Side(100, 100, 0, histogram(100, QUICK, edges))
    evidence, verdicts = play(begin(Criteria(), 90, history=history), [(canary, short)] * 60)
    assert set(verdicts) == {Verdict.INCONCLUSIVE}
    assert "latency cannot be judged" in judge(evidence).missing


def test_a_canary_with_other_edges_is_judged_on_its_own_edge_or_not_at_all() -> None:
    coarse = Side(100, 100, 0, {100.0: 100.0, inf: 0.0})
    assert set(play(start(), [(coarse, STABLE)] * 30)[1]) == {Verdict.INCONCLUSIVE}


def test_the_filled_buckets_of_envoys_histogram_suffice() -> None:
    stable = Side(1000, 1000, 0, {40.0: 900.0, 44.0: 92.0, 110.0: 8.0})
    history = Baseline.of(stable)
    slow = Side(100, 100, 0, {40.0: 80.0, 100.0: 10.0, 260.0: 10.0})
    evidence, verdicts = play(begin(Criteria(), 90, history=history), [(slow, stable)] * 12)
    assert verdicts[-1] is Verdict.FAIL and judge(evidence).findings[0].rule == "latency-p99"
    _, verdicts = play(begin(Criteria(), 90, history=history), [(Side(100, 100, 0, {40.0: 99, 44.0: 1}), stable)] * 12)
    assert verdicts[-1] is Verdict.PASS


def test_the_edges_are_learnt_from_a_concurrent_stable_without_history() -> None:
    evidence, verdicts = play(begin(Criteria(), 90), [(side(100, 0), STABLE)] * 8)
    assert evidence.latency and verdicts[-1] is Verdict.PASS
    assert play(begin(Criteria(), 90), [(side(100, 0, SLOW), STABLE)] * 8)[1][-1] is Verdict.FAIL


def test_an_absolute_limit_of_p99_needs_no_baseline() -> None:
    limited = begin(Criteria(latency_p99=timedelta(milliseconds=200)), 90)
    assert play(limited, fixed(200, 0, 10), concurrent=False)[1][-1] is Verdict.PASS
    assert play(limited, [(side(100, 0, SLOW), None)] * 6, concurrent=False)[1][-1] is Verdict.FAIL


def test_a_proof_of_latency_is_forgotten_when_answers_get_slow() -> None:
    evidence, verdicts = play(start(), fixed(100, 0, 60, STABLE))
    assert verdicts[-1] is Verdict.PASS
    _, verdicts = play(evidence, [(side(100, 0, (0.2, 0.1, 0.025)), STABLE)] * 4)
    assert verdicts[-1] is not Verdict.PASS


def test_a_slow_leak_within_one_long_step_is_not_passed() -> None:
    """The tail grows a little with each sample: an old proof must not outlive the answers it came from."""
    evidence, verdicts = play(start(), fixed(100, 0, 60, STABLE))
    leak = [(side(100, 0, (0.2, 0.1, min(0.5, 0.004 * i))), STABLE) for i in range(40)]
    _, verdicts = play(evidence, leak)
    assert verdicts[-1] is Verdict.FAIL
    assert Verdict.PASS not in verdicts[len(verdicts) // 2 :]


# Steps, storage, numbers


def test_a_step_keeps_the_evidence_against_and_restarts_the_evidence_for() -> None:
    evidence, verdicts = play(start(), fixed(100, 0, 10, STABLE))
    assert verdicts[-1] is Verdict.PASS
    after = step(evidence)
    assert odds_against(after) == odds_against(evidence)
    assert judge(after).verdict is Verdict.INCONCLUSIVE
    assert judge(after).findings[0].odds_for == pytest.approx(1.0)


def test_odds_begin_at_one_because_weights_sum_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert odds_against(start()) == pytest.approx(1.0)


def test_stored_and_restored_evidence_decides_bit_for_bit_the_same() -> None:
    rng = random.Random(5)
    evidence = start()
    for i in range(40):
        canary = None if i % 11 == 7 else side(rng.randint(0, 200), rng.randint(0, 3), (0.3, 0.02, rng.random() / 50))
        evidence, _ = play(evidence, [(canary, STABLE)])
        restored = decode(json.loads(json.dumps(encode(evidence))))
        assert restored == evidence and encode(restored) == encode(evidence)
        assert judge(restored) == judge(evidence)
        evidence = restored


def test_one_more_good_sample_is_what_the_judgement_says_is_missing() -> None:
    evidence, _ = play(start(), fixed(50, 0, 2, STABLE))
    missing = judge(evidence).missing
    assert missing.startswith("needs about") and "at the present rate" in missing


def test_a_rate_between_limit_and_margin_is_said_not_to_be_provable() -> None:
    near = begin(Criteria(alpha=1e-9), 90)
    evidence, _ = play(near, [(Side(100, 100, 2), None)] * 3, concurrent=False)
    assert judge(evidence).missing


def test_a_healthy_canary_at_thirty_requests_a_second_is_proven_in_fifteen_seconds() -> None:
    assert time_to_prove(Criteria(), 30) <= timedelta(seconds=15)
    evidence = start()
    for i in range(3):
        sample = Sample(5.0 * (i + 1), timedelta(seconds=5), side(150, 0), side(1350, 0))
        evidence = observe(evidence, sample, concurrent=True)
    assert decide(evidence) is Verdict.PASS


def test_a_tenth_of_three_hundred_requests_a_second_is_proven_without_any_history() -> None:
    """The demo: a fresh service, samples every second, Envoy's filled buckets only."""
    evidence, taken = begin(Criteria(sample_every=timedelta(seconds=1)), 90), 0
    while decide(evidence) is not Verdict.PASS:
        taken += 1
        stable = Side(270, 270, 0, {2.1: 260.0, 3.1: 7.0, 5.1: 3.0})
        sample = Sample(float(taken), timedelta(seconds=1), Side(30, 30, 0, {2.1: 29.0, 3.1: 1.0}), stable)
        evidence = observe(evidence, sample, concurrent=True)
        assert taken <= 15


def test_the_judge_remembers_no_more_after_a_thousand_samples_than_after_ten() -> None:
    evidence, _ = play(start(hang_after=timedelta(minutes=5)), [(replace(side(100, 0), pending=40), STABLE)] * 40)
    size = len(json.dumps(encode(evidence)))
    evidence, _ = play(evidence, [(replace(side(100, 0), pending=40), STABLE)] * 300)
    assert len(json.dumps(encode(evidence))) < 1.1 * size


def test_the_time_to_a_proof_falls_with_traffic_and_rises_with_errors() -> None:
    times = [time_to_prove(Criteria(), rate) for rate in (0.2, 1, 10, 100)]
    assert times == sorted(times, reverse=True)
    assert time_to_prove(Criteria(), 0.2) > timedelta(minutes=15)
    assert time_to_prove(Criteria(), 10, error_rate=0.005) > time_to_prove(Criteria(), 10)
    assert time_to_prove(Criteria(), 10, error_rate=0.05) == timedelta.max
    assert time_to_prove(Criteria(), 0) == timedelta.max
    assert time_to_prove(Criteria(), 10, stable_requests_per_second=10) > time_to_prove(Criteria(), 10)


@pytest.mark.parametrize("rate", [0.5, 2.0, 30.0])
def test_the_time_to_a_proof_is_what_the_judge_takes(rate: float) -> None:
    expected = time_to_prove(Criteria(), rate)
    evidence, taken = begin(Criteria(), 90), timedelta(0)
    while decide(evidence) is not Verdict.PASS:
        taken += timedelta(seconds=5)
        canary = Side(rate * 5, rate * 5, 0)
        sample = Sample(taken.total_seconds(), timedelta(seconds=5), canary, None)
        evidence = observe(evidence, sample, concurrent=False)
        assert taken <= expected
    assert taken >= 0.9 * expected - timedelta(seconds=5)


def test_history_keeps_the_last_hour() -> None:
    history = History()
    for _ in range(1000):
        history = history.add(side(100, 1), timedelta(seconds=5))
    assert 60 * 60 / 5 <= history.baseline.samples <= 65 * 60 / 5
    assert history.baseline.error_rate == pytest.approx(0.01)
    assert len(history.blocks) <= 13


def test_clustered_failures_show_in_the_baseline() -> None:
    calm = reduce(Baseline.add, [side(100, 1)] * 60, Baseline())
    bursts = reduce(Baseline.add, [side(100, 30 if i % 30 == 0 else 0) for i in range(60)], Baseline())
    assert calm.failures.clustering < 0.01 < 0.1 < bursts.failures.clustering


def test_a_false_fail_is_as_rare_as_promised_at_the_limit_itself() -> None:
    """The worst healthy release: exactly at the limit, with errors in bursts, watched for a whole rollout."""
    rng = random.Random(20)
    rollouts, failed = 250, 0
    for _ in range(rollouts):
        evidence = begin(Criteria(), 90)
        for i in range(90):
            rate = rng.choice((0.0, 0.0, 0.0, 0.04))
            k = sum(rng.random() < rate for _ in range(40))
            sample = Sample(10.0 * (i + 1), timedelta(seconds=10), Side(40, 40, k), None)
            evidence = observe(evidence, sample, concurrent=False)
            if decide(evidence) is Verdict.FAIL:
                failed += 1
                break
    assert failed / rollouts <= 0.01 + 2 * (0.01 * 0.99 / rollouts) ** 0.5


def test_the_interval_holds_the_truth_at_all_times_together() -> None:
    rng = random.Random(3)
    missed = 0
    for _ in range(200):
        n, k, out = 0, 0, False
        for _ in range(40):
            n, k = n + 50, k + sum(rng.random() < 0.02 for _ in range(50))
            low, high = interval(n, k)
            out = out or not low <= 0.02 <= high
        missed += out
    assert missed <= 20


def test_the_interval_narrows_and_keeps_within_rates() -> None:
    assert interval(0, 0) == (0.0, 1.0)
    for n in (1, 10, 1000, 10**7):
        for k in (0, n / 100, n):
            low, high = interval(n, k)
            assert 0 <= low <= k / n <= high <= 1
    assert interval(10**6, 10**4) == pytest.approx((0.01, 0.01), rel=0.05)


counts = st.one_of(st.integers(0, 10**7), st.floats(0, 1e7)).map(float)


@st.composite
def sides(draw: st.DrawFn) -> Side | None:
    if draw(st.integers(0, 9)) == 0:
        return None
    n = draw(counts)
    buckets = draw(st.dictionaries(st.sampled_from(EDGES), counts, max_size=5))
    return Side(draw(counts), n, draw(st.floats(0, 1)) * n, buckets, draw(counts))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(sides(), sides(), st.booleans(), st.floats(0.01, 500)), min_size=1, max_size=25),
    st.floats(0, 1),
    st.booleans(),
)
def test_whatever_comes_in_numbers_stay_numbers(
    samples: list[tuple[Side | None, Side | None, bool, float]], limit: float, known: bool
) -> None:
    evidence, at = begin(Criteria(error_rate=limit), 90, history=HISTORY if known else None), 0.0
    for canary, stable, concurrent, passed in samples:
        at += passed
        evidence = observe(evidence, Sample(at, timedelta(seconds=passed), canary, stable), concurrent=concurrent)
        judgement = judge(evidence)
        assert isfinite(odds_against(evidence))
        for finding in judgement.findings:
            assert finding.text and isfinite(finding.odds_against) and isfinite(finding.odds_for)
            assert finding.estimate is None or not isnan(finding.estimate)
        if canary is None and judgement.blind:
            assert judgement.verdict is not Verdict.PASS
        assert (judgement.missing == "") == (judgement.verdict is not Verdict.INCONCLUSIVE)
    assert decode(json.loads(json.dumps(encode(evidence)))) == evidence


def cut_off(answers: float) -> dict[float, float]:
    """Answers as of a service that always takes 15 to 25 ms: of a thousand 35 take 26 ms, and none longer."""
    return {20.0: answers * 0.5, 25.0: answers * 0.465, 26.0: answers * 0.035}


def watched(canary: dict[float, float], samples: int) -> Judgement:
    evidence = begin(Criteria(sample_every=timedelta(seconds=1)), samples)
    for second in range(1, samples + 1):
        mine, theirs = sum(canary.values()), 700.0
        sides = Side(mine, mine, 0, canary), Side(theirs, theirs, 0, cut_off(theirs))
        evidence = observe(evidence, Sample(float(second), timedelta(seconds=1), *sides), concurrent=True)
    return judge(evidence)


def test_a_tail_that_ends_as_if_cut_off_can_be_judged_all_the_same() -> None:
    assert watched(cut_off(80.0), 20).verdict is Verdict.PASS


def test_beyond_twice_such_a_tail_one_answer_in_a_hundred_is_allowed_and_not_more() -> None:
    slow = {25.0: 92.0, 60.0: 8.0}
    assert watched(slow, 40).verdict is Verdict.FAIL
    assert watched({25.0: 99.8, 60.0: 0.2}, 40).verdict is not Verdict.FAIL


def test_a_canary_that_keeps_all_users_waiting_is_compared_with_the_stable_side_they_left() -> None:
    evidence, stuck = begin(Criteria(sample_every=timedelta(seconds=1)), 30), 0.0
    for second in range(1, 31):
        free = second <= 2  # then everyone waits for the canary, and nobody asks stable any more
        stuck += 10.0 if free else 0.0
        mine = Side(started=10.0 if free else 0.0, pending=stuck)
        theirs = Side(90.0, 90.0, 0, {}) if free else Side()
        evidence = observe(evidence, Sample(float(second), timedelta(seconds=1), mine, theirs), concurrent=True)
        if judge(evidence).verdict is Verdict.FAIL:
            break
    assert judge(evidence).verdict is Verdict.FAIL and second <= 15


def test_a_stable_side_that_has_become_quicker_does_not_keep_the_canary_from_being_proven() -> None:
    evidence = begin(Criteria(sample_every=timedelta(seconds=1)), 60)
    proven = None
    for second in range(1, 61):
        slow = 9.0 if second <= 4 else 0.0  # one in a hundred, and after a while none any more
        stable = Side(900.0, 900.0, 0, {20.0: 600.0, 25.0: 300.0 - slow, 40.0: slow})
        mine = Side(60.0, 60.0, 0, {20.0: 40.0, 25.0: 20.0})
        evidence = observe(evidence, Sample(float(second), timedelta(seconds=1), mine, stable), concurrent=True)
        if proven is None and judge(evidence).verdict is Verdict.PASS:
            proven = second
    assert proven is not None and proven <= 30
    assert judge(evidence).verdict is Verdict.PASS
