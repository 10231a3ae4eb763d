from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.core.conditions import Conditions, Override
from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.foresight import AUTO
from interlock.core.health import Probe, ProbeKind
from interlock.core.load import Recipe
from interlock.core.on_call import OnCall, Roster
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.planning import Intent, Known, already_running, lay_out
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision, Sticky, StickyBy
from interlock.core.steps import Gate, GateName, Load, SetWeight, Smoke, Step, Until, Watch
from interlock.core.strategy import Pace
from interlock.core.weight import ALL, Weight
from interlock.core.window import Opening, Seen, WhenClosed, Window

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
    assert "0.2 requests/s measured, 0.002/s of them at 1 %" in warning
    assert "no weight suffices within 15 min; a bake of 1 d 10 h 59 min" in warning
    assert "(load: auto), 1,400 requests to each side at 10/s, 2 min 20 s" in warning


def test_the_weight_that_would_do_is_proposed() -> None:
    (warning,) = [note for note in lay_out(intent(weights=(Weight(100), ALL)), known(5.0)).notes if "WARNING" in note]
    assert "nothing can be proven in 15 min" in warning
    assert "What would do: a first weight of 10 %; a bake of 1 h 24 min; or synthetic load" in warning
    better = lay_out(intent(weights=(Weight(1000), ALL)), known(5.0)).notes
    assert not any("WARNING" in note for note in better)


def test_the_time_that_is_proposed_would_do() -> None:
    one = intent(weights=(Weight(100), ALL))
    longer = replace(one, pace=replace(one.pace, first_bake=timedelta(hours=1, minutes=25)))
    assert not any("WARNING" in note for note in lay_out(longer, known(5.0)).notes)


def test_the_load_that_is_proposed_would_do() -> None:
    stage = lay_out(loading(Recipe(always=False), weights=(Weight(100), ALL)), known(0.2))
    assert not any("WARNING" in note for note in stage.notes)
    assert any("users' requests prove nothing in 15 min, so synthetic load is to prove it" in n for n in stage.notes)
    (step,) = loads(stage)
    assert (step.requests, step.rate, step.duration) == (1400, 10, timedelta(seconds=140))


def test_a_proof_that_comes_while_the_watch_holds_is_no_reason_to_warn() -> None:
    notes = lay_out(intent(weights=(Weight(5000), ALL)), known(1.0)).notes
    assert any("its watch holds for so long, beyond its bake of 15 min" in note for note in notes)
    assert not any("WARNING" in note for note in notes)


def test_a_rolling_rollout_is_foretold_too() -> None:
    (warning,) = [note for note in lay_out(intent(StrategyName.ROLLING), known(0.1)).notes if "WARNING" in note]
    assert "at 25 %: nothing can be proven in 15 min" in warning


def loading(recipe: Recipe, strategy: StrategyName = StrategyName.CANARY, **more: Any) -> Intent:
    one = intent(strategy, **more)
    return replace(one, pace=replace(one.pace, load=recipe))


def loads(stage: Stage) -> list[Load]:
    return [step for step in stage.steps if isinstance(step, Load)]


def before_each(stage: Stage) -> list[Weight]:
    """Return the weights that come next after a load."""
    steps = stage.steps
    places = [place for place, step in enumerate(steps) if isinstance(step, Load)]
    return [next(step.weight for step in steps[place:] if isinstance(step, SetWeight)) for place in places]


@pytest.mark.parametrize("strategy", [StrategyName.CANARY, StrategyName.ROLLING])
def test_a_load_is_sent_before_users_come_and_before_each_weight_that_needs_proof(strategy: StrategyName) -> None:
    stage = lay_out(loading(Recipe(), strategy), known(1000.0))
    assert before_each(stage) == weights(stage)[:-1]
    kinds: list[type[Step]] = [type(step) for step in stage.steps]
    assert kinds.index(Load) == kinds.index(Smoke) + 1
    assert all((load.revision, load.beside) == (stage.revision.name, STABLE.name) for load in loads(stage))


def test_a_single_instance_is_tried_by_load_before_it_gets_everything() -> None:
    one = loading(Recipe(), StrategyName.ROLLING)
    one = replace(one, release=replace(one.release, configuration=Configuration(("serve",))))
    assert before_each(lay_out(one, known(1000.0))) == [ALL]


