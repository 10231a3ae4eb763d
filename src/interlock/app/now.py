"""How do users fare at this moment, whatever is under way? What the proxy counted between two moments."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from interlock.adapters.clock import SystemClock
from interlock.adapters.metrics.envoy import EnvoyMetrics
from interlock.adapters.traffic.envoy.process import socket_in
from interlock.app.state import StateDirectory
from interlock.core.sample import Side, difference


async def now(state: StateDirectory, revisions: Sequence[str], over: timedelta) -> dict[str, Side]:
    """Return what each revision's users got within so long from now; one that the proxy does not know is missing.

    Raises MetricsError when the proxy does not answer.
    """
    metrics = EnvoyMetrics(socket_in(state.runtime), SystemClock())
    before = await metrics.read(tuple(revisions))
    await asyncio.sleep(over.total_seconds())
    after = await metrics.read(tuple(revisions))
    found = {}
    for name in revisions:
        sample = difference(before, after, name, None)
        if sample is not None and sample.canary is not None:
            found[name] = sample.canary
    return found
