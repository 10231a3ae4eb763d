"""Is the answer of a Prometheus read as it was meant, and does what cannot be understood say what was expected?

Answers as Prometheus gives them: the documented form of /api/v1/query_range.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import inf
from typing import Any

import pytest

from interlock.adapters.recordings.prometheus import Sides, read
from interlock.core.recording import RecordingError
from interlock.core.sample import Side

TIMES = (1000.0, 1015.0, 1030.0)


def series(values: Sequence[float | str], times: Sequence[float] = TIMES, **labels: str) -> dict[str, Any]:
    name = labels.pop("name", "http_requests_total")
    pairs = [[at, str(value)] for at, value in zip(times, values, strict=True)]
    return {"metric": {"__name__": name, **labels}, "values": pairs}


def answer(*result: Mapping[str, Any]) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def sides(text: str, which: Sides = Sides()) -> list[tuple[Side | None, Side | None]]:
    return [(line.sample.canary, line.sample.stable) for _, line in read("p.json", text, which).sampled]


def counts(side: Side | None) -> tuple[float, float] | None:
    return None if side is None else (side.completed, side.failed)


def test_requests_by_status_are_all_and_failed() -> None:
    text = answer(
        series([0, 90, 180], side="canary", code="200"),
        series([0, 10, 10], side="canary", code="503"),
        series([100, 1000, 1900], side="stable", code="200"),
    )
    assert [(counts(canary), counts(stable)) for canary, stable in sides(text)] == [
        ((100, 10), (900, 0)),
        ((90, 0), (900, 0)),
    ]
    recording = read("p.json", text)
    assert recording.begun.criteria.sample_every == timedelta(seconds=15)
    assert all(line.concurrent for _, line in recording.sampled)


def test_a_counter_of_failures_stands_beside_one_of_all() -> None:
    text = answer(
        series([0, 100, 200], side="canary", name="shop_requests_total"),
        series([0, 3, 3], side="canary", name="shop_requests_failed_total"),
    )
    assert [(counts(canary), stable) for canary, stable in sides(text)] == [((100, 3), None), ((100, 0), None)]


def test_any_label_may_tell_the_sides() -> None:
    text = answer(series([0, 5, 10], version="v2", code="200"), series([0, 50, 99], version="v1", code="200"))
    found = sides(text, Sides("version", "v2", "v1"))
    assert [(counts(canary), counts(stable)) for canary, stable in found] == [((5, 0), (50, 0)), ((5, 0), (49, 0))]


def test_instances_are_differenced_one_by_one_and_a_reset_is_no_loss() -> None:
    text = answer(
        series([100, 150, 30], side="canary", code="200", pod="a"),
        series([10, 20, 30], side="canary", code="200", pod="b"),
    )
    assert [counts(canary) for canary, _ in sides(text)] == [(60, 0), (40, 0)]


def test_an_instance_that_was_not_seen_for_a_moment_loses_nothing_and_no_instance_is_blindness() -> None:
    text = answer(
        series([0, 30], times=(1000, 1030), side="canary", code="200", pod="a"),
        series([0, 5, 10], side="canary", code="200", pod="b"),
    )
    assert [counts(canary) for canary, _ in sides(text)] == [(5, 0), (35, 0)]
    blind = answer(
        series([0, 30], times=(1000, 1030), side="canary", code="200"),
        series([0, 5, 10], side="stable", code="200"),
    )
    assert [counts(canary) for canary, _ in sides(blind)] == [None, (30, 0)]


def test_what_is_no_number_is_not_there() -> None:
    text = answer(series([0, "NaN", 30], side="canary", code="200"), series([0, 5, 10], side="stable", code="200"))
    assert [counts(canary) for canary, _ in sides(text)] == [None, (30, 0)]


def test_buckets_are_latency_in_milliseconds() -> None:
    name = "http_request_duration_seconds_bucket"
    text = answer(
        series([0, 100, 200], side="canary", name="http_request_duration_seconds_count"),
        series([0, 9, 18], side="canary", name="http_request_duration_seconds_sum"),
        series([0, 90, 180], side="canary", name=name, le="0.25"),
        series([0, 100, 200], side="canary", name=name, le="+Inf"),
    )
    assert [canary.latency if canary else None for canary, _ in sides(text)] == [{250.0: 90.0, inf: 10.0}] * 2
    assert [counts(canary) for canary, _ in sides(text)] == [(100, 0), (100, 0)]


def test_envoys_own_names_are_understood() -> None:
    name = "envoy_cluster_upstream_rq"
    text = answer(
        series([0, 100, 200], name=f"{name}_xx", envoy_response_code_class="2", envoy_cluster_name="shop-v2"),
        series([0, 5, 10], name=f"{name}_xx", envoy_response_code_class="5", envoy_cluster_name="shop-v2"),
        series([0, 105, 210], name=f"{name}_time_bucket", le="250", envoy_cluster_name="shop-v2"),
    )
    (first, _), *_ = sides(text, Sides("envoy_cluster_name", "shop-v2", "shop-v1"))
    assert first is not None
    assert (first.completed, first.failed, first.latency) == (105, 5, {250.0: 105.0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected the answer of /api/v1/query_range.*found no JSON"),
        ("[]", "found another document"),
        ('{"status":"error","error":"parse error"}', "Prometheus answered with an error: parse error"),
        ('{"status":"success","data":{"resultType":"vector","result":[]}}', '"resultType":"vector"'),
        (answer(), 'expected series with the label side="canary", found none; there are the labels none'),
        (answer(series([0, 1, 2], version="v2")), "there are the labels version.*--sides LABEL=CANARY,STABLE"),
        (answer(series([0, 1, 2], side="blue")), "it has the values blue"),
        (answer({"metric": {"side": "canary"}}), 'series 1: expected "metric" with labels and "values"'),
        (answer(series([0, 1, "x"], side="canary")), r'series 1, value 3: expected \[seconds, "number"\]'),
        (answer(series([1], times=(1000,), side="canary")), "at least two moments"),
    ],
)
def test_what_cannot_be_understood_says_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(RecordingError, match=f"^p.json.*{said}"):
        read("p.json", text)
