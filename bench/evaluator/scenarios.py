"""In which rollouts are judges compared?

Unless a scenario says otherwise a canary gets 10 of 200 requests/s for 15 minutes, each side fails 0.5 % of its
requests independently, and both answer as `latency.USUAL`. More than 1 % of failures, or a p99 of more than twice
stable's, is too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from bench.evaluator.latency import BIMODAL, COARSE, FINE, USUAL, Mixture, quantile, slowed, upto

Rate = float | Callable[[float], float]
"""A number, or one for each moment (seconds since the canary got traffic)."""

Latency = Mixture | Callable[[float], Mixture]

LIMIT = 0.01
"""The share of failures, and of answers beyond twice stable's p99, from which on a canary is bad."""

FACTOR = 2.0
"""How many times stable's p99 the canary's may be."""


@dataclass(frozen=True, slots=True)
class Bursts:
    """In a poll with this `chance`, this `share` of a side's answers takes `factor` times as long."""

    chance: float
    share: float
    factor: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of rollout; times in seconds, requests per second, shares of failed requests from 0 to 1.

    `bad` from `onset` on; a scenario that is not is healthy all along. `clustering` is the correlation of failures
    within a poll, or within `cluster_s` seconds. `outages`: raw counters with missing and broken readings, an outage of
    telemetry and a restart. `in_turns`: the sides report in alternate polls. `canary_wait` and `stable_wait` are how
    long answers take to be counted, for ever if infinite. `average` is the share of failures after the onset where it
    differs from that at the onset, and `tail` that of answers beyond twice stable's true p99, for scenarios about
    latency.
    """

    name: str
    bad: bool = False
    canary_rate: Rate = 10.0
    stable_rate: Rate = 190.0
    canary_errors: Rate = 0.005
    stable_errors: Rate = 0.005
    past_errors: Rate | None = None
    canary_latency: Latency = USUAL
    stable_latency: Latency = USUAL
    clustering: float = 0.0
    stable_clustering: float | None = None
    cluster_s: float = 0.0
    slow_bursts: Bursts | None = None
    edges: tuple[float, ...] = FINE
    horizon: float = 900.0
    onset: float = 0.0
    warm_up: float = 0.0
    outages: bool = False
    in_turns: bool = False
    canary_wait: Rate = 0.0
    stable_wait: Rate = 0.0
    average: float | None = None
    tail: float | None = None

    @property
    def waits(self) -> bool:
        """Whether some answers are not counted in the poll in which they were asked for."""
        return self.canary_wait != 0.0 or self.stable_wait != 0.0


_T = TypeVar("_T")


def at(value: _T | Callable[[float], _T], t: float) -> _T:
    """What a value is at a moment."""
    return value(t) if callable(value) else value


def steps(*since: tuple[float, _T]) -> Callable[[float], _T]:
    """`steps((0, a), (450, b))` is a in polls that end up to second 450, and b after it."""

    def value(t: float) -> _T:
        return [v for s, v in since if t > s + 1e-9 or s == since[0][0]][-1]

    return value


def bursts(usual: float, rate: float, *, lasting: float, every: float, until: float = inf) -> Callable[[float], float]:
    """A rate that is another one for the last `lasting` of each `every` seconds, until second `until`."""

    def value(t: float) -> float:
        return rate if t <= until + 1e-9 and (t - 1e-9) % every > every - lasting else usual

    return value


_RAMP = steps((0, 0.01), (225, 0.05), (450, 0.25), (675, 0.50))


def _ramped(t: float) -> float:
    return 200 * _RAMP(t)


def _ramped_rest(t: float) -> float:
    return 200 * (1 - _RAMP(t))


_DRIFT = steps((0, 0.002), (300, 0.005), (600, 0.009))
_INCIDENT = steps((0, 0.005), (300, 0.06), (480, 0.005))
_SLOW_INCIDENT = steps((0, USUAL), (300, slowed(USUAL, 2)), (480, USUAL))
_COLD = steps((0, slowed(USUAL, 4)), (60, USUAL))
_SHARED = bursts(0.005, 0.3, lasting=10, every=60, until=300)
_SHARED_ALWAYS = bursts(0.005, 0.05, lasting=10, every=120)
_RARE = bursts(0.0, 0.3, lasting=10, every=90)
_LEAK = steps(*((float(t), slowed(USUAL, 1 + t / 600)) for t in range(0, 600, 60)), (600.0, slowed(USUAL, 2.5)))


def _healthy() -> Iterator[Scenario]:
    yield Scenario("ok base 0%", canary_errors=0.0, stable_errors=0.0)
    yield Scenario("ok base 0.1%", canary_errors=0.001, stable_errors=0.001)
    yield Scenario("ok base 0.5%")
    yield Scenario("ok base 0.9%", canary_errors=0.009, stable_errors=0.009)
    yield Scenario("boundary 1.0% vs 0.5%", canary_errors=0.01)  # the worst that is still healthy
    yield Scenario("both 1.5%", canary_errors=0.015, stable_errors=0.015)  # a service noisier than the limit
    yield Scenario("overdispersed 0.5%", clustering=0.03, cluster_s=10)
    # One canary instance with bursts of 10 s, beside 19 stable ones whose bursts average out.
    hidden: dict[str, Any] = {"clustering": 0.03, "stable_clustering": 0.03 / 19, "cluster_s": 10.0}
    yield Scenario("overdisp. hidden 0.5%", **hidden)
    yield Scenario("overdisp. hidden 0.9%", canary_errors=0.009, stable_errors=0.009, **hidden)
    yield Scenario(
        "shared incident 6%",
        canary_errors=_INCIDENT,
        stable_errors=_INCIDENT,
        canary_latency=_SLOW_INCIDENT,
        stable_latency=_SLOW_INCIDENT,
    )
    ramp: dict[str, Any] = {"canary_rate": _ramped, "stable_rate": _ramped_rest}
    yield Scenario("ramp 1..50%, drift", canary_errors=_DRIFT, stable_errors=_DRIFT, **ramp)
    cold = steps((0, 0.05), (60, 0.005))
    yield Scenario("cold start 60 s", canary_errors=cold, canary_latency=_COLD, warm_up=60)
    yield Scenario("gaps+reset 0.5%", outages=True)
    yield Scenario("low 0.1rps 0.5%", canary_rate=0.1, stable_rate=1.9, horizon=3600)
    yield Scenario("low 1rps 0.5%", canary_rate=1.0, stable_rate=19.0)
    yield Scenario("latency x1.5", canary_latency=slowed(USUAL, 1.5))
    yield Scenario("latency x2.0 boundary", canary_latency=slowed(USUAL, 2.0))
    yield Scenario("latency bursts", slow_bursts=Bursts(0.04, 0.12, 6.0))
    yield Scenario("latency x1.5 envoy", canary_latency=slowed(USUAL, 1.5), edges=COARSE)


def _healthy_besides() -> Iterator[Scenario]:
    """Healthy ones in which a judge may be weak: see docs/comparison-judge.md."""
    yield Scenario("shared bursts 30%", canary_errors=_SHARED, stable_errors=_SHARED)
    yield Scenario(
        "shared bursts, always", canary_errors=_SHARED_ALWAYS, stable_errors=_SHARED_ALWAYS, past_errors=_SHARED_ALWAYS
    )
    yield Scenario("sides in turns 0.5%", in_turns=True)
    yield Scenario("answers after 5 s", canary_wait=5.0, stable_wait=5.0)
    yield Scenario("even split 0.5%", canary_rate=100.0, stable_rate=100.0)


def _regressions() -> Iterator[Scenario]:
    def bad(name: str, **more: Any) -> Scenario:
        return Scenario(name, bad=True, **more)

    yield bad("0.5->2%", canary_errors=0.02)
    yield bad("0.1->5%", canary_errors=0.05, stable_errors=0.001)
    yield bad("0->100%", canary_errors=1.0, stable_errors=0.0)
    yield bad("0->100% 50/50", canary_errors=1.0, stable_errors=0.0, canary_rate=100.0, stable_rate=100.0)
    yield bad("0.5->2% 200rps", canary_errors=0.02, canary_rate=200.0, stable_rate=3800.0)
    slower, slowest = slowed(USUAL, 2.5), slowed(USUAL, 4)
    yield bad("latency x2.5", canary_latency=slower, tail=_tail(slower))
    yield bad("latency x4", canary_latency=slowest, tail=_tail(slowest))
    yield bad("latency bimodal 5%x10", canary_latency=BIMODAL, tail=_tail(BIMODAL))
    yield bad("latency x2.5 envoy", canary_latency=slower, tail=_tail(slower), edges=COARSE)
    yield bad("latency x4 envoy", canary_latency=slowest, tail=_tail(slowest), edges=COARSE)
    low: dict[str, Any] = {"canary_rate": 0.1, "stable_rate": 1.9, "horizon": 3600.0}
    yield bad("low 0.1rps 0->100%", canary_errors=1.0, stable_errors=0.0, **low)
    low = {"canary_rate": 0.5, "stable_rate": 9.5, "horizon": 3600.0}
    yield bad("low 0.5rps 0.1->5%", canary_errors=0.05, stable_errors=0.001, **low)
    yield bad("low 1rps 0.1->5%", canary_errors=0.05, stable_errors=0.001, canary_rate=1.0, stable_rate=19.0)
    yield bad("low 5rps 0.5->2%", canary_errors=0.02, canary_rate=5.0, stable_rate=95.0)
    yield bad("overdispersed 0.5->5%", canary_errors=0.05, clustering=0.03, stable_clustering=0.03 / 19, cluster_s=10)
    yield bad("late 450s 0.5->3%", canary_errors=steps((0, 0.005), (450, 0.03)), onset=450)
    yield bad("late 450s 0->100%", canary_errors=steps((0, 0.0), (450, 1.0)), stable_errors=0.0, onset=450)
    yield bad("ramp 1..50% 0.5->2%", canary_errors=0.02, canary_rate=_ramped, stable_rate=_ramped_rest)
    yield bad("incident 4% + bad 12%", canary_errors=0.12, stable_errors=0.04)
    yield bad("gaps 0.5->5%", canary_errors=0.05, outages=True)
    yield bad("cold start + 0.1->5%", canary_errors=0.05, stable_errors=0.001, canary_latency=_COLD, warm_up=60)


def _regressions_besides() -> Iterator[Scenario]:
    """Bad ones in which a judge may be weak: see docs/comparison-judge.md."""

    def bad(name: str, **more: Any) -> Scenario:
        return Scenario(name, bad=True, **more)

    yield bad("0.5->3%", canary_errors=0.03)
    yield bad("even split 0.5->2%", canary_errors=0.02, canary_rate=100.0, stable_rate=100.0)
    yield bad("slow leak, late x2.5", canary_latency=_LEAK, onset=600, horizon=1800, tail=_tail(slowed(USUAL, 2.5)))
    yield bad("sides in turns 0.5->5%", canary_errors=0.05, in_turns=True)
    yield bad("rare bursts 30%", canary_errors=_RARE, stable_errors=0.0, average=0.3 / 9, onset=80, horizon=1800)
    yield bad("poisons both 6%", canary_errors=0.06, stable_errors=0.06, past_errors=0.005)
    yield bad("hangs", canary_wait=inf, average=1.0)
    yield bad("hangs, late", canary_wait=steps((0, 0.0), (450, inf)), onset=450, average=1.0)


def _tail(mixture: Mixture) -> float:
    """Share of this mixture's answers beyond twice the p99 of the usual service."""
    return 1 - upto(mixture, FACTOR * quantile(USUAL, 0.99))


SCENARIOS = {s.name: s for part in (_healthy, _healthy_besides, _regressions, _regressions_besides) for s in part()}
"""All of them by name, healthy ones first; the name seeds their traffic."""
