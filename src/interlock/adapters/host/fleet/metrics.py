"""How are the counters of several machines read as if there were one? The port `Metrics` over many.

Every source stays a source of its own, under its machine's name: a proxy that began anew on one of them is then no fall
of a sum. They are summed by whoever takes the difference.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from interlock.adapters.host.fleet.fleet import Fleet, everywhere
from interlock.adapters.host.fleet.member import Member
from interlock.core.metric import Counted, Metric
from interlock.core.sample import Reading
from interlock.ports.metrics import MetricsError

V = TypeVar("V")


class ManyMetrics:
    """The machines' own counters. What a Prometheus has, it has of all machines, and is asked once, from this one."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def read(
        self, revisions: tuple[str, ...], metrics: tuple[Metric, ...] = (), counted: Counted | None = None
    ) -> Reading:
        shown = tuple(metric for metric in metrics if metric.source is None)

        async def one(member: Member) -> Reading:
            if member is self._fleet.own:
                return await member.metrics.read(revisions, metrics, counted)
            reading = await member.metrics.read(revisions, shown)
            return replace(reading, revisions={}) if counted is not None else reading

        return await self._together(revisions, one)

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        """Only this machine's: synthetic load is sent from here to here."""
        return await self._fleet.own.metrics.read_previews(revisions)

    async def _together(self, revisions: tuple[str, ...], one: Callable[[Member], Awaitable[Reading]]) -> Reading:
        far = {m.name: m for name in revisions for m in self._fleet.of_revision(name) if m is not self._fleet.own}
        if not far:
            return await one(self._fleet.own)
        members = (self._fleet.own, *far.values())
        readings = await everywhere(members, one, MetricsError)
        here = readings[0]
        named = [(member.name, reading) for member, reading in zip(members, readings, strict=True)]
        return Reading(
            here.monotonic,
            here.boot,
            _merged([(name, reading.revisions) for name, reading in named]),
            _merged([(name, reading.named) for name, reading in named]),
            _unseen([(name, reading.unseen) for name, reading in named]),
        )


def _merged(parts: list[tuple[str, Mapping[str, Mapping[str, V]]]]) -> dict[str, Mapping[str, V]]:
    merged: dict[str, dict[str, V]] = {}
    for name, revisions in parts:
        for revision, sources in revisions.items():
            merged.setdefault(revision, {}).update({f"{source} at {name}": value for source, value in sources.items()})
    return dict(merged)


def _unseen(parts: list[tuple[str, Mapping[str, Mapping[str, str]]]]) -> dict[str, dict[str, str]]:
    merged: dict[str, dict[str, str]] = {}
    for name, revisions in parts:
        for revision, metrics in revisions.items():
            for metric, why in metrics.items():
                told = merged.setdefault(revision, {})
                told[metric] = f"{told[metric]}; {name}: {why}" if metric in told else f"{name}: {why}"
    return merged
