"""How is a registry spoken to that has the OCI distribution API (Docker's Registry v2)?"""

from __future__ import annotations

from interlock.adapters.registry.v2.credentials import found, login
from interlock.adapters.registry.v2.registry import V2

__all__ = ["V2", "found", "login"]
