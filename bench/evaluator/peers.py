"""How do other rules decide: Argo Rollouts, Flagger, and two tests on pooled counts?

Each is set as its users set it: failures of at most 1 %, and a p99 of at most twice stable's, estimated as Prometheus
does. Prometheus' own delays (scrape, rule evaluation) are left out, in favour of the peers. Kayenta has its own module.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, nan, sqrt

from bench.evaluator.contract import Counts, Poll, Setting, reported
from bench.evaluator.latency import histogram_quantile
from bench.evaluator.scenarios import FACTOR, LIMIT

P99 = 0.99


@dataclass(frozen=True, slots=True)
class Values:
    """What two Prometheus queries over a window return: None for no series at all, nan for 0 by 0."""

    error_rate: float | None
    p99_ratio: float | None


class Window:
    """The polls of the last so many seconds."""

    def __init__(self, setting: Setting, seconds: float) -> None:
        self._edges: Sequence[float] = setting["edges"] or ()
        self._seconds = seconds
        self._polls: deque[Poll] = deque()

    def push(self, poll: Poll) -> None:
        self._polls.append(poll)
        while self._polls[0]["t"] <= poll["t"] - self._seconds - 1e-9:
            self._polls.popleft()

    def values(self) -> Values:
        canary = _total([p["canary"] for p in self._polls])
        if canary is None:
            return Values(None, None)
        rate = canary["errors"] / canary["requests"] if canary["requests"] > 0 else nan
        stable = _total([p["baseline"] for p in self._polls])
        return Values(rate, None if stable is None else self._ratio(canary, stable))

    def _ratio(self, canary: Counts, stable: Counts) -> float:
        mine, theirs = (histogram_quantile(P99, self._edges, side["buckets"].tolist()) for side in (canary, stable))
        return mine / theirs if theirs > 0 else nan


def _total(polls: Sequence[Counts | None]) -> Counts | None:
    seen = [p for p in polls if p is not None and reported(p) is not None]
    if not seen:
        return None
    return {
        "requests": sum(p["requests"] for p in seen),
        "errors": sum(p["errors"] for p in seen),
        "buckets": sum((p["buckets"] for p in seen[1:]), start=seen[0]["buckets"]),
    }


class Measurements:
    """One metric of an Argo AnalysisRun: what has been measured of it, and when it is measured next."""

    def __init__(self, limit: float, failure_limit: int, interval: float) -> None:
        self._limit, self._failure_limit, self._interval = limit, failure_limit, interval
        self.at, self.count = interval, 0
        self._failed = self._errors = 0

    def measure(self, value: float | None, t: float) -> bool:
        """Take in one measurement; return whether the run ends with it."""
        if value is None:
            self._errors += 1
            self.at = t + Argo.RETRY
            return self._errors > Argo.CONSECUTIVE_ERROR_LIMIT
        self._errors = 0
        self.count += 1
        self.at = t + self._interval
        self._failed += not value <= self._limit  # nan is within no limit
        return self._failed > self._failure_limit


class Argo:
    """An AnalysisRun of Argo Rollouts with one `successCondition` for each of two metrics.

    A metric fails for good when its failed measurements, of all time, are more than `failureLimit` (0 by default), or
    when more than `consecutiveErrorLimit` (4) in a row could not be made, which are tried again after 10 s. With a
    `successCondition` alone, nan is a failure and an empty answer an error. Source: `analysis/analysis.go`
    (`assessMetricFailureInconclusiveOrError`, `DefaultErrorRetryInterval`), `utils/evaluate`.
    """

    CONSECUTIVE_ERROR_LIMIT = 4
    RETRY = 10.0

    def __init__(self, failure_limit: int = 0, interval: float = 60.0) -> None:
        self.name = f"argo {failure_limit}"
        self._failure_limit, self._interval = failure_limit, interval

    def reset(self, ctx: Setting) -> None:
        self._window = Window(ctx, self._interval)
        self._rates = Measurements(LIMIT, self._failure_limit, self._interval)
        self._ratios = Measurements(FACTOR, self._failure_limit, self._interval)
        self._planned = int(ctx["horizon_s"] / self._interval)

    def update(self, poll: Poll) -> str:
        self._window.push(poll)
        t = poll["t"]
        due = [m for m in (self._rates, self._ratios) if t + 1e-9 >= m.at]
        if not due:
            return "continue"
        values = self._window.values()
        for metric in due:
            if metric.measure(values.error_rate if metric is self._rates else values.p99_ratio, t):
                return "rollback"
        return "advance" if min(self._rates.count, self._ratios.count) >= self._planned else "continue"


class Flagger:
    """Flagger's analysis: every `interval` all metrics are checked, and `threshold` failed checks roll back.

    Failed checks are counted over the whole analysis, a good one takes none away, and no data is a failed check. The
    count is looked at before the next check, so that the rollback comes one interval later. Source:
    `pkg/controller/scheduler.go` (`advanceCanary`, `runAnalysis`).
    """

    def __init__(self, threshold: int = 5, interval: float = 60.0) -> None:
        self.name = f"flagger {threshold}"
        self._threshold, self._interval = threshold, interval

    def reset(self, ctx: Setting) -> None:
        self._window = Window(ctx, self._interval)
        self._at, self._failed, self._good = self._interval, 0, 0
        self._planned = int(ctx["horizon_s"] / self._interval)

    def update(self, poll: Poll) -> str:
        self._window.push(poll)
        if poll["t"] + 1e-9 < self._at:
            return "continue"
        self._at += self._interval
        if self._failed >= self._threshold:
            return "rollback"
        values = self._window.values()
        good = _within(values.error_rate, LIMIT) and _within(values.p99_ratio, FACTOR)
        self._good, self._failed = self._good + good, self._failed + (not good)
        return "advance" if self._good >= self._planned else "continue"


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


class Pooled:
    """All requests of each side so far, and the failed ones."""

    def __init__(self) -> None:
        self.n = self.k = self.m = self.j = 0.0

    def add(self, poll: Poll) -> None:
        if (canary := reported(poll["canary"])) is not None:
            self.n, self.k = self.n + canary["requests"], self.k + canary["errors"]
        if (stable := reported(poll["baseline"])) is not None:
            self.m, self.j = self.m + stable["requests"], self.j + stable["errors"]


class MSPRT:
    """A mixture sequential probability ratio test of the difference in failure rates, by a normal approximation.

    As experiment platforms use it (R. Johari, L. Pekelis, D. Walsh, "Always valid inference: bringing sequential
    analysis to A/B testing", arXiv:1512.04922, formula for normal data), with a variance of 0.0001 for the mixture and
    odds of 100; one-sided, from 30 requests a side on. It has no limit, only a comparison, and looks at no latency.
    """

    name = "msprt"
    _VARIANCE = 1e-4
    _ENOUGH = 30

    def reset(self, ctx: Setting) -> None:
        self._all = Pooled()

    def update(self, poll: Poll) -> str:
        a = self._all
        a.add(poll)
        if a.n < self._ENOUGH or a.m < self._ENOUGH:
            return "continue"
        p, q = a.k / a.n, a.j / a.m
        difference, variance = p - q, p * (1 - p) / a.n + q * (1 - q) / a.m
        if difference <= 0:
            return "continue"
        if variance <= 0:
            return "rollback" if p > LIMIT else "continue"
        wide = variance + self._VARIANCE
        odds = 0.5 * log(variance / wide) + self._VARIANCE * difference * difference / (2 * variance * wide)
        return "rollback" if odds >= log(100.0) else "continue"


class PeekingZ:
    """The test of a textbook for two proportions, at a level of 1 %, looked at with every poll.

    One-sided, on pooled counts, from 100 requests a side on. Right for one look, it shows what looking often does.
    """

    name = "peeking z"
    _CRITICAL = 2.3263  # the normal distribution's 99 % quantile
    _ENOUGH = 100

    def reset(self, ctx: Setting) -> None:
        self._all = Pooled()

    def update(self, poll: Poll) -> str:
        a = self._all
        a.add(poll)
        if a.n < self._ENOUGH or a.m < self._ENOUGH:
            return "continue"
        p = (a.k + a.j) / (a.n + a.m)
        variance = p * (1 - p) * (1 / a.n + 1 / a.m)
        worse = variance > 0 and (a.k / a.n - a.j / a.m) / sqrt(variance) > self._CRITICAL
        return "rollback" if worse else "continue"
