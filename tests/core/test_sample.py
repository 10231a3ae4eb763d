"""What happened between two readings of counters that reset, tear, move and vanish?"""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.core.sample import Counters, Events, Reading, Side, carried, difference


def reading(at: float, boot: str = "one", **revisions: dict[str, Counters]) -> Reading:
    return Reading(at, boot, revisions)


def one(started: float, completed: float, failed: float = 0, **latency: float) -> dict[str, Counters]:
    edges = {float(edge[1:]): count for edge, count in latency.items()}
    return {"envoy": Counters(started, completed, failed, edges)}


def test_what_has_grown_is_what_happened() -> None:
    before = reading(10, new=one(100, 90, 1, _5=80, _10=10), old=one(1000, 1000))
    after = reading(15, new=one(150, 149, 3, _5=120, _10=25, _20=4), old=one(1900, 1890, 2))
    sample = difference(before, after, "new", "old")
    assert sample is not None
    assert (sample.monotonic, sample.covers, sample.boot) == (15, timedelta(seconds=5), "one")
    assert sample.canary == Side(50, 59, 2, {5: 40, 10: 15, 20: 4}, pending=1)
    assert sample.stable == Side(900, 890, 2, {}, pending=10)


@pytest.mark.parametrize(
    "before", [None, reading(5, "another boot", new=one(1, 1)), reading(10, new=one(1, 1)), reading(11, new=one(1, 1))]
)
def test_without_an_earlier_reading_of_this_boot_nothing_can_be_said(before: Reading | None) -> None:
    assert difference(before, reading(10, new=one(5, 5)), "new", "old") is None


def test_a_side_that_was_not_read_is_blindness_and_not_silence() -> None:
    sample = difference(reading(1, new=one(1, 1)), reading(2, new=one(1, 1)), "new", "old")
    assert sample is not None
    assert sample.stable is None
    assert sample.canary == Side()
    gone = difference(reading(1, new=one(1, 1)), reading(2), "new", None)
    assert gone is not None
    assert gone.canary is None


def test_a_counter_that_fell_was_reset_and_its_value_is_what_happened_since() -> None:
    sample = difference(reading(1, new=one(100, 100, 50, _5=100)), reading(2, new=one(8, 7, 1, _5=7)), "new", None)
    assert sample is not None
    assert sample.canary == Side(8, 7, 1, {5: 7}, pending=1)


def test_a_histogram_that_begins_anew_alone_counts_from_zero_whatever_a_bucket_has_outgrown() -> None:
    before, after = reading(1, new=one(100, 100, _5=2, _10=98)), reading(2, new=one(120, 120, _5=15, _10=5))
    sample = difference(before, after, "new", None)
    assert sample is not None and sample.canary is not None
    assert (sample.canary.completed, sample.canary.latency) == (20, {5: 15, 10: 5})


def test_a_histogram_that_has_lost_edges_is_told_by_those_that_are_left() -> None:
    """10 more answers of at most 10, 5 of at most 20, 1 beyond: what was counted finer before is not counted again."""
    before, after = one(100, 100, _5=40, _10=20, _20=30, _inf=10), one(116, 116, _10=70, _20=35, _inf=11)
    for first, then in (
        (before, after),
        (one(100, 100, _10=60, _20=30, _inf=10), one(116, 116, _5=45, _10=25, _20=35, _inf=11)),
    ):
        sample = difference(reading(1, new=first), reading(2, new=then), "new", None)
        assert sample is not None and sample.canary is not None
        assert sample.canary.latency == {10: 10, 20: 5, float("inf"): 1}


def test_a_reset_that_one_counter_has_outgrown_already_is_seen_by_the_others() -> None:
    """After a restart more may have been started than ever before, while fewer were completed: both begin at zero."""
    sample = difference(reading(1, new=one(10, 10, 9, _5=10)), reading(2, new=one(20, 8, 0, _5=8)), "new", None)
    assert sample is not None
    assert sample.canary == Side(20, 8, 0, {5: 8}, pending=12)


def test_a_source_seen_for_the_first_time_only_sets_its_starting_point() -> None:
    before = reading(1, new={"a": Counters(10, 10)})
    after = reading(2, new={"a": Counters(15, 15), "b": Counters(5000, 5000, 400)})
    sample = difference(before, after, "new", None)
    assert sample is not None
    assert sample.canary == Side(5, 5, 0, {}, pending=0)


def test_a_revision_that_is_new_began_at_zero() -> None:
    sample = difference(reading(1), reading(2, new=one(7, 5, 1, _5=5)), "new", None)
    assert sample is not None
    assert sample.canary == Side(7, 5, 1, {5: 5}, pending=2)


def test_a_source_that_was_replaced_does_not_look_like_a_reset_of_the_sum() -> None:
    before = reading(1, new={"a": Counters(1000, 1000), "b": Counters(500, 500)})
    after = reading(2, new={"b": Counters(510, 509), "c": Counters(3, 3)})
    sample = difference(before, after, "new", None)
    assert sample is not None
    assert sample.canary == Side(10, 9, 0, {}, pending=1)


