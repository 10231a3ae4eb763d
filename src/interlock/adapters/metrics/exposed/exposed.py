"""What does each instance of a revision count itself?

Every instance is asked for its own page, on a connection of its own, all at once. Counts are kept apart by instance and
by the life of its process: whoever subtracts them sees each reset, and each replacement as a source of its own.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

from interlock.adapters.http import HttpError, ask
from interlock.adapters.metrics.exposed.page import Page, Unseen
from interlock.core.metric import Metric
from interlock.core.release import Instance
from interlock.core.sample import Events
from interlock.ports.metrics import Shown
from interlock.ports.workload import WorkloadError

_WITHIN = timedelta(milliseconds=900)
_ACCEPT = (("Accept", "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1"),)

_Counted = tuple[dict[str, Events], dict[str, str]]


class Instances(Protocol):
    """What knows the instances of a revision: any workload."""

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        """See `Workload.instances`."""


class ExposedMetrics:
    """The counters that the instances of `workload` show."""

    def __init__(self, workload: Instances, *, within: timedelta = _WITHIN) -> None:
        self._workload, self._within = workload, within

    def knows(self, metric: Metric) -> bool:
        """Know each metric: every instance is asked at the path that the metric names."""
        return bool(metric.path)

    async def show(self, revision: str, metrics: tuple[Metric, ...]) -> Shown:
        """Ask all instances; one that is ready and does not show a metric makes it unseen, with the reason."""
        try:
            instances = [one for one in await self._workload.instances(revision) if one.alive]
        except WorkloadError as error:
            return Shown(unseen={one.name: str(error) for one in metrics})
        if not any(one.ready for one in instances):
            return Shown(unseen={one.name: f"no instance of {revision} is ready" for one in metrics})
        shown = await asyncio.gather(*(self._ask(one, metrics) for one in instances))
        unseen: dict[str, str] = {}
        for instance, (_, why) in zip(instances, shown, strict=True):
            for name, reason in why.items() if instance.ready else ():
                unseen.setdefault(name, f"instance {instance.slot}: {reason}")
        return Shown({_life(one): events for one, (events, _) in zip(instances, shown, strict=True)}, unseen)

    async def _ask(self, instance: Instance, metrics: tuple[Metric, ...]) -> _Counted:
        events: dict[str, Events] = {}
        unseen: dict[str, str] = {}
        for path in dict.fromkeys(one.path for one in metrics):
            here = tuple(one for one in metrics if one.path == path)
            try:
                page = await self._page(instance, path, here)
            except Unseen as why:
                unseen.update({one.name: f"{path}: {why}" for one in here})
                continue
            for one in here:
                try:
                    events[one.name] = page.events(one)
                except Unseen as why:
                    unseen[one.name] = f"{path}: {why}"
        return events, unseen

    async def _page(self, instance: Instance, path: str, metrics: tuple[Metric, ...]) -> Page:
        try:
            answer = await ask(instance.address, path=path, headers=_ACCEPT, timeout=self._within)
        except HttpError as error:
            raise Unseen(str(error)) from error
        if answer.status != 200:
            raise Unseen(f"status {answer.status} instead of 200")
        return Page(answer.body.decode(errors="replace"), answer.header("content-type") or "", metrics)


def _life(instance: Instance) -> str:
    """Name one life of one instance: after a restart everything is counted from zero again."""
    return f"instance {instance.slot}, {instance.process or f'restart {instance.restarts}'}"
