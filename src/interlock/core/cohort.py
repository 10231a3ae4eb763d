"""How do users who get a feature fare beside those who do not?

Where the application's counters carry the variant of a flag as a label, each sample has both: they are compared as
canary and stable are, by evidence of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from interlock.core.metric import Label, Metric, Prometheus, Ratio, Series
from interlock.core.sample import Events, Sample, Side

T = TypeVar("T")

EXPOSED, UNEXPOSED = "users with the flag", "users without the flag"
"""Named as no metric of a user's can be: with spaces."""

VARIANT = "feature_flag_result_variant"
"""OpenTelemetry's attribute ``feature_flag.result.variant``, as Prometheus writes it."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Two counters, of bad events and of all, whose `label` says which variant of a flag the request was served by.

    `exposed` and `unexposed` are its values. `path` and `source` are as in `Metric`.
    """

    bad: Series
    of: Series
    label: str = VARIANT
    exposed: str = "on"
    unexposed: str = "off"
    path: str = "/metrics"
    source: Prometheus | None = None

    @property
    def metrics(self) -> tuple[Metric, Metric]:
        """Return what is to be read of both."""
        return self._metric(EXPOSED, self.exposed), self._metric(UNEXPOSED, self.unexposed)

    def _metric(self, name: str, variant: str) -> Metric:
        only = Label(self.label, "=", variant)
        bad, of = (replace(one, labels=(*one.labels, only)) for one in (self.bad, self.of))
        return Metric(name, 1.0, Ratio(bad, of), path=self.path, source=self.source)

    def __str__(self) -> str:
        return f"{self.bad} of {self.of} by {self.label}: {self.exposed} beside {self.unexposed}"


def split(sample: Sample) -> tuple[Sample, Sample]:
    """Return what happened on both sides, and what happened to users with the flag and to those without.

    The latter takes users with the flag for the canary and the others for stable; both are of the new revision.
    """
    side = sample.canary
    exposed, unexposed = _side(side, EXPOSED), _side(side, UNEXPOSED)
    cohort = replace(sample, canary=exposed, stable=unexposed)
    return replace(sample, canary=_without(sample.canary), stable=_without(sample.stable)), cohort


def _side(side: Side | None, name: str) -> Side | None:
    """Return a cohort as a side; None where it was not seen."""
    events: Events | None = side.named.get(name) if side is not None else None
    return None if events is None else Side(events.total, events.total, events.bad)


def _without(side: Side | None) -> Side | None:
    return side and replace(side, named=_others(side.named), unseen=_others(side.unseen))


def _others(by_name: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in by_name.items() if name not in (EXPOSED, UNEXPOSED)}
