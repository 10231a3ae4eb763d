"""How do revisions run as plain processes of this machine, kept alive and found again by whoever comes after us?"""

from __future__ import annotations

from interlock.adapters.workload.process.migrations import Migrations
from interlock.adapters.workload.process.processes import Processes, ProcessRuntime

__all__ = ["Migrations", "ProcessRuntime", "Processes"]
