"""How many requests did each side have over the whole rollout, and how many were bad?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from interlock.core.judge.baseline import Baseline
from interlock.core.sample import Events, Sample, Side


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums for the report, kept with the judge's state. `before` is stable's traffic of the hour before the rollout.

    `canary` and `stable` are the sides' sums while both were there; `last` is the new revision's since it had all the
    traffic, `returned` the old one's since it had it again. `first_bad` and `last_bad` are the ends of the first and
    the last sample in which the new revision failed requests.
    """

    before: Baseline = field(default_factory=Baseline)
    canary: Side = field(default_factory=Side)
    stable: Side = field(default_factory=Side)
    last: Side = field(default_factory=Side)
    returned: Side = field(default_factory=Side)
    first_bad: datetime | None = None
    last_bad: datetime | None = None

    def add(self, sample: Sample, at: datetime, *, whole: bool, back: bool = False) -> Tally:
        """Count one more sample; `whole` when the new revision has all the traffic, `back` when the old one again."""
        canary, stable = sample.canary or Side(), sample.stable or Side()
        bad = canary.failed > 0
        return replace(
            self,
            canary=total(self.canary, canary),
            stable=total(self.stable, stable),
            last=total(self.last, canary) if whole else self.last,
            returned=total(self.returned, stable) if back else self.returned,
            first_bad=self.first_bad or (at if bad else None),
            last_bad=at if bad else self.last_bad,
        )


def total(one: Side, other: Side) -> Side:
    """Return the sums of one side, with one more sample."""
    latency = dict(one.latency)
    for edge, count in other.latency.items():
        latency[edge] = latency.get(edge, 0.0) + count
    named = dict(one.named)
    for name, events in other.named.items():
        so_far = named.get(name, Events())
        named[name] = Events(so_far.total + events.total, so_far.bad + events.bad)
    return Side(
        one.started + other.started,
        one.completed + other.completed,
        one.failed + other.failed,
        latency,
        other.pending,
        one.abandoned + other.abandoned,
        named,
    )
