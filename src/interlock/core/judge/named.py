"""What do the bad events say that the user names and the application counts?

Each such metric is one more stream of bad events, under the tests that failures are under. It has eyes of its own: a
metric that an instance does not show is not seen, which proves nothing and is never a count of zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

from interlock.core.criteria import Criteria
from interlock.core.judge.baseline import UNKNOWN_CLUSTERING
from interlock.core.judge.sight import Sight
from interlock.core.judge.stream import SOME, Count, Limits, Stream
from interlock.core.metric import Metric
from interlock.core.sample import Events, Sample, Side

LIKE_LATENCY = 0.43
"""What a metric of weight 1 has beside the parts that failures, catastrophe and latency have among themselves."""

_NOTHING: Mapping[str, Events] = {}


@dataclass(frozen=True, slots=True)
class Named:
    """The evidence on one metric that the user names; `share` is its part of the odds against the release.

    `seen_at` is when all instances of the canary last showed it, None before, and `unseen` why it is not seen.
    `owed` and `stable_owed` are bad events that were counted before the events they belong to.
    """

    metric: Metric
    share: float
    stream: Stream
    sight: Sight = Sight()
    seen_at: float | None = None
    unseen: str = ""
    owed: float = 0.0
    stable_owed: float = 0.0

    def take(self, sample: Sample, now: float, concurrent: bool, patience: float, left: float, warm: bool) -> Named:
        """Take in one sample, which ends `now`; before `warm` it is only looked at. See `Stream.take`."""
        mine, owed = _count(sample.canary, self.metric.name, self.owed)
        theirs, stable_owed = _count(sample.stable, self.metric.name, self.stable_owed)
        sight = self.sight.look(sample, now, mine, theirs, concurrent, patience)
        stream = self.stream.unguarded() if self.sight.guarded and not sight.guarded else self.stream
        if warm:
            stream = stream.take(mine, theirs, sight.guarded, left)
        why = self.unseen if sample.canary is None else sample.canary.unseen.get(self.metric.name, "")
        seen_at = self.seen_at if mine is None or why else sight.now
        return Named(self.metric, self.share, stream, sight, seen_at, why, owed, stable_owed)

    def restarted(self) -> Named:
        """A weight step: see `Stream.restarted`."""
        return replace(self, stream=self.stream.restarted())

    @property
    def odds_against(self) -> float:
        """Odds that the limit is exceeded, and what stable excuses, where stable shows the metric too."""
        return self.stream.odds_against(self.sight.guarded)

    def blind(self, now: float, patience: float) -> bool:
        """Whether not all of the canary has shown the metric for longer than `patience` seconds, or ever."""
        return self.seen_at is None or now - self.seen_at > patience


def begin_named(criteria: Criteria, hazard: float) -> tuple[Named, ...]:
    """Start each metric without evidence. Their shares and what is left for the others sum to one."""
    whole = 1.0 + sum(LIKE_LATENCY * metric.weight for metric in criteria.metrics)
    return tuple(
        Named(metric, LIKE_LATENCY * metric.weight / whole, _start(criteria, metric, hazard))
        for metric in criteria.metrics
    )


def rest(named: tuple[Named, ...]) -> float:
    """What share of the odds the metrics leave to failures, catastrophe and latency: all of it without any."""
    return 1.0 / (1.0 + sum(LIKE_LATENCY * one.metric.weight for one in named)) if named else 1.0


def _start(criteria: Criteria, metric: Metric, hazard: float) -> Stream:
    limit = min(max(metric.limit, 1e-6), 0.95)
    return Stream.start(Limits.of(criteria, (limit,), 1, compared=False, clustering=UNKNOWN_CLUSTERING), hazard)


def _count(side: Side | None, name: str, owed: float) -> tuple[Count | None, float]:
    """Return what one side counted, and the bad events that it has no events for yet; None when it was not seen."""
    events = (_NOTHING if side is None else side.named).get(name)
    if events is None or not (isfinite(events.total) and isfinite(events.bad)) or events.total < 0 or events.bad < 0:
        return None, owed
    bad = min(events.bad + owed, events.total)
    left = events.bad + owed - bad
    return Count(events.total, (bad,)), left if events.total <= SOME else min(left, events.total)
