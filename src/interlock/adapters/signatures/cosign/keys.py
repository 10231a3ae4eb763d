"""Did one of these keys sign this?

cosign signs with ECDSA over P-256 and SHA-256, in DER, or with Ed25519 over the content itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from interlock.ports.images import ImageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Key = EllipticCurvePublicKey | Ed25519PublicKey


class Keys:
    """Public keys, of which any may have signed; raises ImageError for what is no such key."""

    def __init__(self, pems: Sequence[str]) -> None:
        self._keys = tuple(_key(pem, number) for number, pem in enumerate(pems, 1))

    def signed(self, content: bytes, signature: bytes) -> bool:
        """Say whether one of them signed exactly this."""
        return any(_signed(key, content, signature) for key in self._keys)


def _key(pem: str, number: int) -> Key:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as missing:
        raise ImageError("signatures are verified by an optional part: pip install 'interlock[verify]'") from missing
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ImageError(f"key {number} of image.verify.keys is no public key in PEM") from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ImageError(
        f"key {number} of image.verify.keys is of a kind that is not taken: expected ECDSA P-256 or Ed25519"
    )


def _signed(key: Key, content: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, content)
        else:
            key.verify(signature, content, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
