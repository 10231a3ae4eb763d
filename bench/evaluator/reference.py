"""What can be reached at all, and what by the simplest judge of our kind?

`Oracle` knows what goes wrong and from when on: nobody is faster. `Reference` is the same construction as Interlock's
judge (see docs/judge-mathematics.md) at its plainest, written on its own: mutable, with nothing for people to read. It
is what Interlock's has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, sqrt

from bench.evaluator.contract import Counts, Poll, Setting, reported
from bench.evaluator.scenarios import FACTOR, LIMIT

ALPHA, BETA = 0.01, 0.05
RATIO = 1.5
CATASTROPHE = 0.2
BAKE = STALE = MEMORY = 60.0  # seconds
AT_ONCE = 0.7
"""Prior chance that a bad canary is bad from its first request on, and not from a later change."""

SHARES = (0.50, 0.05, 0.45)  # of alpha: errors, catastrophe, latency
ABSOLUTE = dict(zip((1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 90.0), (0.12, 0.28, 0.25, 0.15, 0.10, 0.06, 0.04), strict=True))
RELATIVE = dict(zip((1.5, 2.5, 5.0, 15.0, 60.0), (0.20, 0.30, 0.25, 0.15, 0.10), strict=True))
SAFE = dict(zip((0.02, 0.15, 0.35, 0.6, 0.8), (0.25, 0.25, 0.20, 0.20, 0.10), strict=True))
OUTAGE = {0.5: 0.4, 0.9: 0.6}
_KAPPA = 1.03


class Oracle:
    """Wald's sequential test of the very regression that happens, from its onset on; it is told the truth."""

    name = "oracle"

    def reset(self, ctx: Setting) -> None:
        truth = ctx["oracle"]
        rate, limit = min(truth["p1"], 1 - 1e-9), truth["theta"]
        self._bad, self._good = log(rate / limit), log((1 - rate) / (1 - limit))
        self._onset, self._edge, self._evidence = truth["onset"], truth["v"], 0.0

    def update(self, poll: Poll) -> str:
        canary = poll["canary"]
        if canary is None or poll["t"] <= self._onset:
            return "continue"
        n = canary["requests"]
        k = canary["errors"] if self._edge is None else n - float(canary["buckets"][self._edge])
        self._evidence += k * self._bad + (n - k) * self._good
        return "rollback" if self._evidence >= log(1 / ALPHA) else "continue"


class Odds:
    """Odds of a mixture over alternatives, each true from the beginning or from any later poll on."""

    def __init__(self, prior: Sequence[float], hazard: float) -> None:
        total = sum(prior)
        self._prior = [p / total for p in prior]
        self._stakes = [p * AT_ONCE for p in self._prior]
        self._kept, self._hazard, self.odds = 1.0 - AT_ONCE, hazard, 1.0

    def grow(self, factors: Sequence[float]) -> None:
        """Multiply each alternative's stake by its factor for this poll, after a share of what was kept joined it."""
        joining = self._kept * self._hazard
        self._kept -= joining
        stakes = [(a + p * joining) * f for a, p, f in zip(self._stakes, self._prior, factors, strict=True)]
        self.odds = sum(stakes) + self._kept
        if self.odds > 1e100:
            self.odds, stakes = 1e100, [min(a, 1e100) for a in stakes]
        self._stakes = stakes


def _exp(nats: float) -> float:
    return exp(min(nats, 200.0))


def exceeding(limit: float, n: float, k: float) -> list[float]:
    """Bet on k of n being too many for a limit, valid for any dependence of requests within the poll."""
    surplus = k / (n * limit) - 1.0
    gains = [min(a * limit, 0.98) - limit for a in ABSOLUTE]
    return [1.0 + surplus * (n * g) / (_KAPPA + n * g) for g in gains]


def independent(limit: float, rates: Sequence[float], n: float, k: float, as_one: float = 1.0) -> list[float]:
    """Likelihood ratios of rates to a limit, where so many requests count as one."""
    return [_exp((k * log(p / limit) + (n - k) * log((1 - p) / (1 - limit))) / as_one) for p in rates]


