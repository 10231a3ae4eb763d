"""Does a simulation draw what it says, decide as the engine would, and say the same twice?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import sqrt
from random import Random
from statistics import fmean, pvariance

import pytest
from tests.core.examples import revision, stage_of

from interlock.app.simulate import Result, Scenario, Simulation, given, simulate, usual
from interlock.app.traffic import Latency, Traffic, Users, binomial, poisson, spread
from interlock.core.criteria import Criteria
from interlock.core.load import Recipe
from interlock.core.metric import Metric, Ratio, Series
from interlock.core.plan import Stage, StrategyName
from interlock.core.strategy import Pace
from interlock.core.trial import What
from interlock.core.weight import ALL, Weight

MINUTE = timedelta(minutes=1)
USERS = Users(50.0, 0.001, 0.001)


def stage(**more: object) -> Stage:
    pace = Pace((Weight(1000), ALL), 3 * MINUTE, MINUTE, MINUTE, **more)  # type: ignore[arg-type]
    return stage_of(StrategyName.CANARY, revision("v2"), revision("v1"), pace)


def of(results: tuple[Result, ...], name: str) -> Result:
    return next(one for one in results if one.scenario.name == name)


@pytest.mark.parametrize("n, p", [(5, 0.5), (100, 0.01), (1000, 0.01), (1000, 0.4), (50, 0.9), (100_000, 0.3)])
def test_a_binomial_number_has_its_mean_and_variance(n: int, p: float) -> None:
    random, size = Random(1), 4000
    drawn = [binomial(random, n, p) for _ in range(size)]
    mean, variance = n * p, n * p * (1 - p)
    assert min(drawn) >= 0 and max(drawn) <= n
    assert abs(fmean(drawn) - mean) < 5 * sqrt(variance / size) + 1e-9
    assert 0.85 < pvariance(drawn) / variance < 1.15


@pytest.mark.parametrize("mean", [0.3, 12.0, 500.0])
def test_a_poisson_number_has_its_mean_and_variance(mean: float) -> None:
    random, size = Random(1), 4000
    drawn = [poisson(random, mean) for _ in range(size)]
    assert abs(fmean(drawn) - mean) < 5 * sqrt(mean / size)
    assert 0.85 < pvariance(drawn) / mean < 1.15


@pytest.mark.parametrize("n", [30, 400, 20_000])
def test_answers_spread_over_the_edges_of_envoys_histogram_as_they_should(n: int) -> None:
    random, latency, drawn = Random(1), Latency.assumed(1.0), dict[float, float]()
    for _ in range(200_000 // n):
        some = spread(random, n, latency)
        assert sum(some.values()) == n
        drawn = {edge: drawn.get(edge, 0.0) + some.get(edge, 0.0) for edge in {*drawn, *some}}
    total = sum(drawn.values())
    for edge, upto in zip(latency.edges, latency.upto, strict=True):
        have = sum(count for upper, count in drawn.items() if upper <= edge) / total
        assert abs(have - upto) < 5 * sqrt(upto * (1 - upto) / total) + 2e-4


def test_a_slower_side_is_slower_by_its_factor() -> None:
    for latency in (Latency.assumed, lambda slower: Latency.measured({10.0: 90.0, 20.0: 9.0, 40.0: 1.0}, slower)):
        pair = latency(1.0), latency(2.5)
        p99 = [next(e for e, upto in zip(one.edges, one.upto, strict=True) if upto >= 0.99) for one in pair]
        assert 2.2 < p99[1] / p99[0] < 2.8


def test_bursts_keep_the_share_and_come_together() -> None:
    users = Users(200.0, 0.01, 0.01, bursts=10.0)
    traffic = Traffic(users, Random(1), (Latency.assumed(1.0),) * 2)
    sides = [traffic.sample(5.0 * i, 5.0, Weight(5000)).canary for i in range(2000)]
    failed = [side.failed for side in sides if side is not None]
    assert all(one % 10 == 0 for one in failed)
    assert 0.009 < sum(failed) / sum(side.completed for side in sides if side is not None) < 0.011


def test_the_same_seed_gives_the_same_answer_however_many_processes_share_the_work() -> None:
    simulation = Simulation(stage(), usual(USERS, Criteria())[2:], 24, seed=7)
    heard: list[tuple[int, int]] = []
    alone = simulate(simulation, 1, lambda done, of: heard.append((done, of)))
    assert simulate(simulation, 2) == alone
    assert simulate(replace(simulation, seed=8), 1) != alone
    assert heard[-1] == (72, 72) and heard == sorted(heard)


def test_releases_end_as_they_should() -> None:
    results = simulate(Simulation(stage(), usual(USERS, Criteria()), 40))
    assert of(results, "healthy").share(What.THROUGH) >= 0.95
    for name in ("5 % failures", "2.5 times as slow", "total failure"):
        assert of(results, name).share(What.THROUGH) == 0
    total = of(results, "total failure")
    assert total.share(What.ROLLED_BACK) == 1
    assert total.seconds(0.5) <= 6 and total.requests(0.95) < 100
    assert total.proven(0.5) is None


def test_traffic_that_can_prove_nothing_holds_and_goes_back() -> None:
    few = (Scenario("few", Users(0.2, 0.0, 0.0), bad=False),)
    (result,) = simulate(Simulation(stage(hold_at_most=MINUTE), few, 20))
    assert result.share(What.NO_PROOF) == 1
    assert result.seconds(0.5) == 240


def test_a_load_proves_and_finds_what_so_few_users_cannot() -> None:
    users = Users(0.2, 0.0, 0.0)
    loaded = stage(hold_at_most=MINUTE, load=Recipe(20.0, 2000), load_before=(Weight(1000),))
    bad = replace(users, canary_error_rate=0.05)
    both = (Scenario("good", users, bad=False), Scenario("bad", bad, bad=True))
    results = simulate(Simulation(loaded, both, 20))
    assert of(results, "good").share(What.THROUGH) == 1
    assert of(results, "good").seconds(0.5) == pytest.approx(100 + 240, abs=10)
    assert of(results, "bad").share(What.ROLLED_BACK) == 1 and of(results, "bad").requests(1.0) == 0


def test_metrics_of_ones_own_are_left_out() -> None:
    metric = Metric("refused", 0.01, Ratio(Series("refused"), Series("all")))
    judged = replace(stage(), criteria=Criteria(metrics=(metric,)))
    (result,) = simulate(Simulation(judged, usual(USERS, Criteria())[:1], 5))
    assert result.share(What.THROUGH) == 1


def test_a_described_release_is_bad_when_it_is_over_a_limit_and_worse_than_stable() -> None:
    assert not given(USERS, Criteria()).bad
    assert given(replace(USERS, canary_error_rate=0.02), Criteria()).bad
    assert not given(Users(1, 0.05, 0.06), Criteria()).bad, "stable has nearly as much"
    assert given(replace(USERS, slower=3.0), Criteria()).bad