def test_a_torn_reading_never_gives_negative_numbers() -> None:
    before = reading(1, new=one(100, 100, 5, _5=100))
    after = reading(2, new={"envoy": Counters(101, 103, 4, {5: 99})})
    sample = difference(before, after, "new", None)
    assert sample is not None and sample.canary is not None
    side = sample.canary
    assert min(side.started, side.completed, side.failed, side.pending, *side.latency.values()) >= 0


def test_numbers_that_are_none_count_as_nothing() -> None:
    after = reading(2, new={"envoy": Counters(float("nan"), float("inf"), float("nan"), {5: float("inf")})})
    sample = difference(reading(1, new=one(1, 1)), after, "new", None)
    assert sample is not None and sample.canary is not None
    assert (sample.canary.started, sample.canary.completed, sample.canary.failed) == (0, 0, 0)
    assert sample.canary.latency == {5: 0}


def test_rates_and_quantiles_for_people() -> None:
    assert Side().error_rate is None
    assert Side().quantile(0.99) is None
    assert Side(10, 10, 20).error_rate == 1.0
    side = Side(latency={5: 90, 10: 9, float("inf"): 1})
    assert [side.quantile(q) for q in (0.5, 0.9, 0.95, 0.99, 1)] == [5, 5, 10, 10, float("inf")]


def test_what_users_gave_up_is_neither_completed_nor_pending() -> None:
    before = Reading(1, "boot", {"new": {"proxy": Counters(10, 8)}})
    after = Reading(2, "boot", {"new": {"proxy": Counters(20, 9, abandoned=7)}})
    sample = difference(before, after, "new", None)
    assert sample is not None and sample.canary is not None
    assert (sample.canary.completed, sample.canary.abandoned, sample.canary.pending) == (1, 7, 4)


# What is carried on when it was not counted for once


def counted(at: float, **requests: float) -> Reading:
    return Reading(at, "boot", {name: {"proxy": Counters(n, n)} for name, n in requests.items()})


def test_a_revision_that_was_not_counted_once_is_counted_from_where_it_was() -> None:
    kept = carried(counted(1, new=100, old=900), counted(2, old=990))
    sample = difference(kept, counted(3, new=120, old=1080), "new", "old")
    assert sample is not None and sample.canary is not None and sample.stable is not None
    assert (sample.canary.completed, sample.stable.completed) == (20, 90)


def test_another_boot_begins_anew() -> None:
    after = Reading(1, "another", {})
    assert carried(counted(5, new=100), after) == after


# Metrics that the user names


def shown(at: float, **lives: tuple[float, float] | None) -> Reading:
    """What the lives of the instances of "new" have counted: (events, bad); None for one that is not seen."""
    named = {life: {} if now is None else {"checkouts": Events(*now)} for life, now in lives.items()}
    return Reading(at, "boot", {"new": {"proxy": Counters(at, at)}}, {"new": named})


def checkouts(before: Reading, after: Reading) -> Events | None:
    sample = difference(before, after, "new", None)
    assert sample is not None and sample.canary is not None
    return sample.canary.named.get("checkouts")


def test_the_instances_counts_are_subtracted_each_for_itself_and_summed_then() -> None:
    assert checkouts(shown(1, a=(100, 1), b=(50, 0)), shown(2, a=(110, 2), b=(70, 0))) == Events(30, 1)


def test_a_replaced_instance_does_not_look_like_a_reset_of_the_sum() -> None:
    before = shown(1, a=(10_000, 50), b=(10_000, 50))
    assert checkouts(before, shown(2, a=(10_100, 50), c=(0, 0))) == Events(100, 0)


def test_an_instance_that_counts_from_zero_again_under_its_old_name_was_reset() -> None:
    assert checkouts(shown(1, a=(100, 5)), shown(2, a=(40, 0))) == Events(40, 0)


def test_an_instance_seen_for_the_first_time_only_sets_its_starting_point() -> None:
    assert checkouts(shown(1, a=(100, 5)), shown(2, a=(110, 5), b=(9000, 900))) == Events(10, 0)


def test_an_instance_that_was_not_seen_once_is_counted_from_where_it_was() -> None:
    kept = carried(shown(1, a=(100, 5), b=(70, 0)), shown(2, a=(120, 5), b=None))
    assert checkouts(kept, shown(3, a=(130, 6), b=(90, 2))) == Events(30, 3)


def test_a_metric_that_nobody_shows_is_missing_and_not_zero() -> None:
    assert checkouts(shown(1, a=(100, 5)), shown(2, a=None)) is None


def test_what_was_shown_while_the_proxy_was_not_counted_is_counted_later() -> None:
    unseen = Reading(2, "boot", {}, shown(2, a=(150, 9)).named)
    kept = carried(shown(1, a=(100, 5)), unseen)
    assert checkouts(kept, shown(3, a=(160, 9))) == Events(60, 4)
