from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.plan import Stage, StrategyName
from interlock.core.planning import AUTO, Intent, Known, already_running, lay_out
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision, Sticky, StickyBy
from interlock.core.steps import Gate, GateName, SetWeight, Until, Watch
from interlock.core.strategy import Pace
from interlock.core.weight import ALL, Weight

STABLE = Revision(
    "production-old-1",
    "production",
    Release("shop", "v1", Artefact("sha256:v1", "memory"), Configuration(("serve",), instances=4), "common"),
)


def intent(strategy: StrategyName = StrategyName.CANARY, weights: tuple[Weight, ...] | None = None) -> Intent:
    release = Release("shop", "v2", Artefact("sha256:v2", "memory"), Configuration(("serve",), instances=4), "common")
    return Intent("production", Entrance(8000), strategy, Pace(), weights, Criteria(), release, "staging")


def known(rate: float | None) -> Known:
    return Known(STABLE, rate, 7)


def weights(stage: Stage) -> list[Weight]:
    return [step.weight for step in stage.steps if isinstance(step, SetWeight)]


def test_much_traffic_starts_at_the_smallest_weight() -> None:
    assert weights(lay_out(intent(), known(1000.0))) == [*AUTO, ALL]


def test_less_traffic_starts_at_the_smallest_weight_that_can_prove_safety_within_its_bake() -> None:
    firsts = [weights(lay_out(intent(), known(rate)))[0] for rate in (1000.0, 50.0, 10.0, 3.0)]
    assert firsts == sorted(firsts)
    assert len(set(firsts)) > 1


@pytest.mark.parametrize("rate", [50.0, 100.0, 1000.0])
def test_a_first_weight_that_suffices_is_promised_a_time_within_its_bake(rate: float) -> None:
    notes = lay_out(intent(), known(rate)).notes
    assert any("a healthy release is proven after about" in note for note in notes)
    assert not any("WARNING" in note for note in notes)


def test_traffic_that_can_prove_nothing_is_foretold_with_what_would_do() -> None:
    stage = lay_out(intent(weights=(Weight(100), ALL)), known(0.2))
    (warning,) = [note for note in stage.notes if note.startswith("WARNING")]
    assert "nothing can be proven in 15 min" in warning
    assert "hold for at most 30 min and then go back" in warning
    assert "more load" in warning


def test_what_follows_without_proof_is_the_policy_of_the_criteria() -> None:
    for policy, words in ((WithoutProof.ADVANCE, "advance unproven"), (WithoutProof.ROLL_BACK, "go back, by policy")):
        one = replace(intent(weights=(Weight(100), ALL)), criteria=Criteria(without_proof=policy))
        assert any(words in note for note in lay_out(one, known(0.2)).notes)


def test_unmeasured_traffic_starts_at_the_specifications_5_percent_and_says_so() -> None:
    stage = lay_out(intent(), known(None))
    assert weights(stage)[0] == Weight(500)
    assert any("not measured yet" in note for note in stage.notes)


def test_weights_that_are_written_stay_as_they_are() -> None:
    assert weights(lay_out(intent(weights=(Weight(300), ALL)), known(1000.0))) == [Weight(300), ALL]


def test_a_first_release_says_that_there_is_nothing_to_go_back_to() -> None:
    stage = lay_out(intent(), Known(None, None, 1))
    assert weights(stage) == [ALL]
    assert stage.retreat.stable is None
    assert any("nothing to go back to" in note for note in stage.notes)


def test_a_judged_environment_behind_staging_asks_for_its_proof() -> None:
    gates = [step.name for step in lay_out(intent(), known(100.0)).steps if isinstance(step, Gate)]
    assert gates == [GateName.NOT_QUARANTINED, GateName.STAGING, GateName.ROLLBACK_READY]
    before = replace(intent(StrategyName.BLUE_GREEN), proven_in="", criteria=None)
    stage = lay_out(before, known(None))
    assert GateName.STAGING not in [step.name for step in stage.steps if isinstance(step, Gate)]
    assert {step.until for step in stage.steps if isinstance(step, Watch)} == {Until.QUIET}


def test_the_name_of_a_revision_tells_environment_release_and_turn() -> None:
    stage = lay_out(intent(), known(100.0))
    assert stage.revision.name == f"production-{stage.revision.release.identity[:8]}-7"


def test_only_the_very_same_release_is_already_running() -> None:
    same = replace(intent(), release=STABLE.release)
    assert already_running(same, known(1.0))
    assert already_running(replace(same, release=replace(STABLE.release, version="renamed")), known(1.0))
    more = replace(STABLE.release, configuration=replace(STABLE.release.configuration, instances=5))
    assert not already_running(replace(same, release=more), known(1.0))


def test_who_is_assigned_how_is_said() -> None:
    by_request = lay_out(intent(), known(100.0)).notes
    assert any("each request is assigned by itself" in note for note in by_request)
    sticky = replace(intent(), entrance=Entrance(8000, sticky=Sticky(StickyBy.HEADER, "x-user")))
    assert any("users are assigned by header x-user" in note for note in lay_out(sticky, known(100.0)).notes)


def test_a_plan_is_the_same_whenever_it_is_made() -> None:
    assert lay_out(intent(), known(100.0)) == lay_out(intent(), known(100.0))
    assert Pace().first_bake == timedelta(minutes=15)
