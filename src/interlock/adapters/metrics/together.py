"""What do the proxy and all other sources count at one moment?

The proxy's counters set the time. The other sources are asked meanwhile, and what they have not shown within a second
is not seen: the proxy's sample never waits longer for them. Where somebody else counts the requests, they set the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Protocol

from interlock.core.metric import Counted, Metric
from interlock.core.sample import Events, Reading
from interlock.ports.metrics import MetricsError, MetricSource, Shown

WITHIN = timedelta(seconds=1)
_REMEMBERED = 100


class Requests(Protocol):
    """What counts the requests of each revision: the proxy."""

    async def read(self, revisions: tuple[str, ...]) -> Reading:
        """See `Metrics.read`."""

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        """See `Metrics.read_previews`."""


class Elsewhere(Protocol):
    """What counts requests in place of the proxy."""

    async def requests(self, revisions: tuple[str, ...], counted: Counted) -> Reading:
        """See `Metrics.read`; the very reading of before when nothing was counted anew."""


class MetricsTogether:
    """The proxy's counters, or those of `elsewhere`, with the metrics that `sources` know in the same reading."""

    def __init__(
        self, requests: Requests, *sources: MetricSource, elsewhere: Elsewhere | None = None, within: timedelta = WITHIN
    ) -> None:
        self._requests, self._sources, self._within, self._elsewhere = requests, sources, within, elsewhere
        self._last: dict[tuple[str, ...], tuple[Reading, Reading]] = {}

    async def read(
        self, revisions: tuple[str, ...], metrics: tuple[Metric, ...] = (), counted: Counted | None = None
    ) -> Reading:
        """Read everything at once; see `Metrics.read`."""
        if counted is not None:
            return await self._read_elsewhere(revisions, metrics, counted)
        if not metrics:
            return await self._requests.read(revisions)
        asked = {name: asyncio.create_task(self._show(name, metrics)) for name in revisions}
        try:
            reading = await self._requests.read(revisions)
            shown = {name: await task for name, task in asked.items()}
        finally:
            for task in asked.values():
                task.cancel()
        return _with(reading, shown)

    async def _read_elsewhere(
        self, revisions: tuple[str, ...], metrics: tuple[Metric, ...], counted: Counted
    ) -> Reading:
        """Ask for requests first: as long as none were counted anew, what else was is left for the next reading."""
        if self._elsewhere is None:
            raise MetricsError(f"nobody on this machine asks {counted.source.url} for requests")
        reading = await self._elsewhere.requests(revisions, counted)
        before = self._last.get(revisions)
        if before is not None and before[0] is reading:
            return before[1]
        shown = await asyncio.gather(*(self._show(name, metrics) for name in revisions))
        whole = _with(reading, dict(zip(revisions, shown, strict=True)))
        self._last = {revisions: (reading, whole)} | {k: v for k, v in self._last.items() if k != revisions}
        self._last = dict([*self._last.items()][:_REMEMBERED])
        return whole

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        """Read what came by the previews: what the application counts cannot be told apart by who asked."""
        return await self._requests.read_previews(revisions)

    async def _show(self, revision: str, metrics: tuple[Metric, ...]) -> Shown:
        known = [(source, tuple(one for one in metrics if source.knows(one))) for source in self._sources]
        asked = [self._ask(source, revision, wanted) for source, wanted in known if wanted]
        shown = await asyncio.gather(*asked)
        claimed = {one.name for _, wanted in known for one in wanted}
        unknown = {one.name: "no source on this machine counts it" for one in metrics if one.name not in claimed}
        return _sum([*shown, Shown(unseen=unknown)])

    async def _ask(self, source: MetricSource, revision: str, metrics: tuple[Metric, ...]) -> Shown:
        """Ask one source; whatever goes wrong is blindness of these metrics, with its reason."""
        try:
            async with asyncio.timeout(self._within.total_seconds()):
                return await source.show(revision, metrics)
        except TimeoutError:
            why = f"not shown within {self._within.total_seconds():g} s"
        except Exception as error:  # a source that breaks must not cost the proxy's sample
            why = f"its source broke: {error!r}"
        return Shown(unseen={one.name: why for one in metrics})


def _with(reading: Reading, shown: Mapping[str, Shown]) -> Reading:
    named = {name: one.events for name, one in shown.items()}
    unseen = {name: one.unseen for name, one in shown.items()}
    return Reading(reading.monotonic, reading.boot, reading.revisions, named, unseen)


def _sum(shown: Iterable[Shown]) -> Shown:
    events: dict[str, dict[str, Events]] = {}
    unseen: dict[str, str] = {}
    for one in shown:
        for life, counted in one.events.items():
            events.setdefault(life, {}).update(counted)
        unseen.update(one.unseen)
    return Shown(events, unseen)
