"""What may we ask of whoever checks signatures?"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol


class SignatureError(Exception):
    """The signature is none of these signers' over this text, or could not be checked; the message says which."""


class Signatures(Protocol):
    """Checks detached signatures."""

    async def signer(
        self, text: str, signature: str, signers: tuple[str, ...], namespace: str, within: timedelta
    ) -> str:
        """Return the name under which the signer is listed; raise SignatureError."""
