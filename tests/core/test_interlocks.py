"""Is every change refused that would give users to instances that are not there, and none that helps them?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.examples import revision, stage_of

from interlock.core import gates, interlocks
from interlock.core.interlocks import Strength, World
from interlock.core.plan import StrategyName
from interlock.core.route import Route
from interlock.core.sample import Sample, Side
from interlock.core.tally import Tally
from interlock.core.weight import ALL, NONE, WHOLE, Weight

STAGE = stage_of(StrategyName.CANARY, revision("new", 4), revision("old", 4))
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def world(weight: Weight | None, new: int, old: int) -> World:
    route = None if weight is None else STAGE.route(weight)
    return World(route, {"new": Strength(new, 4), "old": Strength(old, 4)})


@given(st.integers(0, WHOLE).map(Weight), st.integers(0, 4), st.integers(0, 4))
def test_a_weight_is_permitted_only_when_both_sides_can_carry_theirs(weight: Weight, new: int, old: int) -> None:
    refusal = interlocks.steer(world(NONE, new, old), STAGE.route(weight))
    enough = new >= weight.needs(4) and old >= weight.rest.needs(4)
    assert (refusal is None) is enough


def test_a_refusal_says_what_is_asked_of_whom_and_what_there_is() -> None:
    assert interlocks.steer(world(NONE, 1, 4), STAGE.route(Weight(5000))) == (
        "50 % of production on new needs 2 ready instances, it has 1"
    )
    assert interlocks.steer(World(None, {}), STAGE.route(ALL)) is not None


@given(st.integers(0, WHOLE).map(Weight), st.integers(0, 4), st.integers(0, 4))
def test_a_retreat_never_gives_the_new_revision_more_nor_the_old_one_more_than_it_can_carry(
    weight: Weight, new: int, old: int
) -> None:
    now = world(weight, new, old)
    target = interlocks.retreat(now, STAGE)
    if target is None:
        assert new > 0 or old == 0
        return
    assert target.share("new") <= weight
    if new > 0 and target.share("new") < weight:
        assert old >= target.share("old").needs(4)
    if old == 4:
        assert target == STAGE.retreat


@given(st.integers(1, WHOLE).map(Weight), st.integers(1, 4))
def test_when_the_new_revision_is_dead_whatever_is_left_of_the_old_one_takes_all(weight: Weight, old: int) -> None:
    assert interlocks.retreat(world(weight, 0, old), STAGE) == STAGE.retreat


@given(st.integers(1, WHOLE).map(Weight), st.integers(1, 4), st.integers(0, 3))
def test_a_partial_retreat_moves_or_has_nothing_to_move(weight: Weight, new: int, old: int) -> None:
    now = world(weight, new, old)
    target = interlocks.retreat(now, STAGE)
    if target is not None:
        again = interlocks.retreat(World(target, now.strength), STAGE)
        assert again is None or again == target


def test_a_first_release_can_always_go_back_to_nothing() -> None:
    stage = stage_of(StrategyName.CANARY, revision("new"), None)
    assert interlocks.retreat(World(stage.route(ALL), {}), stage) == Route("production", None)


@given(st.integers(0, WHOLE).map(Weight), st.integers(0, 4))
def test_instances_leave_only_when_those_that_stay_carry_the_weight(weight: Weight, staying: int) -> None:
    refusal = interlocks.leave(world(weight, 4, 4), "new", staying)
    assert (refusal is None) is (weight == NONE or staying >= weight.needs(4))
    assert interlocks.leave(world(None, 4, 4), "new", staying) is None


def test_a_revision_that_a_route_names_is_not_forgotten() -> None:
    assert interlocks.forget(world(NONE, 0, 4), "new") == "the route of production still names new"
    assert interlocks.forget(World(Route("production", "old"), {}), "new") is None
    assert interlocks.forget(World(None, {}), "new") is None


# --- gates


def test_a_quarantined_release_is_refused_for_good_and_told_how_it_gets_out() -> None:
    release = STAGE.revision.release
    assert gates.not_quarantined(release, []).open
    assert gates.not_quarantined(release, [("another", "shop-1", "bad")]).open
    answer = gates.not_quarantined(release, [(release.identity, "shop-7-production", "errors")])
    assert (answer.open, answer.final) == (False, True)
    assert f"interlock quarantine release {release.identity}" in answer.reason
    assert "shop-7-production: errors" in answer.reason


@pytest.mark.parametrize(
    ("age", "is_open"),
    [
        (timedelta(0), True),
        (timedelta(days=7), True),
        (timedelta(days=7, seconds=1), False),
        (-timedelta(hours=1), True),
    ],
)
def test_a_proof_counts_while_it_is_valid(age: timedelta, is_open: bool) -> None:
    release = STAGE.revision.release
    proofs = [(release.proven_as, "shop-1", NOW - age), ("another", "shop-2", NOW)]
    assert gates.staging(release, "staging", proofs, NOW, timedelta(days=7)).open is is_open


def test_the_newest_proof_counts_and_none_is_none() -> None:
    release = STAGE.revision.release
    proofs = [(release.proven_as, f"shop-{days}", NOW - timedelta(days=days)) for days in (30, 1, 20)]
    assert "shop-1," in gates.staging(release, "staging", proofs, NOW, timedelta(days=7)).reason
    missing = gates.staging(release, "staging", [], NOW, timedelta(days=7))
    assert (missing.open, missing.final) == (False, True)
    assert "has not passed staging" in missing.reason


# --- the report's sums


def test_the_tally_adds_sides_and_remembers_when_it_was_bad() -> None:
    bad, good = Side(10, 10, 2, {5: 8, 10: 2}, 1), Side(5, 5, 0, {5: 5}, 0)
    tally = Tally()
    moments = [NOW + timedelta(seconds=n) for n in range(4)]
    for moment, side, whole in zip(moments, (good, bad, bad, good), (False, False, True, True), strict=True):
        tally = tally.add(Sample(1, timedelta(seconds=1), side, good), moment, whole=whole)
    assert (tally.canary.completed, tally.canary.failed, tally.stable.completed) == (30, 4, 20)
    assert (tally.last.completed, tally.last.failed) == (15, 2)
    assert (tally.first_bad, tally.last_bad) == (moments[1], moments[2])
    assert tally.canary.latency == {5: 26, 10: 4}
    assert Tally().add(Sample(1, timedelta(seconds=1), None, None), NOW, whole=False).canary == Side()
