from datetime import timedelta

from interlock.core.sample import Sample, Side
from interlock.core.share import ENOUGH, Share
from interlock.core.weight import NONE, Weight


def sample(canary: float, stable: float) -> Sample:
    return Sample(1.0, timedelta(seconds=5), Side(started=canary), Side(started=stable))


def test_whatever_share_the_users_have_is_possible_while_both_sides_get_some() -> None:
    for canary in (1, 50, 900):
        assert not Share(Weight(500), by_key=True).add(sample(canary, 1000 - canary)).impossible


def test_requests_at_weight_0_are_impossible() -> None:
    assert "weight 0" in Share(NONE, by_key=True).add(sample(1, 99)).impossible


def test_no_request_of_a_thousand_is_impossible_when_each_is_assigned_by_itself() -> None:
    assert not Share(Weight(100), by_key=False).add(sample(0, ENOUGH - 1)).impossible
    assert "none of" in Share(Weight(100), by_key=False).add(sample(0, ENOUGH)).impossible


def test_no_request_of_a_thousand_may_be_one_user_when_users_are_assigned() -> None:
    assert not Share(Weight(100), by_key=True).add(sample(0, 10 * ENOUGH)).impossible


def test_no_users_at_all_is_not_unverified() -> None:
    share = Share(Weight(500), by_key=False).add(sample(0, 0))
    assert share.observed is None
    assert not share.impossible


def test_a_side_that_was_not_seen_says_nothing() -> None:
    unseen = Sample(1.0, timedelta(seconds=5), None, Side(started=5000))
    assert not Share(Weight(500), by_key=False).add(unseen).impossible
