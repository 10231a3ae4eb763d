"""How does each strategy lay out its steps?

Every layout keeps three rules by its order alone: instances stand ready before they get weight (interlocks 1 and 2),
membership and weight never change in one step (3), and the old revision runs at full strength until the new one has
been watched at the whole weight, except in a rolling rollout, which is what rolling means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from interlock.core.flag import OFF, Flag, FlagUse, OnFlagFailure
from interlock.core.load import Recipe
from interlock.core.migration import Migration
from interlock.core.plan import StrategyName
from interlock.core.release import Revision
from interlock.core.steps import (
    CaptureFlags,
    ConfirmFlags,
    Drain,
    Gate,
    GateName,
    Load,
    Migrate,
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
from interlock.core.weight import ALL, NONE, WHOLE, Weight


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a rollout goes.

    `first_bake` is the watch at the first weight, `bake` at each later one, `keep` at the whole weight with the old
    revision warm. `recovered_for` is how long health and error rate must be back to normal after a rollback.
    `judged` asks for proof at each weight, `staged` for the staging proof, `approve` for a
    person before the first weight. `load` is sent before each of the weights `load_before`.
    `conditions` are asked before the start, and again after an approval. A release that `fixes` an incident needs the
    approval of somebody on call before all else. Whoever is on call must say `acknowledge_within` that they know of it.
    `hooks` are the gates that ask hooks of the user's. A `migration` is
    done before anything is started; one that is irreversible needs a person's agreement of its own. `flags` move with
    the release.
    """

    weights: tuple[Weight, ...] = (Weight(500), Weight(2500), Weight(5000), ALL)
    first_bake: timedelta = timedelta(minutes=15)
    bake: timedelta = timedelta(minutes=5)
    keep: timedelta = timedelta(minutes=30)
    hold_at_most: timedelta = timedelta(minutes=30)
    recovered_for: timedelta = timedelta(seconds=60)
    judged: bool = True
    staged: bool = True
    approve: bool = False
    approve_within: timedelta = timedelta(hours=24)
    load: Recipe | None = None
    load_before: tuple[Weight, ...] = ()
    conditions: tuple[GateName, ...] = ()
    fixes: bool = False
    acknowledge_within: timedelta | None = None
    hooks: tuple[GateName, ...] = ()
    migration: Migration | None = None
    flags: tuple[FlagUse, ...] = ()

    def __post_init__(self) -> None:
        for before, after in zip(self.weights, self.weights[1:], strict=False):
            if after <= before:
                raise ValueError(f"weights must rise: {after} comes after {before}")
        if not self.weights or self.weights[-1] != ALL or self.weights[0] == NONE:
            raise ValueError("weights must begin above 0 % and end at 100 %")


def canary(new: Revision, old: Revision | None, pace: Pace) -> tuple[Step, ...]:
    """Move the traffic by growing weights, each watched until proven; scale the canary ahead of its weight."""
    if old is None:
        return first(new, pace)
    steps: list[Step] = [*_migrate(new, pace), _start(new, pace.weights[0].needs(_size(new))), _smoke(new)]
    for position, weight in enumerate(pace.weights):
        if position:
            steps.append(_start(new, weight.needs(_size(new))))
        steps += _load(new, old, weight, pace)
        if not position:
            steps += _approval(pace)
        steps += (*_asked(GateName.BEFORE_TRAFFIC, pace), SetWeight(weight))
        if weight != ALL:
            steps += [_bake(pace, first=position == 0), *_during(weight, pace)]
    return (*_gates(pace), *steps, *_ramp(pace), _last_watch(pace), *_retire(new, old, pace))


def blue_green(new: Revision, old: Revision | None, pace: Pace) -> tuple[Step, ...]:
    """Bring the inactive side up whole, test it there, switch at once, keep the old side for a stated time."""
    if old is None:
        return first(new, pace)
    until = Until.PROVEN if pace.judged and not _ramp(pace) else Until.QUIET
    watch = Watch(pace.keep, until, pace.hold_at_most, last=True)
    ready = (*_migrate(new, pace), _start(new, _size(new)), _smoke(new))
    switch = (*_approval(pace), *_asked(GateName.BEFORE_TRAFFIC, pace), SetWeight(ALL))
    return (*_gates(pace), *ready, *switch, *_ramp(pace), watch, *_retire(new, old, pace))


