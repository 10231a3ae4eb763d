"""What do the two sides of a simulated rollout do?

Requests come as a Poisson process, fail independently or in bursts (beta-binomial), and take as long as the scenario's
mixture says. The same seed, scenario and number of the run make the same traffic.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from math import isinf, nan

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.evaluator.contract import Counts, Poll
from bench.evaluator.counters import Counters
from bench.evaluator.latency import Mixture, shares, slowed_in_part
from bench.evaluator.scenarios import Latency, Rate, Scenario, at

Ints = NDArray[np.int64]

_HISTORY = 600.0
_RESTART, _OUTAGE = 400.0, (500.0, 680.0)
_MISSING, _BROKEN = 0.2, 0.05


@dataclass(frozen=True, slots=True)
class Recording:
    """One rollout: what judges see, stable's polls before it, and how many requests the canary got in each poll."""

    polls: list[Poll]
    history: list[Counts]
    asked: Ints


@dataclass(frozen=True, slots=True)
class Side:
    """One side's traffic in each poll: requests, failed ones, and answers up to each edge of the histogram."""

    requests: Ints
    errors: Ints
    buckets: Ints


@dataclass(frozen=True, slots=True)
class _Manner:
    """How one side behaves."""

    rate: Rate
    errors: Rate
    latency: Latency
    clustering: float


def record(scenario: Scenario, seed: int, run: int, every: float) -> Recording:
    """Draw one rollout, looked at every so many seconds."""
    rng = np.random.default_rng([seed, zlib.crc32(scenario.name.encode()), run])
    times = [float(t) for t in np.arange(1, round(scenario.horizon / every) + 1) * every]
    clustering = scenario.clustering if scenario.stable_clustering is None else scenario.stable_clustering
    mine = _Manner(scenario.canary_rate, scenario.canary_errors, scenario.canary_latency, scenario.clustering)
    theirs = _Manner(scenario.stable_rate, scenario.stable_errors, scenario.stable_latency, clustering)
    canary, stable = _draw(rng, scenario, mine, times, every), _draw(rng, scenario, theirs, times, every)
    before = _draw(rng, scenario, *_past(scenario, theirs, every), every)
    sides = [_seen(rng, scenario, canary, times, every, canary=True), _seen(rng, scenario, stable, times, every)]
    polls: list[Poll] = [
        {"t": t, "dt": every, "canary": c, "baseline": b} for t, c, b in zip(times, *sides, strict=True)
    ]
    return Recording(polls, _counts(before), canary.requests)


def _past(scenario: Scenario, theirs: _Manner, every: float) -> tuple[_Manner, list[float]]:
    """How stable behaved in the ten minutes before: as at the rollout's first poll, unless its failures are told."""
    count = int(_HISTORY / every)
    if scenario.past_errors is None:
        return theirs, [every] * count
    return replace(theirs, errors=scenario.past_errors), [every * (i + 1) for i in range(count)]


def _draw(rng: Generator, scenario: Scenario, manner: _Manner, times: list[float], every: float) -> Side:
    requests = rng.poisson(np.array([at(manner.rate, t) for t in times]) * every)
    rates = np.array([at(manner.errors, t) for t in times])
    errors = rng.binomial(requests, _clustered(rng, rates, manner.clustering, round(scenario.cluster_s / every)))
    return Side(requests, errors, _answers(rng, scenario, manner, times, requests))