def beside(canary: Tally, stable: Tally, ratio: float, factors: Sequence[float], clustering: float) -> list[float]:
    """Bet on the canary having `ratio` times a factor of stable's rate, and not `ratio` times it."""
    c, s = spread(canary.n, clustering), spread(stable.n, clustering)
    n, k, m, j = canary.n / c, canary.k / c, stable.n / s, stable.k / s
    expected = ratio * n + m
    return [_exp(k * log(f) + (k + j) * log(expected / (ratio * f * n + m))) for f in factors]


def spread(n: float, clustering: float) -> float:
    """How many requests of one poll count as one, when bad ones correlate."""
    return 1.0 + max(n - 1.0, 0.0) * clustering


def clustering(polls: Sequence[tuple[float, float]]) -> float:
    """Estimate how bad events correlate within a poll, by moments, and two standard errors more; 0.002 if unknown."""
    m, n, k = len(polls), float(sum(p[0] for p in polls)), float(sum(p[1] for p in polls))
    if m < 10 or k < 10 or n <= 2 * m:
        return 2e-3
    p, mean = k / n, n / m
    pairs = p * (1 - p) * sum(a * (a - 1.0) for a, _ in polls)
    excess = sum((b - a * p) ** 2 for a, b in polls) - p * (1 - p) * n
    rho = max(0.0, excess / pairs) if pairs > 0 else 2e-3
    return max(1e-4, rho + 2 * sqrt(2.0 / m) * (1 + (mean - 1) * rho) / max(mean - 1, 1))


@dataclass(slots=True)
class Tally:
    """So many requests, so many bad."""

    n: float = 0.0
    k: float = 0.0

    def add(self, n: float, k: float) -> None:
        self.n, self.k = self.n + n, self.k + k


@dataclass(slots=True)
class Stream:
    """One kind of bad event: odds that there are too many by the limit, and too many beside stable."""

    limit: float
    ratio: float
    clustering: float
    absolute: Odds
    relative: Odds
    canary: Tally = field(default_factory=Tally)
    stable: Tally = field(default_factory=Tally)

    def take(self, n: float, k: float) -> None:
        if n > 0:
            self.absolute.grow(exceeding(self.limit, n, k))

    def compare(self) -> bool:
        """Bet on what both sides did since this was last asked; return whether there was anything."""
        if self.canary.n <= 0 or self.stable.n <= 0:
            return False
        self.relative.grow(beside(self.canary, self.stable, self.ratio, list(RELATIVE), self.clustering))
        return True

    def forget(self) -> None:
        self.canary, self.stable = Tally(), Tally()


@dataclass(slots=True)
class Edge:
    """Answers slower than one edge: stable's beyond bucket `u`, the canary's beyond `v`, of which `share` is usual."""

    u: int
    v: int
    share: float
    stream: Stream
    safe: Odds | None

    def compare(self) -> None:
        stream = self.stream
        if stream.compare() and self.safe is not None:
            self.safe.grow(beside(stream.canary, stream.stable, FACTOR, list(SAFE), stream.clustering))
        stream.forget()


