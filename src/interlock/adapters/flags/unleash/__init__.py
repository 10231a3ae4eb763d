"""The port `Flags` spoken to an Unleash server, by its Admin API."""

from interlock.adapters.flags.unleash.flags import UnleashFlags

__all__ = ["UnleashFlags"]
