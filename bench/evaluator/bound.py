"""How many canary requests does it take at least to see a regression?

A test that condemns a canary at its limit with a probability of at most alpha needs, on average, ln(1/alpha) nats of
information (A. Wald, "Sequential tests of statistical hypotheses", Annals of Mathematical Statistics 16, 1945). One
request yields the Kullback-Leibler divergence between what is true and the likeliest that would be healthy. No judge
can do with less; one that does not know beforehand what is wrong needs more.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, log

from bench.evaluator.scenarios import LIMIT, Scenario, at


@dataclass(frozen=True, slots=True)
class Bound:
    """So many canary requests, and so many seconds (whole polls) since the onset; infinite if nothing tells."""

    requests: float
    seconds: float


def divergence(p: float, q: float) -> float:
    """Nats by which one event of rate p tells that its rate is not q."""
    q = min(max(q, 1e-300), 1 - 1e-16)
    return (p * log(p / q) if p > 0 else 0.0) + ((1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0)


def compared(canary: float, stable: float, ratio: float) -> float:
    """Nats by which one canary request, and `ratio` ones of stable, tell that the canary's rate is above stable's.

    The least over all rates that both could have in common, by ternary search.
    """
    if canary <= stable:
        return 0.0

    def nats(rate: float) -> float:
        return divergence(canary, min(rate, 1 - 1e-15)) + ratio * divergence(stable, rate)

    low, high = max(stable, 1e-12), min(canary, 1 - 1e-12)
    for _ in range(100):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if nats(a) < nats(b) else (a, high)
    return nats((low + high) / 2)


def bound(scenario: Scenario, every: float, alpha: float = 0.01) -> Bound:
    """Return the least for this regression at a poll every so many seconds.

    For latency it is that of the event "slower than twice stable's true p99" against a rate of 1 %: no law of latency
    with an admissible p99 is nearer.
    """
    nats = _nats(scenario, scenario.onset + every)
    if nats <= 0:
        return Bound(inf, inf)
    requests = max(1.0, log(1 / alpha) / nats)
    return Bound(requests, _seconds(scenario, requests, every))


def bad_rate(scenario: Scenario, every: float) -> float:
    """Share of the canary's requests that fail once it is bad."""
    return at(scenario.canary_errors, scenario.onset + every) if scenario.average is None else scenario.average


def _nats(scenario: Scenario, t: float) -> float:
    if scenario.tail is not None:
        return divergence(scenario.tail, LIMIT)
    rate = bad_rate(scenario, t - scenario.onset)
    ratio = at(scenario.stable_rate, t) / at(scenario.canary_rate, t)
    return min(divergence(rate, LIMIT), compared(rate, at(scenario.stable_errors, t), ratio))


def _seconds(scenario: Scenario, requests: float, every: float) -> float:
    """How long so many canary requests take since the onset, in whole polls."""
    t = scenario.onset
    while requests > 1e-9 and t < 1e6:
        rate = at(scenario.canary_rate, t + every)
        took = min(every, requests / rate)
        requests -= took * rate
        t += took
    return ceil((t - scenario.onset) / every - 1e-9) * every
