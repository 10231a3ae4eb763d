"""How many requests did each revision get, fail, and how slow was it, as the Envoy on this machine counts it?

One request to the admin socket reads the counters of every revision asked for, with their latency in detail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from math import inf
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from interlock.adapters.http import HttpError, ask
from interlock.core.sample import Counters, Reading
from interlock.ports.clock import Clock
from interlock.ports.metrics import MetricsError

SOURCE = "envoy"

_WITHIN = timedelta(seconds=2)
_UPTIME_IS_OFF_BY = 3.0  # seconds: whole ones, and as old as the last flush
# Tries that came to no instance: nobody healthy, connection refused, queue full. `upstream_rq_total` has none of them.
_NEVER_SENT = ("upstream_cx_none_healthy", "upstream_rq_pending_failure_eject", "upstream_rq_pending_overflow")
# gRPC fails with HTTP status 200. Of its codes these are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
# INTERNAL, UNAVAILABLE, DATA_LOSS (OpenTelemetry's conventions for spans of an RPC server).
_GRPC_FAULTS = tuple(f"grpc.{code}" for code in (2, 4, 12, 13, 14, 15))
_COUNTS = ("total", "completed", "4xx", "5xx", "retry", "active")
_PREVIEW = "~preview"  # what a revision's preview is called besides: see the proxy's configuration


class EnvoyMetrics:
    """The counters of Envoy's clusters, which are named by revision. `socket` is Envoy's admin socket."""

    def __init__(self, socket: PurePath, clock: Clock) -> None:
        self._socket, self._clock = socket, clock
        self._seen: dict[str, Counters] = {}
        self._began = -inf

    async def read(self, revisions: tuple[str, ...]) -> Reading:
        """Read all counters in one request. A revision unknown to Envoy is missing: that is blindness, not zero."""
        return await self._read({name: name for name in revisions})

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        """Read likewise what came by their previews; there 4xx answers are failures too."""
        return await self._read({name: f"{name}{_PREVIEW}" for name in revisions})

    async def _read(self, clusters: Mapping[str, str]) -> Reading:
        """Read the counters of each revision's cluster."""
        stats = await self._stats(clusters.values())
        at, boot = self._clock.monotonic(), self._clock.boot
        self._notice_restart(at - float(stats.get("server.uptime", 0)))
        there = {name: cluster for name, cluster in clusters.items() if _stat(cluster, "total") in stats}
        return Reading(at, boot, {name: {SOURCE: self._counters(one, stats)} for name, one in there.items()})

    async def _stats(self, clusters: Iterable[str]) -> dict[str, Any]:
        names = "|".join(map(re.escape, clusters))
        wanted = (*_NEVER_SENT, *_GRPC_FAULTS, *(f"upstream_rq_{name}" for name in (*_COUNTS, "time")))
        counts = "|".join(map(re.escape, wanted))
        pattern = quote(rf"^(cluster\.({names})\.({counts})|server\.uptime)$")
        path = f"/stats?format=json&histogram_buckets=detailed&filter={pattern}"
        try:
            response = await ask(f"unix:{self._socket}", path=path, timeout=_WITHIN)
            return _by_name(json.loads(response.body)["stats"])
        except HttpError as error:
            raise MetricsError(f"Envoy's counters cannot be read: {error}; does Envoy run?") from error
        except (ValueError, KeyError, TypeError) as error:
            raise MetricsError(f"Envoy's admin socket {self._socket} gave no counters: {error!r}") from error

    def _notice_restart(self, began: float) -> None:
        """Forget what was seen when Envoy began anew: then counters do fall, and must be seen to."""
        if began > self._began + _UPTIME_IS_OFF_BY:
            self._seen.clear()
            self._began = began

    def _counters(self, cluster: str, stats: Mapping[str, Any]) -> Counters:
        read = _read(cluster, stats)
        before = self._seen.get(cluster, Counters())
        # Envoy's workers count on while we read: a number may be a few behind another, but none may ever fall.
        read = Counters(
            max(before.started, read.started),
            max(before.completed, read.completed),
            max(before.failed, read.failed),
            read.latency,
            max(before.abandoned, read.abandoned),
        )
        self._seen[cluster] = read
        return read


def _read(cluster: str, stats: Mapping[str, Any]) -> Counters:
    """Work out the counters of one revision.

    A try that a retry has hidden was started, completed and failed. A request that its user gave up before the
    answer began is in no counter: it was started, is not under way any more, and was not completed. Whoever asks for
    what is not there gets a 4xx and is to blame for it; by a preview it is we who ask, for what should be there.
    """

    def count(*names: str) -> float:
        return sum(float(stats.get(f"cluster.{cluster}.{name}", 0)) for name in names)

    retried = count("upstream_rq_retry")
    started = count("upstream_rq_total", *_NEVER_SENT)
    completed = count("upstream_rq_completed") + retried
    abandoned = max(0.0, started - count("upstream_rq_active") - completed)
    # A gRPC call that Envoy itself answers is in both: the larger of the two never counts one twice.
    failed = max(count("upstream_rq_5xx"), count(*_GRPC_FAULTS)) + retried
    failed += count("upstream_rq_4xx") if cluster.endswith(_PREVIEW) else 0.0
    latency = _latency(stats.get(_stat(cluster, "time"), ()))
    return Counters(max(started, completed), completed, failed, latency, abandoned)


def _latency(bins: Iterable[Mapping[str, float]]) -> dict[float, float]:
    """Return the filled bins by upper edge in milliseconds: two digits and a power of ten, about 90 to a factor of ten.

    Bins so fine let a p99 twice as long be told from chance within hundreds of requests, where the buckets that Envoy
    shows Prometheus need thousands.
    """
    return {float(f"{one['lower_bound'] + one['width']:.2g}"): float(one["count"]) for one in bins}


def _by_name(stats: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stat in stats:
        if "histograms" in stat:
            found |= {one["name"]: one["totals"] for one in stat["histograms"]["details"]}
        else:
            found[stat["name"]] = stat["value"]
    return found


def _stat(cluster: str, name: str) -> str:
    return f"cluster.{cluster}.upstream_rq_{name}"
