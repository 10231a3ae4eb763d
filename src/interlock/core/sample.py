"""What did each side do since we last looked?

Adapters of the port `metrics` read *cumulative* counters. `difference` turns two readings into a `Sample`: per source
first, then summed, because a replaced source would otherwise look like a reset of the sum.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Counters:
    """Cumulative counts of one source (one proxy's view of one revision) since that source began.

    `started` counts requests sent to an instance, `completed` those answered or refused, `failed` the bad ones among
    the completed: 5xx answers, those the proxy made itself, request time-outs, and tries a retry has hidden.
    `abandoned` counts those whose user gave up before an answer began: nobody knows whether they would have been good.
    `latency` is the distribution: upper edge of a bucket in milliseconds -> how many answers fell in it. It lists
    all edges of its layout, the last of them infinite, or else only the filled buckets of Envoy's log-linear histogram.
    """

    started: float = 0
    completed: float = 0
    failed: float = 0
    latency: Mapping[float, float] = field(default_factory=dict)
    abandoned: float = 0


@dataclass(frozen=True, slots=True)
class Events:
    """So many events of a named metric, so many of them bad: since a source began, or in one sample."""

    total: float = 0
    bad: float = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters read at one moment: revision -> source -> counters. `monotonic` is in seconds within one boot.

    `named` has the metrics that the user names: revision -> source -> metric -> events. Each of its sources is one
    life of one instance. `unseen` says of each revision which of its metrics could not be seen, or not wholly, and why.
    """

    monotonic: float
    boot: str
    revisions: Mapping[str, Mapping[str, Counters]]
    named: Mapping[str, Mapping[str, Mapping[str, Events]]] = field(default_factory=dict)
    unseen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Side:
    """What one side did during one sample; the fields are the increments of `Counters`.

    `pending` is how many requests were in flight when the sample ended (started, and neither completed nor abandoned,
    of all time). `failed` may exceed `completed` in a torn reading or when retries hid failures; the judge carries the
    excess over. A metric that the user names is in `named` as far as it was seen, and in `unseen` if not all of it was.
    """

    started: float = 0
    completed: float = 0
    failed: float = 0
    latency: Mapping[float, float] = field(default_factory=dict)
    pending: float = 0
    abandoned: float = 0
    named: Mapping[str, Events] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)

    @property
    def error_rate(self) -> float | None:
        """Failed by completed requests, 0 to 1; None without requests."""
        return min(1.0, self.failed / self.completed) if self.completed > 0 else None

    def quantile(self, q: float) -> float | None:
        """Upper edge, in milliseconds, of the bucket in which quantile `q` lies: for people, never to judge by."""
        total = sum(self.latency.values())
        if total <= 0:
            return None
        seen = 0.0
        for edge in sorted(self.latency):
            seen += self.latency[edge]
            if seen >= q * total:
                return edge
        return None


@dataclass(frozen=True, slots=True)
class Sample:
    """What happened on both sides during `covers`, which ended at `monotonic` seconds of the boot's clock.

    A side is None when its telemetry did not answer: that is blindness, not silence. `boot` tells whose clock it is.
    """

    monotonic: float
    covers: timedelta
    canary: Side | None
    stable: Side | None
    boot: str = ""


def difference(before: Reading | None, after: Reading, canary: str, stable: str | None) -> Sample | None:
    """Return what happened between two readings, or None when there is nothing to compare.

    None: no reading before, another boot, or a time stamp that does not move forward. A counter that fell was reset,
    and its new value is the increment; a source seen for the first time only sets its starting point, unless the
    revision itself is new, whose counters began at zero.
    """
    if before is None or before.boot != after.boot or after.monotonic <= before.monotonic:
        return None
    covers = timedelta(seconds=after.monotonic - before.monotonic)
    return Sample(after.monotonic, covers, _side(before, after, canary), _side(before, after, stable), after.boot)


def _side(before: Reading, after: Reading, revision: str | None) -> Side | None:
    if revision is None or revision not in after.revisions:
        return None
    now, then = after.revisions[revision], before.revisions.get(revision)
    started = completed = failed = pending = abandoned = 0.0
    latency: dict[float, float] = {}
    for source, counters in now.items():
        old = Counters() if then is None else then.get(source, counters)
        if counters.completed < old.completed or counters.started < old.started:
            old = Counters()
        started += _increment(old.started, counters.started)
        completed += _increment(old.completed, counters.completed)
        failed += _increment(old.failed, counters.failed)
        abandoned += _increment(old.abandoned, counters.abandoned)
        pending += max(0.0, counters.started - counters.completed - counters.abandoned)
        for edge, count in _answers(old.latency, counters.latency).items():
            latency[edge] = latency.get(edge, 0.0) + count
    named, unseen = _named(before, after, revision), after.unseen.get(revision, {})
    return Side(started, completed, failed, latency, pending, abandoned, named, unseen)


def _answers(old: Mapping[float, float], new: Mapping[float, float]) -> dict[float, float]:
    """Return how many answers fell in each bucket since; a histogram that counts less than before began anew.

    One that lists all its edges may have lost some: native histograms halve their resolution when they grow too large.
    Then it is told by the edges that are left.
    """
    if math.inf in old and math.inf in new and old.keys() != new.keys():
        left = sorted(old.keys() & new.keys())
        old, new = _told_by(left, old), _told_by(left, new)
    if sum(new.values()) < sum(old.values()):
        old = {}
    return {edge: _increment(old.get(edge, 0.0), count) for edge, count in new.items()}


def _told_by(edges: Sequence[float], counts: Mapping[float, float]) -> dict[float, float]:
    """Count by some of the edges, the last of them infinite."""
    told = dict.fromkeys(edges, 0.0)
    for edge, count in counts.items():
        told[edges[bisect_left(edges, edge)]] += count
    return told


def _named(before: Reading, after: Reading, revision: str) -> dict[str, Events]:
    """Subtract what each life of each instance has counted, then sum; a metric that nobody showed is not there."""
    known = before.named.get(revision, {})
    found: dict[str, Events] = {}
    for source, shown in after.named.get(revision, {}).items():
        for name, events in shown.items():
            first = events if revision in before.revisions else Events()
            old = known.get(source, {}).get(name, first)
            if events.total < old.total or events.bad < old.bad:
                old = Events()
            so_far = found.get(name, Events())
            found[name] = Events(so_far.total + events.total - old.total, so_far.bad + events.bad - old.bad)
    return found


def carried(before: Reading | None, now: Reading) -> Reading:
    """Return the reading to compare the next one with: what was not counted this time keeps its last counters."""
    if before is None or before.boot != now.boot:
        return now
    revisions = {**before.revisions, **now.revisions}
    counted = {name: _joined(before.named.get(name, {}), now.named.get(name, {})) for name in now.revisions}
    return Reading(now.monotonic, now.boot, revisions, {**before.named, **counted})


def _joined(
    before: Mapping[str, Mapping[str, Events]], now: Mapping[str, Mapping[str, Events]]
) -> dict[str, Mapping[str, Events]]:
    return {source: {**before.get(source, {}), **now.get(source, {})} for source in {**before, **now}}


def _increment(old: float, new: float) -> float:
    if not (math.isfinite(old) and math.isfinite(new)):
        return 0.0
    return new - old if new >= old else new
