"""Who signed an image, and what else is attached to it? Signatures are made and kept as cosign does it."""

from __future__ import annotations

from interlock.adapters.signatures.cosign.cosign import Cosign

__all__ = ["Cosign"]
