"""What may we ask of whatever counts requests?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from interlock.core.metric import Counted, Metric
from interlock.core.sample import Events, Reading


class MetricsError(Exception):
    """The counters could not be read: this is blindness, never a count of zero."""


class Metrics(Protocol):
    """A source of cumulative counters by revision. One stream of evidence uses one source."""

    async def read(
        self, revisions: tuple[str, ...], metrics: tuple[Metric, ...] = (), counted: Counted | None = None
    ) -> Reading:
        """Read the counters of these revisions at one moment; raise MetricsError within two seconds when it cannot.

        `metrics` are counted elsewhere, and wanted in the same reading: what is not seen of them is in `unseen`; what
        nobody has counted anew since is in neither. `counted` is who counts the requests, if not the proxy: until it
        has anything new, the last reading comes again, with its time.
        """

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        """Read, likewise, what came by their previews; 4xx answers are failures there, as we chose what was asked."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What one source shows of one revision's metrics: counter's life -> metric -> events since that life began.

    `unseen` says which metrics were not shown, or not by all instances, and why.
    """

    events: Mapping[str, Mapping[str, Events]] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)


class MetricSource(Protocol):
    """A source of metrics that the user names: the instances themselves, or a system that collects from them."""

    def knows(self, metric: Metric) -> bool:
        """Say whether this source is the one that counts the metric."""

    async def show(self, revision: str, metrics: tuple[Metric, ...]) -> Shown:
        """Show cumulative counts within a second, what could not be seen in words. Never raises, never guesses.

        What has not been counted anew since it was last shown is not shown again.
        """
