from datetime import timedelta

from interlock.core.sample import Sample, Side
from interlock.core.share import ENOUGH, ENOUGH_KEYS, Share
from interlock.core.weight import NONE, Weight


def sample(canary: float, stable: float) -> Sample:
    return Sample(1.0, timedelta(seconds=5), Side(started=canary), Side(started=stable))


def users(number: int) -> frozenset[str]:
    return frozenset(map(str, range(number)))


def test_whatever_share_the_users_have_is_possible_while_both_sides_get_some() -> None:
    for canary in (1, 50, 900):
        assert not Share(Weight(500), by_key=True).add(sample(canary, 1000 - canary)).impossible


def test_requests_at_weight_0_are_impossible() -> None:
    assert "weight 0" in Share(NONE, by_key=True).add(sample(1, 99)).impossible


def test_no_request_of_a_thousand_is_impossible_when_each_is_assigned_by_itself() -> None:
    assert not Share(Weight(100), by_key=False).add(sample(0, ENOUGH - 1)).impossible
    assert "none of" in Share(Weight(100), by_key=False).add(sample(0, ENOUGH)).impossible


def test_no_request_of_a_thousand_may_be_one_user_when_users_are_assigned() -> None:
    share = Share(Weight(5000), by_key=True).add(sample(0, ENOUGH))
    assert share.keys_wanted and not share.impossible
    few = share.of(users(ENOUGH_KEYS - 1))
    assert few.keys_wanted and not few.impossible
    many = few.of(users(ENOUGH_KEYS))
    assert not many.keys_wanted
    assert many.impossible == f"none of {ENOUGH} requests of {ENOUGH_KEYS} users reached the revision at 50 %"


def test_the_smaller_the_weight_the_more_users_must_be_missing_there() -> None:
    share = Share(Weight(100), by_key=True).add(sample(0, 10 * ENOUGH))
    assert share.of(users(1000)).keys_wanted  # (1 - 1 %) ** 1000 = 4.3e-5
    assert share.of(users(1010)).impossible


def test_users_are_not_counted_while_the_canary_has_requests_or_there_are_few() -> None:
    share = Share(Weight(100), by_key=True)
    assert not share.add(sample(0, ENOUGH - 1)).keys_wanted
    assert not share.add(sample(1, 10 * ENOUGH)).keys_wanted
    assert not Share(NONE, by_key=True).add(sample(0, 10 * ENOUGH)).keys_wanted
    assert not Share(Weight(100), by_key=False).add(sample(0, 10 * ENOUGH)).keys_wanted


def test_no_users_at_all_is_not_unverified() -> None:
    share = Share(Weight(500), by_key=False).add(sample(0, 0))
    assert share.observed is None
    assert not share.impossible


def test_a_side_that_was_not_seen_says_nothing() -> None:
    unseen = Sample(1.0, timedelta(seconds=5), None, Side(started=5000))
    assert not Share(Weight(500), by_key=False).add(unseen).impossible