def rolling(new: Revision, old: Revision | None, pace: Pace) -> tuple[Step, ...]:
    """Replace one instance at a time: start one, give it its part of the traffic, watch, retire one of the old.

    A single instance surges by one. The old side never has fewer ready instances than its weight asks for.
    """
    if old is None:
        return first(new, pace)
    left = _size(old)
    steps: list[Step] = [*_migrate(new, pace), _start(new, 1), _smoke(new)]
    for number, weight in enumerate(one_by_one(new), 1):
        if number > 1:
            steps.append(_start(new, number))
        steps += _load(new, old, weight, pace)
        if number == 1:
            steps += _approval(pace)
        steps += (*_asked(GateName.BEFORE_TRAFFIC, pace), SetWeight(weight))
        if weight == ALL:
            break
        steps.append(_bake(pace, first=number == 1))
        keep = weight.rest.needs(_size(old))
        if keep < left:
            steps += [Drain(old.name, keep, _drain(old)), Retire(old.name, keep)]
            left = keep
    return (*_gates(pace), *steps, *_ramp(pace), _last_watch(pace), *_retire(new, old, pace))


def one_by_one(new: Revision) -> tuple[Weight, ...]:
    """Return the weights of a rolling rollout: each instance brings its part."""
    return tuple(Weight(WHOLE * number // _size(new)) for number in range(1, _size(new) + 1))


def first(new: Revision, pace: Pace) -> tuple[Step, ...]:
    """Release for the first time: there is nothing to compare with and nothing to go back to."""
    watch = Watch(pace.first_bake if pace.judged else pace.keep, Until.QUIET, pace.hold_at_most, last=True)
    ready = (*_migrate(new, pace), _start(new, _size(new)), _smoke(new), *_approval(pace))
    unproven = replace(pace, judged=False)  # nobody may have come yet
    users = (*_asked(GateName.BEFORE_TRAFFIC, pace), SetWeight(ALL), *_ramp(unproven), watch)
    return (*_gates(pace), *ready, *users, *_asked(GateName.BEFORE_PROMOTION, pace), Settle(new.name))


def flag_alone(new: Revision, old: Revision | None, pace: Pace) -> tuple[Step, ...]:
    """Move only flags, watched like a release; the code runs here already, so `new` and `old` are the same.

    A flag that only goes off is watched once.
    """
    asked = _asked(GateName.BEFORE_TRAFFIC, pace)
    off = _watched(pace) if not any(use.ramp for use in pace.flags) else ()
    keep = Watch(pace.keep, Until.QUIET, pace.hold_at_most, last=True)
    return (*_gates(pace), *_approval(pace), *asked, *off, *_steps_of_flags(pace), keep)


def rollback(new: Revision, old: Revision | None, pace: Pace) -> tuple[Step, ...]:
    """Go back: flags off, the old revision at full strength, all traffic on it, the new one retired, then proof.

    To start the old revision changes nothing where it was kept whole, which is everywhere but in a rolling rollout. The
    flags are as they were only when nobody can reach the new revision any more; until they are confirmed off, it stays.
    """
    pull, confirm, restore = _back(pace)
    leave: tuple[Step, ...] = (*confirm, Drain(new.name, 0, _drain(new)), Retire(new.name, 0), *restore)
    if old is None:
        return (*pull, SetWeight(NONE, _BACK_WITHIN), *leave)
    recovered = Watch(pace.recovered_for, Until.RECOVERED, patience=pace.recovered_for * 4)
    if new.name == old.name:
        return (*pull, *confirm, *restore, recovered)
    whole = Start(old.name, _size(old), old.release.configuration.start_within)
    return (*pull, whole, SetWeight(NONE, _BACK_WITHIN), *leave, recovered)


def retract(new: Revision, old: Revision | None, pace: Pace) -> tuple[Step, ...]:
    """Take only the flags back: off, known to everybody, the code watched without them, and kept when it does well."""
    uses = [use for use in pace.flags if use.ramp]
    if not uses or (old and old.name == new.name) or any(u.on_failure is OnFlagFailure.EVERYTHING for u in uses):
        return ()
    off = tuple(SetFlag(use.flag, OFF) for use in uses)
    recovered = max(use.recovered_for for use in uses)
    watch = Watch(recovered, Until.RECOVERED, patience=recovered, about="the code without the flag")
    left = (Settle(new.name),) if old is None else _retire(new, old, pace)
    return (*off, watch, *left)


_BACK_WITHIN = timedelta(minutes=10)


def _gates(pace: Pace) -> tuple[Step, ...]:
    staging = (Gate(GateName.STAGING),) if pace.staged else ()
    fixes = (Watch(timedelta(0), Until.APPROVED, pace.approve_within),) if pace.fixes else ()
    ready = Gate(GateName.ROLLBACK_READY, timedelta(minutes=5))
    asked = (*_conditions(pace), *_asked(GateName.BEFORE_START, pace))
    flags = _flags(pace)
    capture = (CaptureFlags(flags),) if flags else ()
    off = tuple(SetFlag(use.flag, OFF) for use in pace.flags if use.disable)
    return (*fixes, Gate(GateName.NOT_QUARANTINED), *staging, *asked, *capture, ready, *off)


def _flags(pace: Pace) -> tuple[Flag, ...]:
    return tuple(use.flag for use in pace.flags)


def _ramp(pace: Pace) -> tuple[Step, ...]:
    """Once the code has all the traffic, and does well with its flags off, give them out step by step."""
    if not any(use.ramp for use in pace.flags):
        return ()
    return (*_watched(pace), *_steps_of_flags(pace))


def _steps_of_flags(pace: Pace) -> tuple[Step, ...]:
    return tuple(
        step for use in pace.flags for percentage in use.ramp for step in _exposed(use.flag, percentage, use.bake, pace)
    )


def _watched(pace: Pace) -> tuple[Step, ...]:
    return (_bake(pace, first=False),)


def _during(weight: Weight, pace: Pace) -> tuple[Step, ...]:
    """Give a flag out to some of those whom the canary serves."""
    return tuple(
        step
        for use in pace.flags
        for at, percentage in use.during
        if at == weight
        for step in _exposed(use.flag, percentage, use.bake, pace)
    )


def _exposed(flag: Flag, percentage: int, bake: timedelta, pace: Pace) -> tuple[Step, ...]:
    until = Until.PROVEN if pace.judged else Until.QUIET
    return (SetFlag(flag, percentage), Watch(bake, until, pace.hold_at_most))


def _back(pace: Pace) -> tuple[tuple[Step, ...], tuple[Step, ...], tuple[Step, ...]]:
    flags = _flags(pace)
    return ((PullFlags(flags),), (ConfirmFlags(flags),), (RestoreFlags(flags),)) if flags else ((), (), ())


def _conditions(pace: Pace) -> tuple[Step, ...]:
    patience = {GateName.ON_CALL: pace.acknowledge_within or pace.hold_at_most}
    return tuple(Gate(name, patience.get(name, pace.hold_at_most)) for name in pace.conditions)


def _asked(gate: GateName, pace: Pace) -> tuple[Step, ...]:
    """Ask the user's hooks of this moment, where there are some."""
    return (Gate(gate, pace.hold_at_most),) if gate in pace.hooks else ()


def _migrate(new: Revision, pace: Pace) -> tuple[Step, ...]:
    """Migrate before anything starts, as the new code may need it; what cannot be undone, not without a person."""
    if pace.migration is None:
        return ()
    agreed = _agreed(pace, "an irreversible migration") if pace.migration.irreversible else ()
    return (*agreed, Migrate(new.name, pace.migration))


def _retire(new: Revision, old: Revision, pace: Pace) -> tuple[Step, ...]:
    asked = _asked(GateName.BEFORE_PROMOTION, pace)  # from here on, to go back takes a release of its own
    return (*asked, Settle(new.name), Drain(old.name, 0, _drain(old)), Retire(old.name, 0))


def _bake(pace: Pace, *, first: bool) -> Watch:
    until = Until.PROVEN if pace.judged else Until.QUIET
    return Watch(pace.first_bake if first else pace.bake, until, pace.hold_at_most)


def _load(new: Revision, old: Revision, weight: Weight, pace: Pace) -> tuple[Step, ...]:
    """Try the instances that are to carry a weight on requests of our own, before any user gets to them."""
    recipe = pace.load
    if recipe is None or not recipe.requests or weight not in pace.load_before:
        return ()
    takes = timedelta(seconds=recipe.requests / recipe.rate)
    within = 2 * takes + timedelta(minutes=1)
    return (Load(new.name, old.name, recipe.rate, recipe.requests, within, recipe.paths, recipe.method),)


def _last_watch(pace: Pace) -> Watch:
    return Watch(pace.keep, Until.QUIET, pace.hold_at_most, last=True)


def _approval(pace: Pace) -> tuple[Step, ...]:
    return _agreed(pace) if pace.approve else ()


def _agreed(pace: Pace, about: str = "") -> tuple[Step, ...]:
    staging = (Gate(GateName.STAGING),) if pace.staged else ()  # hours may have passed: what was open is asked again
    again = (Gate(GateName.NOT_QUARANTINED), *staging, *_conditions(pace))
    return (Watch(timedelta(0), Until.APPROVED, pace.approve_within, about=about), *again)


def _start(revision: Revision, instances: int) -> Start:
    return Start(revision.name, instances, revision.release.configuration.start_within)


def _smoke(revision: Revision) -> Smoke:
    tests = revision.release.configuration.smoke_tests
    return Smoke(revision.name, sum((test.timeout for test in tests), timedelta(seconds=10)))


def _size(revision: Revision) -> int:
    return revision.release.configuration.instances


def _drain(revision: Revision) -> timedelta:
    return revision.release.configuration.drain_within


LAYOUTS: dict[StrategyName, Callable[[Revision, Revision | None, Pace], tuple[Step, ...]]] = {
    StrategyName.ROLLING: rolling,
    StrategyName.BLUE_GREEN: blue_green,
    StrategyName.CANARY: canary,
    StrategyName.FLAG: flag_alone,
}
