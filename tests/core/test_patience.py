import pytest

from interlock.core.patience import given_up
from interlock.core.sample import Side

CALM = Side(completed=1000, abandoned=5)


def test_a_revision_that_answers_nobody_is_seen_by_those_who_go_away() -> None:
    assert "20 of 20 requests (100%)" in given_up([Side(abandoned=12), Side(abandoned=8)], CALM)


@pytest.mark.parametrize(
    ("recent", "stable"),
    [
        (Side(completed=0, abandoned=19), CALM),
        (Side(completed=100, abandoned=99), CALM),
        (Side(completed=10, abandoned=90), Side(completed=400, abandoned=600)),
        (Side(completed=0, abandoned=1000), Side(completed=19)),
        (Side(), CALM),
    ],
    ids=("too few", "less than half", "as from the old revision", "nothing to compare with", "nobody asked"),
)
def test_users_who_go_away_for_reasons_of_their_own_are_no_evidence(recent: Side, stable: Side) -> None:
    assert not given_up([recent], stable)
