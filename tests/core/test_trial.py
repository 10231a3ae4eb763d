"""Do the rules of a watch hold for samples alone?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.examples import revision, stage_of

from interlock.core.course import Course, legs, planned
from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.plan import StrategyName
from interlock.core.sample import Sample, Side
from interlock.core.strategy import Pace
from interlock.core.trial import Trial, What
from interlock.core.watching import Unproven, without_proof
from interlock.core.weight import ALL, Weight

EVERY = timedelta(seconds=5)
PACE = Pace((Weight(1000), ALL), timedelta(minutes=1), timedelta(minutes=1), timedelta(minutes=1), timedelta(minutes=2))
STEPS = stage_of(StrategyName.CANARY, revision("v2"), revision("v1"), PACE).steps


def side(n: float, failed: float = 0.0) -> Side:
    return Side(n, n, failed, {10.0: 0.7 * n, 20.0: 0.28 * n, 40.0: 0.015 * n, 80.0: 0.005 * n})


def trial(criteria: Criteria = Criteria()) -> Trial:
    return Trial(Course(legs(STEPS), criteria, planned(STEPS, EVERY)))


def feed(trial: Trial, canary: Side | None, stable: Side | None = None, seconds: float = 1000.0) -> list[What]:
    now = trial.happenings[-1].seconds if trial.happenings else 0.0
    while not trial.over and now < seconds:
        now += 5.0
        trial.take(now, Sample(now, EVERY, canary, side(500) if stable is None else stable), True)
    trial.end(now)
    return [one.what for one in trial.happenings]


def test_the_watches_of_users_are_the_legs_of_the_way() -> None:
    assert [(leg.weight, leg.watch.last) for leg in legs(STEPS)] == [(Weight(1000), False), (ALL, True)]


def test_a_good_release_goes_through_when_each_watch_has_had_its_time() -> None:
    one = trial()
    assert feed(one, side(60)) == [What.WEIGHT, What.ADVANCED, What.WEIGHT, What.THROUGH]
    assert [round(happening.seconds) for happening in one.happenings] == [0, 60, 60, 120]
    assert one.outcome.text == "proven on 720 requests"


def test_a_bad_one_is_taken_back_at_once_with_its_judgement() -> None:
    one = trial()
    assert feed(one, side(60, 30)) == [What.WEIGHT, What.ROLLED_BACK]
    assert one.outcome.seconds <= 10 and one.outcome.judgement is not None
    assert "of the canary's requests failed in the last minute" in one.outcome.text


@pytest.mark.parametrize(
    ("policy", "ends", "seconds"),
    [
        (WithoutProof.HOLD, [What.WEIGHT, What.HELD, What.NO_PROOF], 180),
        (WithoutProof.ROLL_BACK, [What.WEIGHT, What.NO_PROOF], 60),
        (WithoutProof.ADVANCE, [What.WEIGHT, What.UNPROVEN, What.WEIGHT, What.THROUGH], 120),
    ],
)
def test_without_proof_the_policy_decides(policy: WithoutProof, ends: list[What], seconds: float) -> None:
    one = trial(replace(Criteria(), without_proof=policy))
    assert feed(one, side(1)) == ends
    assert one.outcome.seconds == seconds


def test_silence_is_never_a_pass_and_blindness_goes_back() -> None:
    assert feed(trial(), side(0))[-1] is What.NO_PROOF
    one = trial()
    assert feed(one, None) == [What.WEIGHT, What.NO_PROOF]
    assert one.outcome.text == "blind for 65 s with 10 % of the traffic"


def test_users_who_give_up_take_it_back() -> None:
    gone = Side(60, 10, 0, {10.0: 10.0}, 0.0, 50.0)
    one = trial()
    assert feed(one, gone)[-1] is What.ROLLED_BACK
    assert one.outcome.text.startswith("users gave up 50 of 60 requests")


def test_samples_that_end_too_early_decide_nothing_and_say_what_is_missing() -> None:
    one = trial()
    assert feed(one, side(20), seconds=20.0) == [What.WEIGHT, What.UNDECIDED]
    assert "needs" in one.outcome.text


def test_no_more_is_observed_than_samples_cover() -> None:
    one = trial()
    one.take(5.0, Sample(5.0, EVERY, side(60), side(500)), True)
    one.take(70.0, Sample(70.0, timedelta(seconds=65), side(700), side(6000)), True)
    assert not [h for h in one.happenings if h.what is What.ADVANCED], "of a gap two samples' time counts"


@pytest.mark.parametrize("policy", list(WithoutProof))
@pytest.mark.parametrize("over", [False, True])
def test_what_follows_without_proof_is_never_an_advance_of_something_unseen(policy: WithoutProof, over: bool) -> None:
    assert without_proof(policy, over=over, good=False) is not Unproven.ADVANCES
    if policy is WithoutProof.HOLD:
        assert (without_proof(policy, over=over, good=True) is Unproven.FAILS) is over
