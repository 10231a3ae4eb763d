"""The port `Traffic` spoken to an Envoy that runs on this machine."""

from interlock.adapters.traffic.envoy.envoy import Envoy
from interlock.adapters.traffic.envoy.front import SharedFront

__all__ = ["Envoy", "SharedFront"]
