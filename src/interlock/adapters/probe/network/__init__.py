"""Does an instance answer as it should, and is it the release we mean? Asked over the network, or by a command."""

from __future__ import annotations

from interlock.adapters.probe.network.check import check
from interlock.adapters.probe.network.prober import NetworkProber

__all__ = ["NetworkProber", "check"]
