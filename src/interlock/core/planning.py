"""How does a release become a plan: which steps, at which weights, and what will the evidence need?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from interlock.core import foresight, hooks, window
from interlock.core.conditions import Conditions
from interlock.core.criteria import Criteria
from interlock.core.flag import FlagUse
from interlock.core.foresight import AUTO
from interlock.core.health import ProbeKind
from interlock.core.hooks import Hook
from interlock.core.migration import Migration
from interlock.core.plan import Stage, StrategyName
from interlock.core.release import Entrance, Protocol, Release, Revision, StickyBy
from interlock.core.standards import standards
from interlock.core.steps import GateName
from interlock.core.strategy import LAYOUTS, Pace, one_by_one, retract, rollback
from interlock.core.weight import ALL, Weight
from interlock.core.window import Seen

UNKNOWN_TRAFFIC_STARTS_AT = Weight(500)
_AT_ONCE = frozenset({StrategyName.BLUE_GREEN, StrategyName.FLAG})


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted in one environment: the file's settings with the release filled in.

    `weights` None lets the plan choose by the measured traffic. `proven_in` names the environment before this one.
    """

    environment: str
    entrance: Entrance
    strategy: StrategyName
    pace: Pace
    weights: tuple[Weight, ...] | None
    criteria: Criteria | None
    release: Release
    proven_in: str = ""
    proof_valid_for: timedelta = timedelta(days=7)
    notes: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    hooks: tuple[Hook, ...] = ()
    migration: Migration | None = None
    flags: tuple[FlagUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the environment when planning.

    `stable` is the revision last proven healthy, `requests_per_second` its measured traffic (None: not measured),
    `number` counts the revisions that the service has had, so that each gets a name of its own. `answers` of stable's
    last hour have a latency on record. `window` is what is known of when the stage's window is open.
    """

    stable: Revision | None
    requests_per_second: float | None
    number: int
    answers: float = 0.0
    window: Seen | None = None


def lay_out(intent: Intent, known: Known) -> Stage:
    """Lay out one environment's steps and its rollback, with notes on what the reader must know."""
    new = _revision(intent, known)
    weights = _weights(intent, known)
    way = one_by_one(new) if intent.strategy is StrategyName.ROLLING else weights
    load = (
        foresight.load(intent.pace, intent.criteria, known.requests_per_second, way) if _loads(intent, known) else None
    )
    pace = replace(
        intent.pace,
        weights=weights,
        judged=intent.criteria is not None,
        staged=bool(intent.proven_in),
        load=load.recipe if load else None,
        load_before=load.before if load else (),
        conditions=intent.conditions.gates,
        fixes=bool(intent.conditions.fixes),
        acknowledge_within=_acknowledged(intent.conditions),
        hooks=hooks.gates(intent.hooks),
        migration=intent.migration,
        flags=intent.flags,
    )
    stage = Stage(
        intent.environment,
        intent.entrance,
        intent.strategy,
        new,
        known.stable,
        LAYOUTS[intent.strategy](new, known.stable, pace),
        rollback(new, known.stable, pace),
        intent.criteria,
        intent.proven_in,
        intent.proof_valid_for,
        (
            *_first(known, intent),
            *_stickiness(intent),
            *standards(intent.criteria, known.answers, first=known.stable is None),
            *intent.notes,
            *_forecast(intent, known, way, load),
        ),
        intent.conditions,
        intent.hooks,
        intent.flags,
        retract(new, known.stable, pace),
    )
    return replace(stage, notes=(*stage.notes, *_window(intent.conditions, known, stage)))


def _revision(intent: Intent, known: Known) -> Revision:
    """Return the new revision under a name of its own, or for a flag alone the one whose code is to read it."""
    if intent.strategy is not StrategyName.FLAG:
        name = f"{intent.environment}-{intent.release.identity[:8]}-{known.number}"
        return Revision(name, intent.environment, intent.release)
    if known.stable is None:
        raise ValueError(f"nothing is released in {intent.environment}: there is no code to read a flag")
    return known.stable


def _acknowledged(conditions: Conditions) -> timedelta | None:
    declared = conditions.on_call
    return declared.within if declared is not None and declared.acknowledge else None


def _window(conditions: Conditions, known: Known, stage: Stage) -> tuple[str, ...]:
    """Say whether the stage fits into its window, and what follows where it does not."""
    if conditions.window is None or known.window is None:
        return ()
    if word := conditions.overridden(GateName.WINDOW):
        return (f"the window is overridden by {word.by}: {word.reason}",)
    return window.notes(conditions.window, known.window, stage.shortest, stage.longest)


def already_running(intent: Intent, known: Known) -> bool:
    """Say whether exactly this release is what runs there now."""
    return known.stable is not None and known.stable.release.identity == intent.release.identity


def _weights(intent: Intent, known: Known) -> tuple[Weight, ...]:
    """Return the weights as they are written, or else from the smallest on that can be proven within its bake."""
    if intent.weights is not None:
        return intent.weights
    if intent.strategy is not StrategyName.CANARY or intent.criteria is None or known.stable is None:
        return (*AUTO[1:], ALL)
    from_5_percent = tuple(weight for weight in AUTO if weight >= UNKNOWN_TRAFFIC_STARTS_AT)
    if known.requests_per_second is None:
        return (*from_5_percent, ALL)
    for position, weight in enumerate(AUTO):
        if foresight.proof_time(intent.criteria, known.requests_per_second, weight) <= intent.pace.first_bake:
            return (*AUTO[position:], ALL)
    return (*from_5_percent, ALL) if _loads(intent, known) else (AUTO[-1], ALL)


def _loads(intent: Intent, known: Known) -> bool:
    """Whether synthetic load is wanted, and there are two sides that it can be sent to."""
    wanted = intent.pace.load is not None and intent.criteria is not None
    return wanted and intent.strategy not in _AT_ONCE and _speak_alike(intent, known)


def _speak_alike(intent: Intent, known: Known) -> bool:
    """Whether both sides understand the same requests: not while a service goes over to gRPC."""
    stable = known.stable
    return stable is not None and _speaks_grpc(intent.release) is _speaks_grpc(stable.release)


def _speaks_grpc(release: Release) -> bool:
    configuration = release.configuration
    return configuration.protocol is Protocol.GRPC or configuration.readiness.kind is ProbeKind.GRPC


def _forecast(intent: Intent, known: Known, way: tuple[Weight, ...], load: foresight.Planned | None) -> tuple[str, ...]:
    """Say what the first weight's evidence needs, and when it cannot come, what would help."""
    criteria, rate = intent.criteria, known.requests_per_second
    if criteria is None or known.stable is None or intent.strategy in _AT_ONCE:
        return ()
    alike = _speak_alike(intent, known)
    notes = [] if intent.pace.load is None or alike else [_NO_LOAD]
    if way[0] != ALL:
        chosen = intent.weights is None and intent.strategy is StrategyName.CANARY
        notes.append(
            foresight.unmeasured(way[0], chosen=chosen)
            if rate is None
            else foresight.forecast(intent.pace, criteria, rate, way, load, may_load=alike)
        )
    return (*notes, *(load.notes(criteria) if load else ()))


_NO_LOAD = "WARNING: no synthetic load is sent, as one side speaks gRPC and the other does not"


def _first(known: Known, intent: Intent) -> tuple[str, ...]:
    if known.stable is not None:
        return ()
    return (f"first release in {intent.environment}: nothing to go back to; going back stops it and answers 503",)


def _stickiness(intent: Intent) -> tuple[str, ...]:
    if intent.strategy in _AT_ONCE:
        return ()
    sticky = intent.entrance.sticky
    if sticky.by is StickyBy.NOTHING:
        return ("no sticky key: each request is assigned by itself, a user may see both versions",)
    key = f"{sticky.by.value} {sticky.name}".strip()
    return (f"users are assigned by {key}; requests without it are assigned one by one",)
