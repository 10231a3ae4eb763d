"""Does a plan say by what its release will be judged, where that is not the usual?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from interlock.core.criteria import Control, Criteria
from interlock.core.judge import time_to_prove
from interlock.core.metric import Counted, Metric, Prometheus, Ratio, Series
from interlock.core.standards import standards

CHECKOUTS = Metric("failed-checkouts", 0.01, Ratio(Series("failures_total"), Series("checkouts_total")), 1.0, "/stats")


def test_of_the_usual_criteria_nothing_is_said() -> None:
    assert standards(Criteria(), 0, first=False) == standards(None, 0, first=True) == ()


def test_a_baseline_without_a_history_says_what_that_means() -> None:
    criteria = Criteria(baseline=Control.HISTORY)
    (unknown,) = standards(criteria, 120, first=False)
    assert "WARNING: of them 120 answers of 500 are known" in unknown and "failures alone decide" in unknown
    assert "WARNING: there is no stable" in standards(criteria, 0, first=True)[0]
    for known in (standards(criteria, 500, first=False), standards(_fixed(Control.HISTORY), 0, first=False)):
        assert "WARNING" not in known[0] and "what befalls both sides at once is put down to the release" in known[0]


def test_fixed_limits_say_that_nothing_is_excused() -> None:
    assert "judged by the limits alone" in standards(_fixed(Control.FIXED), 0, first=False)[0]


def test_metrics_are_told_with_their_limits_and_where_they_are_read() -> None:
    (told,) = standards(Criteria(metrics=(CHECKOUTS,)), 0, first=False)
    assert "at /stats: failed-checkouts (failures_total of checkouts_total, at most 1 %)" in told


def test_a_plan_says_who_counts_when_it_is_not_the_proxy() -> None:
    source = Prometheus("http://prom.example")
    counted = Counted(source, Series("requests_total"), Series("failures_total"), Series("request_seconds"))
    requests, named = standards(
        Criteria(counted=counted, metrics=(replace(CHECKOUTS, path="", source=source),)), 0, first=False
    )
    assert "by what http://prom.example collects (requests_total, failures_total, request_seconds)" in requests
    assert "not by the proxy's counters" in requests
    assert "by what http://prom.example collects: failed-checkouts" in named


def test_the_time_to_prove_latency_by_a_limit_alone_does_not_hang_on_stables_traffic() -> None:
    alone, beside = Criteria(baseline=Control.HISTORY), Criteria()
    few, many = ([time_to_prove(one, 5, stable_requests_per_second=n) for one in (alone, beside)] for n in (5, 95))
    assert few[0] == many[0] and few[1] > many[1]


def _fixed(baseline: Control) -> Criteria:
    return Criteria(baseline=baseline, latency_p99=timedelta(milliseconds=300))
