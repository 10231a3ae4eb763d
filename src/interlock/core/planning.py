"""How does a release become a plan: which steps, at which weights, and what will the evidence need?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.judge import time_to_prove
from interlock.core.plan import Stage, StrategyName
from interlock.core.release import Entrance, Release, Revision, StickyBy
from interlock.core.steps import spell
from interlock.core.strategy import LAYOUTS, Pace, rollback
from interlock.core.weight import ALL, Weight

AUTO = tuple(Weight(points) for points in (100, 500, 1000, 2500, 5000))
UNKNOWN_TRAFFIC_STARTS_AT = Weight(500)
LONGEST_LOAD = timedelta(minutes=15)


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


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the environment when planning.

    `stable` is the revision last proven healthy, `requests_per_second` its measured traffic (None: not measured),
    `number` counts the revisions that the service has had, so that each gets a name of its own.
    """

    stable: Revision | None
    requests_per_second: float | None
    number: int


def lay_out(intent: Intent, known: Known) -> Stage:
    """Lay out one environment's steps and its rollback, with notes on what the reader must know."""
    name = f"{intent.environment}-{intent.release.identity[:8]}-{known.number}"
    new = Revision(name, intent.environment, intent.release)
    weights, notes = _weights(intent, known)
    pace = replace(intent.pace, weights=weights, judged=intent.criteria is not None, staged=bool(intent.proven_in))
    return Stage(
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
        (*_first(known, intent), *_stickiness(intent), *intent.notes, *notes),
    )


def already_running(intent: Intent, known: Known) -> bool:
    """Say whether exactly this release is what runs there now."""
    return known.stable is not None and known.stable.release.identity == intent.release.identity


def _weights(intent: Intent, known: Known) -> tuple[tuple[Weight, ...], tuple[str, ...]]:
    if intent.weights is not None:
        return intent.weights, _forecast(intent, known, intent.weights)
    if intent.strategy is not StrategyName.CANARY or intent.criteria is None or known.stable is None:
        return (*AUTO[1:], ALL), ()
    if known.requests_per_second is None:
        weights = tuple(weight for weight in AUTO if weight >= UNKNOWN_TRAFFIC_STARTS_AT)
        return (*weights, ALL), ("the traffic is not measured yet: starting at 5 %; a step without proof holds",)
    for position, weight in enumerate(AUTO):
        if _proof_time(intent.criteria, known.requests_per_second, weight) <= intent.pace.first_bake:
            weights = (*AUTO[position:], ALL)
            return weights, _forecast(intent, known, weights)
    weights = (AUTO[-1], ALL)
    return weights, _forecast(intent, known, weights)


def _forecast(intent: Intent, known: Known, weights: Sequence[Weight]) -> tuple[str, ...]:
    """Say what the first weight's evidence needs, and when it cannot come, what would help."""
    criteria, rate = intent.criteria, known.requests_per_second
    if criteria is None or known.stable is None or intent.strategy is StrategyName.BLUE_GREEN:
        return ()
    if rate is None:
        return ("the traffic is not measured yet: whether the bakes suffice for proof cannot be foretold",)
    first = weights[0]
    needed = _proof_time(criteria, rate, first)
    measured = f"{rate:.3g} requests/s measured, {rate * first.share:.2g}/s of them at {first}"
    if needed <= intent.pace.first_bake:
        bake = spell(intent.pace.first_bake)
        return (f"{measured}: a healthy release is proven after about {spell(needed)} (bake {bake})",)
    return (f"WARNING: {measured}: {_too_little(criteria, rate, intent.pace.first_bake, needed)}",)


def _too_little(criteria: Criteria, rate: float, bake: timedelta, needed: timedelta) -> str:
    what = {
        WithoutProof.HOLD: f"the step will hold for at most {spell(criteria.hold_at_most)} and then go back",
        WithoutProof.ADVANCE: "the step will advance unproven, by policy",
        WithoutProof.ROLL_BACK: "the step will go back, by policy",
    }[criteria.without_proof]
    longer = "no bake is long enough" if needed == timedelta.max else f"a bake of {spell(needed)}"
    better = [weight for weight in AUTO if _proof_time(criteria, rate, weight) <= bake]
    more = f"a first weight of {better[0]}" if better else f"no weight suffices within {spell(bake)}"
    load = next(n for n in (1, 2, 5, 10, 20, 50, 100, 1000) if time_to_prove(criteria, n) <= min(bake, LONGEST_LOAD))
    offers = f"{more}; {longer}; or {load} requests/s more load"
    return f"nothing can be proven in {spell(bake)}; {what}. What would do: {offers}"


def _proof_time(criteria: Criteria, rate: float, weight: Weight) -> timedelta:
    stable = rate * weight.rest.share
    return time_to_prove(criteria, rate * weight.share, stable_requests_per_second=stable or None)


def _first(known: Known, intent: Intent) -> tuple[str, ...]:
    if known.stable is not None:
        return ()
    return (f"first release in {intent.environment}: nothing to go back to; going back stops it and answers 503",)


def _stickiness(intent: Intent) -> tuple[str, ...]:
    if intent.strategy is StrategyName.BLUE_GREEN:
        return ()
    sticky = intent.entrance.sticky
    if sticky.by is StickyBy.NOTHING:
        return ("no sticky key: each request is assigned by itself, a user may see both versions",)
    key = f"{sticky.by.value} {sticky.name}".strip()
    return (f"users are assigned by {key}; requests without it are assigned one by one",)
