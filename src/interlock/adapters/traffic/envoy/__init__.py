"""The port `Traffic` spoken to an Envoy that runs on this machine."""

from interlock.adapters.traffic.envoy.envoy import Envoy

__all__ = ["Envoy"]