def test_load_by_need_is_sent_only_where_users_cannot_prove_a_bake_in_time() -> None:
    auto = Recipe(always=False)
    needed = [before_each(lay_out(loading(auto), known(rate))) for rate in (1000.0, 10.0, 0.5)]
    assert needed[0] == []
    assert needed[2] == [Weight(points) for points in (500, 1000, 2500, 5000)]
    assert set(needed[0]) <= set(needed[1]) < set(needed[2])
    assert any("no synthetic load is sent" in note for note in lay_out(loading(auto), known(1000.0)).notes)


def test_with_load_a_service_with_little_traffic_starts_small_all_the_same() -> None:
    assert weights(lay_out(intent(), known(0.2)))[0] == Weight(5000)
    assert weights(lay_out(loading(Recipe(always=False)), known(0.2)))[0] == Weight(500)


def test_a_load_too_small_to_prove_anything_is_warned_of() -> None:
    notes = lay_out(loading(Recipe(requests=300)), known(0.2)).notes
    assert any(note.startswith("WARNING: 300 synthetic requests at 10/s prove nothing") for note in notes)


def test_a_load_is_part_of_the_duration_and_of_the_plan() -> None:
    without, with_load = lay_out(intent(), known(1000.0)), lay_out(loading(Recipe()), known(1000.0))
    sent = sum((step.duration for step in loads(with_load)), timedelta(0))
    within = sum((step.within for step in loads(with_load)), timedelta(0))
    assert with_load.shortest - without.shortest == sent > timedelta(0)
    assert with_load.longest - without.longest == within
    assert with_load.watched == without.watched
    plans = [Plan("shop", "v2", (stage,), datetime(2026, 1, 1, tzinfo=UTC)) for stage in (without, with_load)]
    assert plans[0].hash != plans[1].hash


def test_no_load_is_sent_where_there_is_nothing_to_compare_with_or_to_speak_to() -> None:
    assert not loads(lay_out(loading(Recipe()), Known(None, None, 1)))
    assert not loads(lay_out(loading(Recipe(), StrategyName.BLUE_GREEN), known(1.0)))
    assert not loads(lay_out(replace(loading(Recipe()), criteria=None), known(1.0)))
    grpc = loading(Recipe())
    speaks = replace(grpc.release.configuration, readiness=Probe(ProbeKind.GRPC))
    stage = lay_out(replace(grpc, release=replace(grpc.release, configuration=speaks)), known(1000.0))
    assert not loads(stage)
    assert any(note.startswith("WARNING: no synthetic load") for note in stage.notes)


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


def windowed(at: datetime, policy: WhenClosed = WhenClosed.HOLD, override: bool = False) -> tuple[str, ...]:
    window = Window((Opening((0, 1, 2, 3, 4), 9 * 60, 17 * 60),), "Europe/Berlin", when_closed=policy)
    word = Override(GateName.WINDOW, "ada (unproven)", "the shop is down", at)
    conditions = Conditions(window=window, overrides=(word,) if override else ())
    stage = lay_out(replace(intent(), conditions=conditions), replace(known(1000.0), window=Seen(at)))
    return tuple(note for note in stage.notes if "window" in note)


def test_a_plan_says_when_its_window_closes_and_warns_when_that_is_on_the_way() -> None:
    (well,) = windowed(datetime(2026, 11, 24, 8, tzinfo=UTC))
    assert well.startswith("the window closes Tue 17:00 Europe/Berlin")
    (late,) = windowed(datetime(2026, 11, 24, 15, 50, tzinfo=UTC), WhenClosed.ROLL_BACK)
    assert late.startswith("WARNING: the window closes Tue 17:00 Europe/Berlin, before this can be done")
    assert late.endswith("then it goes back")


def test_a_plan_warns_when_its_window_is_closed_unless_a_person_has_overridden_it() -> None:
    saturday = datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert windowed(saturday)[0].startswith("WARNING: the window is closed now: ")
    assert windowed(saturday, override=True) == ("the window is overridden by ada (unproven): the shop is down",)


def test_who_must_acknowledge_has_their_own_time_for_it() -> None:
    conditions = Conditions(on_call=OnCall(Roster(("ada",)), acknowledge=True, within=timedelta(minutes=7)))
    gates = {
        step.name: step.patience
        for step in lay_out(replace(intent(), conditions=conditions), known(None)).steps
        if isinstance(step, Gate)
    }
    assert gates[GateName.ON_CALL] == timedelta(minutes=7)
    quiet = replace(conditions, on_call=OnCall(Roster(("ada",))))
    asked = [s for s in lay_out(replace(intent(), conditions=quiet), known(None)).steps if isinstance(s, Gate)]
    assert {s.patience for s in asked if s.name is GateName.ON_CALL} == {Pace().hold_at_most}
