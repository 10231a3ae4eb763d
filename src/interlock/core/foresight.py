"""Will the evidence come in time, from users alone or from requests of our own, and what would help if not?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil

from interlock.core.criteria import Criteria, WithoutProof
from interlock.core.judge import ENOUGH_ANSWERS, time_to_prove
from interlock.core.load import Recipe, of_load
from interlock.core.steps import spell
from interlock.core.strategy import Pace
from interlock.core.weight import ALL, Weight

AUTO = tuple(Weight(points) for points in (100, 500, 1000, 2500, 5000))

_SPARE = 1.25
"""A load is planned so much larger than a release without a single failure needs."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A load with its number of requests, and the weights before which it is sent."""

    recipe: Recipe
    before: tuple[Weight, ...]

    def notes(self, criteria: Criteria) -> tuple[str, ...]:
        """Say what is sent, and when it cannot suffice."""
        requests = self.recipe.requests or 0
        if not self.before:
            return ("no synthetic load is sent: users' traffic is enough for each bake",)
        sent = f"synthetic load before {_listed(self.before)}: {_size(self.recipe)}; judged apart from users' requests"
        needed = requests_needed(criteria, self.recipe.rate)
        if requests >= needed / _SPARE:
            return (sent,)
        few = f"WARNING: {requests:,} synthetic requests at {self.recipe.rate:g}/s prove nothing; {needed:,} would"
        return (sent, few)


def load(pace: Pace, criteria: Criteria | None, rate: float | None, way: Sequence[Weight]) -> Planned | None:
    """Return the load that the pace asks for on the way to these weights, at `rate` requests of users per second."""
    recipe = pace.load
    if recipe is None or criteria is None:
        return None
    recipe = replace(recipe, requests=recipe.requests or requests_needed(criteria, recipe.rate))
    watched = [weight for weight in way if weight != ALL]
    if recipe.always:
        return Planned(recipe, tuple(dict.fromkeys((way[0], *watched))))
    bakes = [pace.first_bake, *[pace.bake] * len(watched)]
    unproven = [
        w for w, bake in zip(watched, bakes, strict=False) if rate is None or proof_time(criteria, rate, w) > bake
    ]
    return Planned(recipe, tuple(unproven))


def requests_needed(criteria: Criteria, rate: float) -> int:
    """Return how many requests to each side prove a healthy release, with some to spare.

    Nothing is known of stable's latency under these requests, so that is learnt first, unless its limit is given.
    """
    learnt = 0 if criteria.latency_p99 is not None else ENOUGH_ANSWERS
    seconds = time_to_prove(of_load(criteria), rate, stable_requests_per_second=rate).total_seconds()
    return 100 * ceil((learnt + rate * seconds) * _SPARE / 100)


def proof_time(criteria: Criteria, rate: float, weight: Weight) -> timedelta:
    """Return how long users' traffic of so many requests per second takes to prove a healthy release at this weight."""
    stable = rate * weight.rest.share
    return time_to_prove(criteria, rate * weight.share, stable_requests_per_second=stable or None)


def unmeasured(first: Weight, *, chosen: bool) -> str:
    """Say that nothing can be foretold; `chosen`: the first weight was, by us."""
    if chosen:
        return f"the traffic is not measured yet: starting at {first}; a step without proof holds"
    return "the traffic is not measured yet: whether the bakes suffice for proof cannot be foretold"


def forecast(
    pace: Pace, criteria: Criteria, rate: float, way: Sequence[Weight], load: Planned | None, *, may_load: bool = True
) -> str:
    """Say whether the first weight's evidence comes within its bake; if not, what follows and what would do."""
    first, bake = way[0], pace.first_bake
    needed = proof_time(criteria, rate, first)
    measured = f"{rate:.3g} requests/s measured, {rate * first.share:.2g}/s of them at {first}"
    if needed <= bake:
        return f"{measured}: a healthy release is proven after about {spell(needed)} (bake {spell(bake)})"
    if load is not None and first in load.before:
        return f"{measured}: users' requests prove nothing in {spell(bake)}, so synthetic load is to prove it"
    if criteria.without_proof is WithoutProof.HOLD and needed <= bake + pace.hold_at_most:
        late = f"a healthy release is proven after about {spell(needed)}"
        return f"{measured}: {late}; its watch holds for so long, beyond its bake of {spell(bake)}"
    follows = f"nothing can be proven in {spell(bake)}; {_follows(pace, criteria)}"
    return f"WARNING: {measured}: {follows}. What would do: {_offers(pace, criteria, rate, first, may_load=may_load)}"


def _follows(pace: Pace, criteria: Criteria) -> str:
    return {
        WithoutProof.HOLD: f"the step will hold for at most {spell(pace.hold_at_most)} and then go back",
        WithoutProof.ADVANCE: "the step will advance unproven, by policy",
        WithoutProof.ROLL_BACK: "the step will go back, by policy",
    }[criteria.without_proof]


def _offers(pace: Pace, criteria: Criteria, rate: float, first: Weight, *, may_load: bool) -> str:
    bake, needed = pace.first_bake, proof_time(criteria, rate, first)
    longer = "no bake is long enough" if needed == timedelta.max else f"a bake of {spell(_rounded(needed))}"
    better = [weight for weight in AUTO if proof_time(criteria, rate, weight) <= bake]
    more = f"a first weight of {better[0]}" if better else f"no weight suffices within {spell(bake)}"
    recipe = Recipe(always=False)
    auto = replace(recipe, requests=requests_needed(criteria, recipe.rate))
    return f"{more}; {longer}" + (f"; or synthetic load (load: auto), {_size(auto)}" if may_load else "")


def _size(recipe: Recipe) -> str:
    requests = recipe.requests or 0
    takes = spell(timedelta(seconds=round(requests / recipe.rate)))
    return f"{requests:,} requests to each side at {recipe.rate:g}/s, {takes}"


def _rounded(duration: timedelta) -> timedelta:
    """Two numbers say how long something takes: seconds are of no interest in hours."""
    unit = timedelta(hours=1) if duration >= timedelta(days=2) else timedelta(minutes=1)
    return unit * ceil(duration / unit)


def _listed(weights: Sequence[Weight]) -> str:
    *others, last = [str(weight) for weight in weights]
    return f"{', '.join(others)} and {last}" if others else last
