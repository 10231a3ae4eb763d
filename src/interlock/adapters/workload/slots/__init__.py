"""How are the instances of revisions kept, whatever runs them: processes, or containers?"""

from __future__ import annotations

from interlock.adapters.workload.slots.record import Place, bindable
from interlock.adapters.workload.slots.revisions import Revisions
from interlock.adapters.workload.slots.runtime import Autopsy, Check, Found, Life, PlaceTaken, Runtime

__all__ = ["Autopsy", "Check", "Found", "Life", "Place", "PlaceTaken", "Revisions", "Runtime", "bindable"]
