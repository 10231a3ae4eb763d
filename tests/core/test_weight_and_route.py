"""Do weights read, add up, and give each user the same side at every step?"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.route import Route
from interlock.core.weight import ALL, NONE, WHOLE, Weight

WEIGHTS = st.integers(0, WHOLE).map(Weight)
OFFSETS = st.integers(0, WHOLE - 1)


def users(route: Route) -> list[str | None]:
    """Who answers each of the 10,000 buckets."""
    return [revision for revision, buckets in route.intervals() for _ in range(buckets)]


@pytest.mark.parametrize(
    ("text", "points"), [("5%", 500), (" 0.25 % ", 25), ("100%", 10_000), ("0%", 0), ("33.33%", 3333), ("0.29%", 29)]
)
def test_a_percentage_reads_exactly(text: str, points: int) -> None:
    assert Weight.parse(text) == Weight(points)


@pytest.mark.parametrize("text", ["5", "101%", "100.01%", "-1%", "0.001%", "five%", "", "%", "1e2%", "5%%"])
def test_what_is_no_percentage_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match='expected a percentage from 0% to 100% such as "5%", found'):
        Weight.parse(text)


@given(st.integers(0, WHOLE).map(Weight))
def test_a_weight_written_reads_as_itself(weight: Weight) -> None:
    assert Weight.parse(str(weight)) == weight


@pytest.mark.parametrize("points", [-1, 10_001])
def test_a_weight_outside_its_range_does_not_exist(points: int) -> None:
    with pytest.raises(ValueError, match="0 to 10000 basis points"):
        Weight(points)


@given(WEIGHTS)
def test_weight_and_rest_are_the_whole(weight: Weight) -> None:
    assert weight.points + weight.rest.points == WHOLE
    assert weight.share + weight.rest.share == pytest.approx(1)


@given(WEIGHTS, st.integers(1, 500))
def test_a_weight_needs_its_part_of_the_instances_to_within_a_point(weight: Weight, instances: int) -> None:
    needed = weight.needs(instances)
    assert 0 <= needed <= instances
    assert (needed == 0) is (weight == NONE)
    assert needed >= Fraction((weight.points - 1) * instances, WHOLE)
    assert needed < Fraction(weight.points * instances, WHOLE) + 1
    assert ALL.needs(instances) == instances


@pytest.mark.parametrize("instances", range(1, 30))
def test_both_sides_of_a_rolling_step_need_no_more_instances_than_there_were(instances: int) -> None:
    for number in range(1, instances):
        weight = Weight(WHOLE * number // instances)
        assert (weight.needs(instances), weight.rest.needs(instances)) == (number, instances - number)


@given(WEIGHTS, OFFSETS)
def test_buckets_always_sum_to_the_whole_in_one_order(weight: Weight, offset: int) -> None:
    laid = Route("production", "old", "new", weight, offset).intervals()
    assert [revision for revision, _ in laid] == ["new", "old", "new", "old"]
    assert all(buckets >= 0 for _, buckets in laid)
    assert sum(buckets for _, buckets in laid) == WHOLE
    assert sum(buckets for revision, buckets in laid if revision == "new") == weight.points


@given(st.tuples(WEIGHTS, WEIGHTS).map(sorted), OFFSETS)
def test_users_of_a_weight_are_among_those_of_every_greater_weight(weights: list[Weight], offset: int) -> None:
    few, many = (users(Route("production", "old", "new", weight, offset)) for weight in weights)
    assert all(then == "new" for now, then in zip(few, many, strict=True) if now == "new")


@given(WEIGHTS, OFFSETS)
def test_the_interval_begins_at_its_offset_and_wraps_to_the_front(weight: Weight, offset: int) -> None:
    answers = users(Route("production", "old", "new", weight, offset))
    expected = {(offset + number) % WHOLE for number in range(weight.points)}
    assert {bucket for bucket, who in enumerate(answers) if who == "new"} == expected


def test_before_a_first_release_nobody_answers_what_the_canary_does_not_get() -> None:
    assert users(Route("production", None, "new", ALL)) == ["new"] * WHOLE
    assert Route("production", None).intervals() == ((None, WHOLE),)
    assert set(users(Route("production", None, "new", Weight(5000)))) == {None, "new"}


def test_a_route_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a canary to carry it"):
        Route("production", "old", None, Weight(500))
    with pytest.raises(ValueError, match="cannot be stable and canary at once"):
        Route("production", "one", "one")
    for offset in (-1, WHOLE):
        with pytest.raises(ValueError, match="the offset is one of the buckets"):
            Route("production", "old", "new", Weight(500), offset)


def test_a_share_is_the_canarys_weight_or_its_rest_or_nothing() -> None:
    route = Route("production", "old", "new", Weight(500))
    assert [route.share(name) for name in ("new", "old", "other")] == [Weight(500), Weight(9500), NONE]
    assert route.revisions == ("old", "new")
