"""Many machines behind the ports of one: every step is reached on each of them, or on none for long."""

from interlock.adapters.host.fleet.fleet import Fleet
from interlock.adapters.host.fleet.member import Call, Far, Member
from interlock.adapters.host.fleet.metrics import ManyMetrics
from interlock.adapters.host.fleet.probe import ManyProber
from interlock.adapters.host.fleet.traffic import ManyTraffic
from interlock.adapters.host.fleet.wire import answer
from interlock.adapters.host.fleet.workload import ManyWorkload

__all__ = [
    "Call",
    "Far",
    "Fleet",
    "ManyMetrics",
    "ManyProber",
    "ManyTraffic",
    "ManyWorkload",
    "Member",
    "answer",
]
