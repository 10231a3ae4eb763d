"""Do metrics of one's own and the baseline become what they mean, and what does not fit an error with its place?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.config.test_load import TEN, errors, read

from interlock.core.criteria import Control, Criteria
from interlock.core.metric import Metric, Ratio, Series, Slower

FULL = TEN + (
    "metrics: /stats\n"
    "criteria:\n"
    "  baseline: history\n"
    "  metrics:\n"
    "    failed-checkouts: {bad: 'checkouts_total{ok=\"no\"}', of: checkouts_total, limit: 1%, weight: 0.5x}\n"
    "    slow-payments: {histogram: payment_seconds, slower_than: 500 ms, limit: 2%}\n"
)


def criteria(tmp_path: Path, text: str) -> Criteria:
    found = read(tmp_path, text).production.criteria
    assert found is not None
    return found


def test_metrics_are_read_with_their_limits_and_where_instances_show_them(tmp_path: Path) -> None:
    found = criteria(tmp_path, FULL)
    failed, slow = Series.parse('checkouts_total{ok="no"}'), Slower(Series("payment_seconds"), timedelta(seconds=0.5))
    assert found.baseline is Control.HISTORY
    assert found.metrics == (
        Metric("failed-checkouts", 0.01, Ratio(failed, Series("checkouts_total")), 0.5, "/stats"),
        Metric("slow-payments", 0.02, slow, 1.0, "/stats"),
    )


def test_an_environments_own_metric_joins_those_of_the_top_level_and_replaces_its_namesake(tmp_path: Path) -> None:
    own = "{port: 8000, metrics: /m, criteria: {metrics: {slow-payments: {bad: b, of: a, limit: 3%}}}}"
    found = criteria(tmp_path, FULL.replace("{port: 8000}", own))
    assert [(one.name, one.limit, one.path) for one in found.metrics] == [
        ("failed-checkouts", 0.01, "/m"),
        ("slow-payments", 0.03, "/m"),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{bad: b_total, limit: 1%}", "expected bad and of, or histogram and slower_than, found bad"),
        ("{bad: b, of: a, slower_than: 1s, limit: 1%}", "found bad and of and slower_than"),
        ("{limit: 1%}", "found none of them"),
        ("{bad: b, of: a}", "expected the key limit"),
        ("{bad: 'rate(b[5m])', of: a, limit: 1%}", "expected the name of a counter"),
        ("{bad: b, of: a, limit: 1%, weight: 0}", "expected a factor above 0"),
        ("{histogram: h, slower_than: 500, limit: 1%}", 'did you mean "500s"'),
    ],
)
def test_a_metric_that_says_too_little_or_too_much_is_refused(tmp_path: Path, written: str, said: str) -> None:
    (found,) = errors(tmp_path, TEN + f"criteria: {{metrics: {{mine: {written}}}}}\n")
    assert said in found and "criteria.metrics.mine" in found


def test_a_metric_may_not_be_called_as_a_rule_of_ours_is(tmp_path: Path) -> None:
    text = TEN + "criteria: {metrics: {hanging: {bad: b, of: a, limit: 1%}}}\n"
    assert "that no rule of ours has, found hanging" in errors(tmp_path, text)[0]


def test_fixed_limits_need_one_for_latency(tmp_path: Path) -> None:
    text = TEN + "criteria: {baseline: fixed}\n"
    (found,) = errors(tmp_path, text)
    assert "expected latency_p99 with baseline: fixed" in found and ":7:" in found
    assert criteria(tmp_path, TEN + "criteria: {baseline: fixed, latency_p99: 300ms}\n").baseline is Control.FIXED
    own = "{port: 8000, criteria: {latency_p99: 300ms}}"
    assert criteria(tmp_path, text.replace("{port: 8000}", own)).baseline is Control.FIXED


def test_another_baseline_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    assert "'stable'" in (said := errors(tmp_path, TEN + "criteria: {baseline: stabel}\n")[0]) or "stable" in said
