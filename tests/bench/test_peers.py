"""Do the peers in the evaluator decide as Argo Rollouts, Flagger and Kayenta do?"""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import pytest
from bench.evaluator.contract import Counts, Judge, Poll, Setting
from bench.evaluator.kayenta import Kayenta, RankTest, brent, classify
from bench.evaluator.peers import MSPRT, Argo, Flagger, PeekingZ
from bench.evaluator.traps import EDGES, SLOW, counts

EVERY = 10.0
STABLE = counts(950, 5)
SETTING: Setting = {"edges": EDGES, "poll_s": EVERY, "horizon_s": 900.0, "warmup_s": 0.0, "history": []}
GOOD, BAD = counts(100, 0), counts(100, 3)


def play(judge: Judge, canary: Iterable[Counts | None], stable: Counts | None = STABLE) -> list[str]:
    """Feed polls of ten seconds until a rollback; return the decisions."""
    judge.reset(SETTING)
    decisions: list[str] = []
    for i, counted in enumerate(canary):
        poll: Poll = {"t": EVERY * (i + 1), "dt": EVERY, "canary": counted, "baseline": stable}
        decisions.append(judge.update(poll))
        if decisions[-1] == "rollback":
            break
    return decisions


def back_at(judge: Judge, canary: Iterable[Counts | None], stable: Counts | None = STABLE) -> float | None:
    decisions = play(judge, canary, stable)
    return EVERY * len(decisions) if decisions[-1] == "rollback" else None


def minutes(*each: Counts | None) -> list[Counts | None]:
    return [counted for counted in each for _ in range(6)]


# Argo Rollouts


def test_argo_fails_with_the_first_bad_measurement_when_nothing_else_is_configured() -> None:
    assert back_at(Argo(0), minutes(BAD)) == 60
    assert back_at(Argo(0), minutes(GOOD, GOOD, BAD, GOOD)) == 180


def test_argo_adds_failed_measurements_up_over_the_whole_run() -> None:
    series = minutes(BAD, GOOD, BAD, GOOD, BAD, GOOD, BAD)
    assert back_at(Argo(3), series) == 420
    assert back_at(Argo(3), minutes(BAD, BAD, BAD, *[GOOD] * 12)) is None


def test_argo_counts_a_rate_without_requests_as_a_failure() -> None:
    assert back_at(Argo(0), [counts(0, 0)] * 6) == 60


def test_argo_ends_a_run_whose_metrics_cannot_be_had_five_times_in_a_row() -> None:
    assert back_at(Argo(9), [None] * 30) == 60 + 4 * 10
    assert back_at(Argo(9), [*[None] * 9, *minutes(*[GOOD] * 15)]) is None


def test_argo_judges_latency_by_the_ratio_of_p99s() -> None:
    assert back_at(Argo(0), [counts(100, 0, SLOW)] * 6) == 60


def test_argo_succeeds_with_its_last_measurement() -> None:
    assert play(Argo(0), minutes(*[GOOD] * 15))[-1] == "advance"


# Flagger


def test_flagger_rolls_back_one_interval_after_its_threshold() -> None:
    assert back_at(Flagger(5), minutes(*[BAD] * 7)) == 360
    assert back_at(Flagger(1), minutes(*[BAD] * 3)) == 120


def test_flagger_never_forgives_a_failed_check() -> None:
    assert back_at(Flagger(2), minutes(BAD, *[GOOD] * 8, BAD, GOOD)) == 660


def test_flagger_takes_no_data_for_a_failed_check() -> None:
    assert back_at(Flagger(2), [None] * 30) == 180


# Kayenta


def test_the_rank_test_agrees_with_a_textbook() -> None:
    """Permeability at term and at three to six months: M. Hollander, D. Wolfe, "Nonparametric Statistical Methods",
    example 4.1; W = 35 of 50, and a Hodges-Lehmann estimate of 0.305 also in the manual of R's `wilcox.test`."""
    term = (0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46)
    early = (1.15, 0.88, 0.90, 0.74, 1.21)
    test = RankTest(term, early)
    assert test.statistic(0.0) == pytest.approx((35 - 25 - 0.5) / (10 * 5 / 12 * 16) ** 0.5)
    assert statistics.median(x - y for x in term for y in early) == pytest.approx(0.305)
    assert test.estimate() == pytest.approx(0.305, abs=0.02)
    assert test.lower_bound() < 0 < test.estimate()


def test_a_clear_shift_is_high_only_beyond_the_allowed_increase() -> None:
    stable = [100.0 + i % 7 for i in range(60)]
    canary = [x * 1.5 for x in stable]
    assert classify(canary, stable, 1.0) == "high"
    assert classify(canary, stable, 2.0) == "pass"
    assert classify(stable, canary, 1.0) == "pass"
    assert classify(stable, stable, 1.0) == "pass"
    assert classify([], stable, 1.0) == "nodata"


def test_where_stable_never_fails_no_increase_is_asked_for() -> None:
    stable, canary = [0.0] * 60, [0.0, 0.01] * 30
    assert classify(canary, stable, 1.0) == classify(canary, stable, 100.0)


def test_kayenta_does_not_see_what_began_in_the_last_half_of_its_window() -> None:
    assert back_at(Kayenta(), [*[GOOD] * 60, *[counts(100, 100)] * 30], GOOD) is None
    assert back_at(Kayenta(), [counts(100, 100)] * 90, GOOD) == 300


def test_a_root_is_found_to_the_accuracy_asked_for() -> None:
    assert brent(lambda x: x * x - 2, 0.0, 2.0) == pytest.approx(2**0.5, abs=1e-4)


# Tests on pooled counts


def test_looking_at_a_z_test_often_condemns_what_is_healthy() -> None:
    unlucky = [counts(100, 3), *[counts(100, 0)] * 50]
    assert back_at(PeekingZ(), unlucky) == EVERY


def test_the_mixture_test_sees_no_limit_only_a_difference() -> None:
    assert back_at(MSPRT(), [counts(100, 3)] * 90, counts(950, 28)) is None
    assert back_at(MSPRT(), [counts(100, 30)] * 90) is not None
