"""Is a counter that a user names read as it is written, and does it fit the series it should?"""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.core.metric import Label, Metric, Ratio, Series, Slower
from interlock.core.record import plain, restore


@pytest.mark.parametrize(
    "text",
    [
        "checkouts_total",
        'checkouts_total{kind="card"}',
        'a:b_total{x="1",y!="2",z=~"5..",w!~"a|b"}',
        'a{x="\\"\\\\\\n"}',
    ],
)
def test_a_series_is_written_as_it_was_read(text: str) -> None:
    assert str(Series.parse(text)) == text


def test_spaces_and_a_last_comma_do_no_harm() -> None:
    assert Series.parse(' a { x = "1", y=~"2" , } ') == Series("a", (Label("x", "=", "1"), Label("y", "=~", "2")))


@pytest.mark.parametrize("text", ["", "a b", "1a", "a{x}", 'a{x="1"', "rate(a[5m])", 'a{x=~"("}', 'a{x="1" y="2}'])
def test_what_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Series.parse(text)


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ('a{kind="card"}', True),
        ('a{kind="cash"}', False),
        ('a{kind!="cash"}', True),
        ('a{status=~"5.."}', True),
        ('a{status=~"5"}', False),
        ('a{status!~"2.."}', True),
        ('a{missing=""}', True),
        ('a{missing!=""}', False),
        ('a{kind="card",status="200"}', False),
    ],
)
def test_labels_fit_as_prometheus_has_it(selector: str, fits: bool) -> None:
    assert Series.parse(selector).fits({"kind": "card", "status": "503"}) is fits


def test_an_edge_is_in_the_unit_that_the_histogram_names() -> None:
    half_a_second = timedelta(milliseconds=500)
    assert Slower(Series("payment_seconds"), half_a_second).edge == 0.5
    assert Slower(Series("payment_duration_ms"), half_a_second).edge == 500


def test_a_metric_comes_back_from_its_record() -> None:
    for events in (Ratio(Series.parse('b{k=~"x"}'), Series("a")), Slower(Series("h"), timedelta(milliseconds=500))):
        metric = Metric("m", 0.01, events, 2.0, "/m")
        assert restore(Metric, plain(metric)) == metric
