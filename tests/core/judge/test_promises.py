"""Does the judge keep alpha and beta, by simulation at the very rates at which they are hardest to keep?

Each test plays a few hundred rollouts with a fixed seed and allows two standard errors above what is promised.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import accumulate
from math import comb, inf

import pytest

from interlock.core.criteria import Criteria
from interlock.core.judge import Baseline, Evidence, Verdict, begin, decide, observe
from interlock.core.sample import Sample, Side

EVERY = timedelta(seconds=5)
N, M = 50, 950
"""Requests in a sample of the canary and of stable."""

Draw = Callable[[], int]


def binomial(rng: random.Random, n: int, p: float) -> Draw:
    """Draw how many of n happen, by inversion of the distribution."""
    upto = list(accumulate(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)))
    return lambda: min(n, bisect_right(upto, rng.random()))


def bursty(rng: random.Random, n: int, p: float) -> Draw:
    """The same mean, in samples of which three in four are clean."""
    burst = binomial(rng, n, 4 * p)
    return lambda: burst() if rng.random() < 0.25 else 0


def side(n: int, failed: Draw, slow: Draw, edge: float) -> Side:
    """One side in one sample: failed requests, and answers slower than an edge; both sides have all edges."""
    late = slow()
    latency = {100.0: n - late if edge == 100 else n - 2 * late, 200.0: 0 if edge == 100 else late}
    return Side(n, n, failed(), {**latency, 400.0: late, inf: 0})


def samples(rng: random.Random, count: int, canary: tuple[Draw, Draw], stable: tuple[Draw, Draw]) -> Iterator[Sample]:
    """Failed requests and slow answers of both sides: stable's are slow from 100 ms on, the canary's from 200 ms on."""
    for i in range(count):
        mine, theirs = side(N, *canary, 200.0), side(M, *stable, 100.0)
        yield Sample(5.0 * (i + 1), EVERY, mine, theirs)


def history(stable: tuple[Draw, Draw], count: int = 120) -> Baseline:
    return sum((Baseline.of(side(M, *stable, 100.0)) for _ in range(count)), Baseline())


def share(rollouts: int, happens: Callable[[], bool]) -> float:
    return sum(happens() for _ in range(rollouts)) / rollouts


def allowed(promise: float, rollouts: int) -> float:
    """Return what a kept promise exceeds in about one of forty simulations at most."""
    return promise + 2.0 * float((promise * (1 - promise) / rollouts) ** 0.5)


@pytest.mark.parametrize(
    ("failed", "stable_failed", "slow", "draw"),
    [
        (0.01, 0.005, 0.005, binomial),  # at the limit, and worse than stable
        (0.03, 0.02, 0.005, binomial),  # over the limit, and 1.5 times stable: as bad as is excused
        (0.005, 0.005, 0.01, binomial),  # a p99 of just twice stable's
        (0.01, 0.005, 0.01, binomial),  # both at their limits
        (0.01, 0.005, 0.01, bursty),  # and in bursts
    ],
)
def test_a_healthy_release_beside_stable_is_rarely_taken_back(
    failed: float, stable_failed: float, slow: float, draw: Callable[[random.Random, int, float], Draw]
) -> None:
    rng, criteria, rollouts = random.Random(41), Criteria(), 200
    stable = binomial(rng, M, stable_failed), binomial(rng, M, 0.01)
    canary = draw(rng, N, failed), draw(rng, N, slow)
    before = history(stable)

    def fails() -> bool:
        evidence = begin(criteria, 90, history=before)
        return any(v is Verdict.FAIL for _, v in verdicts(evidence, samples(rng, 90, canary, stable)))

    assert share(rollouts, fails) <= allowed(criteria.alpha, rollouts)


@pytest.mark.parametrize(
    ("failed", "slow"),
    [(0.02, 0.005), (0.005, 0.02)],  # at the margin in failures, and in slow answers: twice the limit
)
def test_a_release_at_the_margin_is_rarely_proven(failed: float, slow: float) -> None:
    rng, criteria, rollouts = random.Random(42), Criteria(), 300
    stable = binomial(rng, M, 0.005), binomial(rng, M, 0.01)
    canary = binomial(rng, N, failed), binomial(rng, N, slow)
    before = history(stable)

    def proven() -> bool:
        """Whether it is called proven at any time of two hundred samples, or until it is taken back."""
        for evidence, verdict in verdicts(begin(criteria, 180, history=before), samples(rng, 180, canary, stable)):
            if verdict is Verdict.PASS:
                return True
            if verdict is Verdict.FAIL:
                return False
            assert evidence.latency is not None and evidence.latency.edges
        return False

    assert share(rollouts, proven) <= allowed(criteria.beta, rollouts)


@pytest.mark.parametrize("concurrent", [True, False])
def test_the_proof_itself_is_rarely_reached_at_the_margin_even_if_nothing_else_stood_against_it(
    concurrent: bool,
) -> None:
    """Not only until it is taken back: at any time of the whole step."""
    rng, criteria, rollouts = random.Random(43), Criteria(), 250
    stable = binomial(rng, M, 0.005), binomial(rng, M, 0.01)
    canary = binomial(rng, N, 0.02), binomial(rng, N, 0.005)
    before = history(stable)

    def proven() -> bool:
        evidence = begin(criteria, 120, history=before)
        for sample in samples(rng, 120, canary, stable):
            evidence = observe(evidence, sample, concurrent=concurrent)
            if evidence.errors.proven:
                return True
        return False

    assert share(rollouts, proven) <= allowed(criteria.beta, rollouts)


def verdicts(evidence: Evidence, taken: Iterator[Sample]) -> Iterator[tuple[Evidence, Verdict]]:
    """Observe sample by sample; end with the first fail."""
    for sample in taken:
        evidence = observe(evidence, sample, concurrent=True)
        verdict = decide(evidence)
        yield evidence, verdict
        if verdict is Verdict.FAIL:
            return