def _clustered(rng: Generator, rates: NDArray[np.float64], clustering: float, polls: int) -> NDArray[np.float64]:
    """Let failures of so many polls correlate: their rate is drawn from a beta distribution around the true one."""
    if clustering <= 0:
        return rates
    size = 1 / clustering - 1
    drawn = rng.beta(np.maximum(rates * size, 1e-9), np.maximum((1 - rates) * size, 1e-9))
    drawn = np.where(rates > 0, drawn, 0.0)
    return drawn[np.arange(len(rates)) // polls * polls] if polls > 1 else drawn


def _answers(rng: Generator, scenario: Scenario, manner: _Manner, times: list[float], requests: Ints) -> Ints:
    """Draw the cumulative histogram of each poll."""
    mixtures: list[Mixture] = [at(manner.latency, t) for t in times]
    counts = np.zeros((len(times), len(scenario.edges) + 1), dtype=np.int64)
    for mixture in sorted(set(mixtures)):
        chosen = np.array([m == mixture for m in mixtures])
        counts[chosen] = rng.multinomial(requests[chosen], shares(mixture, scenario.edges))
    if (slow := scenario.slow_bursts) is not None:
        for i in np.nonzero(rng.random(len(times)) < slow.chance)[0]:
            mixture = slowed_in_part(mixtures[i], slow.share, slow.factor)
            counts[i] = rng.multinomial(requests[i], shares(mixture, scenario.edges))
    return np.asarray(np.cumsum(counts, axis=1))


def _seen(
    rng: Generator, scenario: Scenario, side: Side, times: list[float], every: float, *, canary: bool = False
) -> list[Counts | None]:
    """What telemetry tells of a side in each poll."""
    if scenario.outages:
        return _read(rng, side, times, round(_RESTART / every) if canary else None)
    wait = scenario.canary_wait if canary else scenario.stable_wait
    counts = _waiting(side, times, wait, every) if scenario.waits else _counts(side)
    return _in_turns(counts, first=canary) if scenario.in_turns else list(counts)


def _counts(side: Side) -> list[Counts]:
    rows = zip(side.requests.tolist(), side.errors.tolist(), side.buckets, strict=True)
    return [{"requests": n, "errors": k, "buckets": b} for n, k, b in rows]


def _read(rng: Generator, side: Side, times: list[float], restart: int | None) -> list[Counts | None]:
    """Tell of a side by counters: some readings are missing or broken, all of them in an outage."""
    totals = Side(*(_counter(x, restart) for x in (side.requests, side.errors, side.buckets)))
    counters = Counters()
    counters.push({"requests": 0, "errors": 0, "buckets": np.zeros(side.buckets.shape[1], dtype=np.int64)})
    told: list[Counts | None] = []
    for t, reading in zip(times, _counts(totals), strict=True):
        missing, broken = rng.random(2)
        if broken < _BROKEN:
            reading["requests"] = nan
        lost = missing < _MISSING or _OUTAGE[0] < t <= _OUTAGE[1]
        told.append(counters.push(None if lost else reading))
    return told


def _counter(increments: Ints, restart: int | None) -> Ints:
    """Sum up, and begin anew with the poll `restart`."""
    total = np.cumsum(increments, axis=0)
    if restart is not None:
        total[restart:] = total[restart:] - total[restart - 1]
    return np.asarray(total)


def _waiting(side: Side, times: list[float], wait: Rate, every: float) -> list[Counts]:
    """Count answers only so many seconds after they were asked for, and until then the requests as pending."""
    n = len(times)
    answered = Side(*(np.zeros_like(x) for x in (side.requests, side.errors, side.buckets)))
    for i, t in enumerate(times):
        late = at(wait, t)
        j = n if isinf(late) else i + round(late / every)
        if j < n:
            answered.requests[j] += side.requests[i]
            answered.errors[j] += side.errors[i]
            answered.buckets[j] += side.buckets[i]
    pending = np.cumsum(side.requests - answered.requests).tolist()
    counts = _counts(answered)
    for count, started, left in zip(counts, side.requests.tolist(), pending, strict=True):
        count["started"], count["pending"] = started, left
    return counts


def _in_turns(counts: list[Counts], *, first: bool) -> list[Counts | None]:
    """Report in every other poll only, each time for two polls."""
    told: list[Counts | None] = []
    for i, count in enumerate(counts):
        if (i % 2 == 0) is not first:
            told.append(None)
        elif i == 0:
            told.append(count)
        else:
            told.append(_sum(counts[i - 1], count))
    return told


def _sum(a: Counts, b: Counts) -> Counts:
    requests, errors = a["requests"] + b["requests"], a["errors"] + b["errors"]
    return {"requests": requests, "errors": errors, "buckets": a["buckets"] + b["buckets"]}
