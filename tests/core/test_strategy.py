"""Does the order of a strategy's steps alone keep the interlocks, for every size, forward and back from every step?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.core.examples import revision, stage_of
from tests.core.test_transitions import AT

from interlock.core.flag import OFF, Flag, FlagFile, FlagUse, OnFlagFailure
from interlock.core.migration import Migration
from interlock.core.plan import OF_CODE, Stage, StrategyName
from interlock.core.release import Revision
from interlock.core.rollout import Rollout, begin
from interlock.core.steps import (
    CaptureFlags,
    ConfirmFlags,
    Drain,
    Gate,
    GateName,
    PullFlags,
    RestoreFlags,
    Retire,
    SetFlag,
    Settle,
    SetWeight,
    Smoke,
    Start,
    Step,
    Until,
    Watch,
)
from interlock.core.strategy import Pace
from interlock.core.weight import ALL, NONE, WHOLE, Weight

SIZES = [(new, old) for new in range(1, 8) for old in (None, 1, 2, 3, new, 7)]
ASKS = (GateName.BEFORE_START, GateName.BEFORE_TRAFFIC, GateName.BEFORE_PROMOTION)
FLAG = Flag("new_feature", FlagFile("flags.json"))
USE = FlagUse(FLAG, during=((Weight(2500), 2),))
PACES = [
    Pace(),
    Pace(approve=True, judged=False, staged=False),
    Pace(weights=(Weight(1), Weight(9999), ALL)),
    Pace(approve=True, hooks=ASKS, migration=Migration(("migrate",), irreversible=True)),
    Pace(flags=(USE, FlagUse(Flag("other", FLAG.source), disable=False, ramp=(100,)))),
]


def every(strategy: StrategyName) -> Iterator[Stage]:
    for new, old in dict.fromkeys(SIZES):
        for pace in PACES:
            yield stage_of(strategy, revision("new", new), revision("old", old) if old else None, pace)


@dataclass
class Model:
    """Two revisions, their ready instances, and a weight: what the steps do to them, and what they may never do."""

    stage: Stage
    ready: dict[str, int] = field(default_factory=dict)
    serving: dict[str, int] = field(default_factory=dict)
    weight: Weight = NONE
    settled: str | None = None
    tested: bool = False

    def __post_init__(self) -> None:
        if self.stage.replaces:
            old = self.stage.replaces
            self.ready[old.name] = self.serving[old.name] = old.release.configuration.instances

    def take(self, step: Step) -> None:
        match step:
            case Start(revision=name, instances=instances):
                self.ready[name] = self.serving[name] = max(self.ready.get(name, 0), instances)
            case Smoke(revision=name):
                assert self.serving[name] >= 1
                self.tested = True
            case SetWeight(weight=weight):
                self.weight, self.settled = weight, None
                assert self.tested or weight == NONE
                self.carries()
            case Settle(revision=name):
                self.settled = name
                self.carries()
            case Drain(revision=name, keep=keep):
                assert keep < self.serving[name]
                self.serving[name] = keep
                self.carries()
            case Retire(revision=name, keep=keep):
                assert self.serving.get(name, 0) == keep, "retired before it was drained"
                self.ready[name] = keep

    def share(self, revision: Revision) -> Weight:
        if self.settled is not None:
            return ALL if revision.name == self.settled else NONE
        return self.weight if revision is self.stage.revision else self.weight.rest

    def carries(self) -> None:
        for one in (self.stage.revision, self.stage.replaces):
            if one is not None:
                size = one.release.configuration.instances
                assert self.serving.get(one.name, 0) >= self.share(one).needs(size), f"{one.name} at {self.weight}"

    @property
    def capacity(self) -> float:
        """How much of the whole traffic the ready instances can carry."""
        both = (self.stage.revision, self.stage.replaces)
        return sum(self.serving.get(r.name, 0) / r.release.configuration.instances for r in both if r is not None)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_every_layout_keeps_the_interlocks_and_ends_with_the_new_revision_alone(strategy: StrategyName) -> None:
    for stage in every(strategy):
        model = Model(stage)
        for step in stage.steps:
            before = (dict(model.serving), model.weight)
            model.take(step)
            changed = (model.serving != before[0]) + (model.weight != before[1])
            assert changed <= 1, "membership and weight changed in one step"
            if stage.replaces is not None:
                assert model.capacity >= 1 - 2 / WHOLE
        assert model.share(stage.revision) == ALL
        assert model.ready == {stage.revision.name: stage.instances} | ({"old": 0} if stage.replaces else {})


@pytest.mark.parametrize("strategy", OF_CODE)
def test_weights_rise_strictly_to_the_whole(strategy: StrategyName) -> None:
    for stage in every(strategy):
        weights = [step.weight for step in stage.steps if isinstance(step, SetWeight)]
        assert weights == sorted(set(weights))
        assert (weights[0] > NONE, weights[-1]) == (True, ALL)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_from_every_step_there_is_a_way_back_to_the_old_revision_alone(strategy: StrategyName) -> None:
    for stage in every(strategy):
        for turned_at in range(len(stage.steps)):
            model, rollout = Model(stage), at(stage, turned_at)
            for step in stage.steps[: turned_at + 1]:
                model.take(step)
            model.weight, model.settled = model.share(stage.revision), None
            for step in rollout.way_back:
                if isinstance(step, Drain) and not model.serving.get(step.revision):
                    continue  # nothing was started, or has been stopped already
                model.take(step)
            assert model.share(stage.revision) == NONE
            left = {name: ready for name, ready in model.ready.items() if ready}
            assert left == ({"old": stage.replaces.release.configuration.instances} if stage.replaces else {})


def at(stage: Stage, turned_at: int) -> Rollout:
    return replace(begin("r", "run", "hash", stage, AT), turned_at=turned_at)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_gates_come_first_and_every_weight_is_watched(strategy: StrategyName) -> None:
    for stage in every(strategy):
        asked = (Gate, CaptureFlags)
        ready = stage.steps.index(next(step for step in stage.steps if not isinstance(step, asked)))
        gates = [step.name for step in stage.steps[:ready] if isinstance(step, Gate)]
        assert gates[0] is GateName.NOT_QUARANTINED
        assert gates[-1] is GateName.ROLLBACK_READY
        for number, step in enumerate(stage.steps):
            if isinstance(step, SetWeight):
                watch = stage.steps[number + 1]
                assert isinstance(watch, Watch)
                assert watch.last is (step.weight == ALL and not stage.flags)
        assert [step for step in stage.steps if isinstance(step, Watch) and step.last] != []


@pytest.mark.parametrize("size", range(1, 8))
def test_rolling_replaces_one_at_a_time_and_surges_by_one(size: int) -> None:
    stage = stage_of(StrategyName.ROLLING, revision("new", size), revision("old", size))
    model = Model(stage)
    most = 0
    for step in stage.steps:
        model.take(step)
        watched = isinstance(step, Watch) and step.last
        most = max(most, 0 if watched else sum(model.ready.values()))
    assert most == size + 1
    starts = [step.instances for step in stage.steps if isinstance(step, Start)]
    assert starts == list(range(1, size + 1))


@pytest.mark.parametrize("strategy", OF_CODE)
def test_no_step_is_there_for_nothing_in_a_rolling_rollout(strategy: StrategyName) -> None:
    for stage in every(strategy):
        keeps = [step.keep for step in stage.steps if isinstance(step, Drain) and step.revision == "old"]
        assert keeps == sorted(set(keeps), reverse=True)


def test_a_judged_environment_asks_for_proof_and_another_for_health_alone() -> None:
    for judged, until in ((True, Until.PROVEN), (False, Until.QUIET)):
        stage = stage_of(StrategyName.CANARY, revision("new"), revision("old"), Pace(judged=judged))
        assert {step.until for step in stage.steps if isinstance(step, Watch) and not step.last} == {until}


def test_a_person_is_asked_before_the_first_weight_and_the_gates_once_more_after_that() -> None:
    for strategy in OF_CODE:
        stage = stage_of(strategy, revision("new"), revision("old"), Pace(approve=True))
        first = next(number for number, step in enumerate(stage.steps) if isinstance(step, SetWeight))
        watch, *gates = stage.steps[first - 3 : first]
        assert isinstance(watch, Watch)
        assert watch.until is Until.APPROVED
        assert gates == [Gate(GateName.NOT_QUARANTINED), Gate(GateName.STAGING)]


@pytest.mark.parametrize(
    "weights", [(), (ALL, ALL), (Weight(500), Weight(400), ALL), (NONE, ALL), (Weight(500),), (Weight(5), Weight(9999))]
)
def test_weights_that_do_not_rise_from_above_nothing_to_everything_are_refused(weights: tuple[Weight, ...]) -> None:
    with pytest.raises(ValueError, match="weights must"):
        Pace(weights=weights)


def test_a_stage_knows_its_shortest_and_longest_time() -> None:
    stage = stage_of(StrategyName.CANARY, revision("new"), revision("old"))
    assert stage.shortest == timedelta(minutes=15 + 5 + 5 + 30)
    assert stage.longest > stage.shortest + 4 * timedelta(minutes=30)
    with pytest.raises(KeyError, match="other is no revision of the plan for production"):
        stage.known("other")


@pytest.mark.parametrize("strategy", OF_CODE)
@pytest.mark.parametrize("first", [True, False])
def test_a_flag_is_off_before_anything_starts_and_goes_up_only_when_the_code_has_all_the_traffic(
    strategy: StrategyName, first: bool
) -> None:
    stage = stage_of(strategy, revision("new"), None if first else revision("old"), Pace(flags=(FlagUse(FLAG),)))
    flags = [step for step in stage.steps if isinstance(step, SetFlag)]
    assert [step.percentage for step in flags] == [OFF, 5, 25, 50, 100]
    begins = {kind: next(n for n, s in enumerate(stage.steps) if isinstance(s, kind)) for kind in (CaptureFlags, Start)}
    assert begins[CaptureFlags] < stage.steps.index(flags[0]) < begins[Start]
    whole = stage.steps.index(next(s for s in stage.steps if isinstance(s, SetWeight) and s.weight == ALL))
    assert isinstance(stage.steps[whole + 1], Watch)
    assert stage.steps.index(flags[1]) == whole + 2
    assert all(isinstance(stage.steps[stage.steps.index(up) + 1], Watch) for up in flags[1:])
    last = stage.steps.index(flags[-1])
    gone = [n for n, s in enumerate(stage.steps) if isinstance(s, Drain) and s.keep == 0]
    assert gone == [] or gone[0] > last


def test_a_flag_goes_up_inside_a_canary_only_after_its_weight_was_watched() -> None:
    steps = stage_of(StrategyName.CANARY, revision("new"), revision("old"), Pace(flags=(USE,))).steps
    at = steps.index(SetFlag(FLAG, 2))
    assert steps[at - 2] == SetWeight(Weight(2500))
    assert isinstance(steps[at - 1], Watch)
    assert isinstance(steps[at + 1], Watch)


def test_on_the_way_back_flags_are_commanded_first_and_restored_when_nobody_can_reach_the_new_code() -> None:
    for old in (None, revision("old")):
        stage = stage_of(StrategyName.CANARY, revision("new"), old, Pace(flags=(USE,)))
        kinds = [type(step) for step in stage.rollback]
        assert kinds[0] is PullFlags
        order = [kinds.index(kind) for kind in (PullFlags, SetWeight, ConfirmFlags, Drain, Retire, RestoreFlags)]
        assert order == sorted(order)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_flags_go_back_when_one_was_moved_and_are_left_alone_before_that(strategy: StrategyName) -> None:
    stage = stage_of(strategy, revision("new"), revision("old"), Pace(flags=(USE,)))
    moved = next(n for n, step in enumerate(stage.steps) if isinstance(step, SetFlag))
    for turned_at in range(len(stage.steps)):
        kinds = [type(step) for step in at(stage, turned_at).way_back]
        flags = [kind for kind in kinds if kind in (PullFlags, ConfirmFlags, RestoreFlags)]
        assert flags == ([PullFlags, ConfirmFlags, RestoreFlags] if turned_at >= moved else [])


def test_only_the_flags_go_back_unless_everything_is_to() -> None:
    old, new = revision("old"), revision("new")
    alone = stage_of(StrategyName.CANARY, new, old, Pace(flags=(USE,)))
    assert [type(step) for step in alone.retract] == [SetFlag, Watch, Settle, Drain, Retire]
    assert alone.retract[0] == SetFlag(FLAG, OFF)
    everything = replace(USE, on_failure=OnFlagFailure.EVERYTHING)
    assert stage_of(StrategyName.CANARY, new, old, Pace(flags=(everything,))).retract == ()
    assert stage_of(StrategyName.CANARY, new, old).retract == ()


def test_a_flag_alone_moves_nothing_else_and_goes_back_alone() -> None:
    code = revision("v1")
    stage = stage_of(StrategyName.FLAG, code, code, Pace(flags=(replace(USE, disable=False, during=()),), staged=False))
    moved = {type(step) for step in (*stage.steps, *stage.rollback)}
    assert not moved & {Start, SetWeight, Settle, Drain, Retire}
    assert [step.percentage for step in stage.steps if isinstance(step, SetFlag)] == [5, 25, 50, 100]
    assert [type(step) for step in stage.rollback] == [PullFlags, ConfirmFlags, RestoreFlags, Watch]
    assert stage.retract == ()
    assert at(stage, 0).way_back == (RestoreFlags((FLAG,)),)


@pytest.mark.parametrize("ramp", [(5, 5), (25, 5), (0,), (101,)])
def test_percentages_of_a_flag_that_do_not_rise_from_above_nothing_are_refused(ramp: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="flag new_feature: "):
        FlagUse(FLAG, ramp=ramp)
