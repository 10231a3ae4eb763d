"""How are artefacts kept as plain directories of this machine, under the digest of their content?"""

from __future__ import annotations

from interlock.adapters.artefacts.local.directory import Directory

__all__ = ["Directory"]
