"""Are users with a flag compared with those without it, and with nobody else?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.core.examples import canary_stage
from tests.core.test_transitions import AT

from interlock.core.cohort import EXPOSED, UNEXPOSED, Cohort, split
from interlock.core.criteria import Criteria
from interlock.core.flag import Captured, Flag, FlagFile, FlagState
from interlock.core.metric import Prometheus, Ratio, Series
from interlock.core.rollout import Rollout, begin
from interlock.core.sample import Events, Sample, Side
from interlock.engine.exposed import Exposed

COHORT = Cohort(Series.parse('requests_total{code="500"}'), Series.parse("requests_total"))
FLAG = Flag("new_feature", FlagFile("flags.json"))
SECOND = timedelta(seconds=1)


def sample(number: int, with_flag: tuple[float, float], without: tuple[float, float], failed: float = 0) -> Sample:
    """A sample in which so many requests, and so many bad ones, were served with the flag and without it."""
    named = {EXPOSED: Events(*with_flag), UNEXPOSED: Events(*without), "refused-payments": Events(5, 1)}
    total = with_flag[0] + without[0]
    return Sample(float(number), SECOND, Side(total, total, failed, named=named), None, "boot")


def holding(exposure: int) -> Rollout:
    state = FlagState(exposure > 0, exposure, native=str(exposure))
    rollout = begin("r", "run", "hash", canary_stage(), AT)
    return replace(rollout, flags=(Captured(FLAG, state, state),))


def judged(exposure: int, with_flag: tuple[float, float], without: tuple[float, float], samples: int = 60) -> Exposed:
    exposed = Exposed(Criteria(cohort=COHORT), 100)
    for number in range(1, samples + 1):
        exposed.take(holding(exposure), sample(number, with_flag, without))
    return exposed


def test_both_are_read_by_the_label_that_says_which_variant_served_the_request() -> None:
    source = Prometheus("http://127.0.0.1:9090")
    exposed, unexposed = replace(COHORT, path="", source=source).metrics
    assert isinstance(exposed.events, Ratio) and isinstance(unexposed.events, Ratio)
    assert str(exposed.events.bad) == 'requests_total{code="500",feature_flag_result_variant="on"}'
    assert str(exposed.events.of) == 'requests_total{feature_flag_result_variant="on"}'
    assert str(unexposed.events.of) == 'requests_total{feature_flag_result_variant="off"}'
    assert (exposed.source, unexposed.path) == (source, "")


def test_what_belongs_to_the_cohorts_is_taken_out_of_what_the_release_is_judged_by() -> None:
    whole, cohorts = split(sample(1, (10, 3), (90, 0)))
    assert whole.canary is not None and dict(whole.canary.named) == {"refused-payments": Events(5, 1)}
    assert cohorts.canary == Side(10, 10, 3) and cohorts.stable == Side(90, 90, 0)


def test_a_cohort_that_nobody_showed_is_not_seen_and_no_cohort_of_zero_requests() -> None:
    blind = Sample(1.0, SECOND, Side(10, 10), None, "boot")
    assert split(blind)[1].canary is None
    assert split(Sample(1.0, SECOND, None, None, "boot")) == (Sample(1.0, SECOND, None, None, "boot"),) * 2


def test_a_fault_of_users_with_the_flag_is_found_although_it_is_little_in_the_whole() -> None:
    bad = judged(5, (10, 1.5), (190, 0))  # 15 % of them, 0.75 % of all
    assert bad.accusation.startswith("of requests with the flag, beside those without it: ")
    assert (bad.with_flag.completed, bad.without.completed) == (600, 11400)


def test_a_trouble_that_users_without_the_flag_share_is_not_put_down_to_it() -> None:
    assert judged(5, (10, 0.5), (190, 9.5)).accusation == ""


def test_nothing_is_compared_while_nobody_or_everybody_has_the_flag() -> None:
    for exposure in (0, 100):
        unseen = judged(exposure, (10, 10), (190, 0))
        assert (unseen.accusation, unseen.with_flag.completed) == ("", 0)


def test_what_was_held_against_a_flag_is_forgotten_when_nobody_has_it_any_more() -> None:
    bad = judged(5, (10, 5), (190, 0))
    assert bad.accusation
    bad.begin_anew()
    assert bad.accusation == ""


def test_what_is_known_of_cohorts_outlives_a_crash() -> None:
    bad, again = judged(5, (10, 1.5), (190, 0)), Exposed(Criteria(cohort=COHORT), 100)
    again.recover(bad.record())
    assert (again.accusation, again.with_flag) == (bad.accusation, bad.with_flag)
    nothing = Exposed(Criteria(), 100)
    assert (nothing.record(), nothing.metrics, nothing.accusation) == (None, (), "")
    assert nothing.take(holding(5), sample(1, (1, 1), (1, 0))) == sample(1, (1, 1), (1, 0))