class Reference:
    """The judge in its plainest form, at Interlock's default criteria and a bake of a minute."""

    name = "reference"

    def reset(self, ctx: Setting) -> None:
        self._warm_up = ctx["warmup_s"]
        self._hazard = 1.0 / max(20.0, ctx["horizon_s"] / ctx["poll_s"])
        history = [c for c in ctx["history"] if c["requests"] > 0]
        self._compared = bool(history)
        self._errors = self._stream(LIMIT, RATIO, clustering([(c["requests"], c["errors"]) for c in history]))
        self._outage, self._safe = self._odds(OUTAGE), self._odds(SAFE)
        self._edges = self._choose(list(ctx["edges"]), history) if ctx["edges"] is not None else []
        usable = any(e.share <= 2 * LIMIT for e in self._edges)
        self._unjudgeable = ctx["edges"] is not None and self._compared and not usable
        self._canary_at = self._stable_at = 0.0
        self._left, self._recent = exp(-ctx["poll_s"] / MEMORY), Tally()

    def update(self, poll: Poll) -> str:
        t, canary, stable = poll["t"], reported(poll["canary"]), reported(poll["baseline"])
        warm = t > self._warm_up
        if canary is not None:
            self._canary_at = t
            self._take(canary, warm)
        if stable is not None:
            self._stable_at = t
            self._take_stable(stable, warm)
        if canary is not None and stable is not None:
            self._errors.compare()
            self._errors.forget()
            for edge in self._edges if warm else ():
                edge.compare()
        against = self._against(t)
        if against * ALPHA >= 1.0:
            return "rollback"
        return "advance" if self._proven(t, against) else "continue"

    def _odds(self, alternatives: dict[float, float]) -> Odds:
        return Odds(list(alternatives.values()), self._hazard)

    def _stream(self, limit: float, ratio: float, clustered: float) -> Stream:
        return Stream(limit, ratio, clustered, self._odds(ABSOLUTE), self._odds(RELATIVE))

    def _choose(self, edges: list[float], history: list[Counts]) -> list[Edge]:
        """Take up to three edges near stable's p99, and one of the canary's at twice each of them."""
        total = [sum(float(c["buckets"][i]) for c in history) for i in range(len(edges) + 1)]
        if sum(c["requests"] for c in history) < 1000:
            return []
        found = []
        for u, edge in enumerate(edges):
            slow = 1.0 - total[u] / total[-1]
            v = next((i for i, e in enumerate(edges) if e >= FACTOR * edge * (1 - 1e-9)), None)
            if v is not None and slow * total[-1] >= 5:
                found.append((abs(log(slow / LIMIT)), u, v, slow))
        found.sort()
        near = [f for f in found if 0.0025 <= f[3] <= 0.03][:3] or [f for f in found if 0.0002 <= f[3] <= 0.10][:2]
        chosen = [self._edge(u, v, slow, history, total[-1]) for _, u, v, slow in near]
        if near and near[0][0] < 0.7 and edges[chosen[0].v] <= 1.2 * FACTOR * edges[chosen[0].u]:
            for further in chosen[1:]:
                further.safe = None  # with fine edges, the nearest suffices for a proof
        return chosen

    def _edge(self, u: int, v: int, slow: float, history: list[Counts], answers: float) -> Edge:
        clustered = clustering([(c["requests"], c["requests"] - int(c["buckets"][u])) for c in history])
        counted = 1 + answers / len(history) * clustered
        limit = min(slow + sqrt(slow * counted / answers), 0.5)
        return Edge(u, v, slow, self._stream(limit, 1.0, max(clustered, 1e-9)), self._odds(SAFE))

    def _take(self, canary: Counts, warm: bool) -> None:
        n = float(canary["requests"])
        k = min(float(canary["errors"]), n)
        self._recent = Tally(self._recent.n * self._left + n, self._recent.k * self._left + k)
        self._errors.canary.add(n, k)
        if n > 0:
            self._outage.grow(independent(CATASTROPHE, list(OUTAGE), n, k))
        if n > 0 and warm:
            self._errors.take(n, k)
            limit = 2 * LIMIT
            as_one = spread(n, self._errors.clustering)
            self._safe.grow(independent(limit, [a * limit for a in SAFE], n, k, as_one))
        for edge in self._edges if warm and n > 0 else ():
            slow = n - float(canary["buckets"][edge.v])
            edge.stream.take(n, slow)
            edge.stream.canary.add(n, slow)

    def _take_stable(self, stable: Counts, warm: bool) -> None:
        n = float(stable["requests"])
        self._errors.stable.add(n, min(float(stable["errors"]), n))
        for edge in self._edges if warm else ():
            edge.stream.stable.add(n, n - float(stable["buckets"][edge.u]))

    def _against(self, t: float) -> float:
        """Odds against the canary over all metrics."""
        guard = self._errors.relative.odds if self._compared and t - self._stable_at <= STALE else inf
        against = SHARES[0] * min(self._errors.absolute.odds, guard) + SHARES[1] * min(self._outage.odds, guard)
        slow = [min(e.stream.absolute.odds, e.stream.relative.odds) for e in self._edges]
        return against + SHARES[2] * (sum(slow) / len(slow) if slow else 1.0)

    def _proven(self, t: float, against: float) -> bool:
        seen = t - self._canary_at <= STALE and (not self._compared or t - self._stable_at <= STALE)
        calm = self._recent.k < 2 or self._recent.k <= LIMIT * self._recent.n
        quiet = against < 2.0 and self._errors.absolute.odds * ALPHA < 1.0
        proofs = [self._safe, *(e.safe for e in self._edges if e.safe is not None)]
        proven = all(p.odds * BETA >= 1.0 for p in proofs) and not self._unjudgeable
        return proven and quiet and calm and seen and t >= self._warm_up + BAKE
