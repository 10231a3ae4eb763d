"""Has Envoy taken what it was given? Writes an xDS file and reads back which version is in use."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from interlock.adapters.traffic.envoy.admin import Admin
from interlock.adapters.traffic.envoy.config import Resource, digest
from interlock.adapters.traffic.envoy.files import Files
from interlock.adapters.traffic.envoy.process import EnvoyProcess
from interlock.ports.clock import Clock
from interlock.ports.traffic import TrafficError

_TAKEN_WITHIN = timedelta(seconds=2)
_POLL = timedelta(milliseconds=2)


class Xds:
    """Envoy's subscriptions: what is published counts only once Envoy reports it."""

    def __init__(self, files: Files, admin: Admin, process: EnvoyProcess, clock: Clock) -> None:
        self._files, self._admin, self._process, self._clock = files, admin, process, clock

    async def publish(self, file: Path, subscription: str, resources: list[Resource], version: str = "") -> None:
        """Replace a file, unless it says so already; return when Envoy uses it, raise TrafficError when it does not."""
        before = await self._admin.subscription(subscription)
        wanted = version or digest(resources)
        if self._files.version(file) == wanted == before.version:
            return
        self._files.put(file, resources, wanted)
        await self.taken(subscription, wanted, before.refused)

    async def taken(self, subscription: str, wanted: str, refused: int | None = None) -> None:
        """Return when Envoy uses this version; raise TrafficError after two seconds, or once it has refused another."""
        deadline = self._clock.monotonic() + _TAKEN_WITHIN.total_seconds()
        while True:
            state = await self._admin.subscription(subscription)
            if state.version == wanted:
                return
            if refused is not None and state.refused > refused:
                why = self._process.last_words("rejected") or self._process.last_words()
                raise TrafficError(f"Envoy refused {subscription}, version {wanted}, and keeps {state.version}: {why}")
            if self._clock.monotonic() > deadline:
                asked = f"Envoy was given {subscription}, version {wanted}, and still uses {state.version or 'none'}"
                raise TrafficError(f"{asked} after {_TAKEN_WITHIN.total_seconds():g} s; see {self._process.log}")
            await self._clock.sleep(_POLL)
