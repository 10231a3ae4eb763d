"""What must be proven of an image before it starts, and what was found of it?

Signatures are those of cosign: a *simple signing* payload that names the digest of the image, or a DSSE envelope
(secure-systems-lab/dsse, protocol.md) around an in-toto statement that has it as a subject. Who signed is for others to
verify; here is read what was signed.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from interlock.core.image import Access

STATEMENT = "application/vnd.in-toto+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
_SIMPLE = ("cosign container image signature", SIGNED)
_SBOM = ("https://spdx.dev/Document", "https://cyclonedx.org/bom")
_PROVENANCE = ("https://slsa.dev/provenance/",)


@dataclass(frozen=True, slots=True)
class Verification:
    """What is demanded of an image. With keys, all that is demanded must be signed by one of them.

    `listed_in` are the files of the keys, `keys` their PEM texts, which the plan fixes. `sbom` and `provenance` must
    be attached to the image, in its registry.
    """

    listed_in: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    sbom: bool = False
    provenance: bool = False
    timeout: timedelta = timedelta(seconds=30)
    access: Access = Access()


class Kind(StrEnum):
    """What something that is attached to an image is."""

    SIGNATURE = "signature"
    SBOM = "SBOM"
    PROVENANCE = "provenance"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that is attached to the image. `signed` says that one of our keys signed it, for this very digest.

    `where` names the place in the registry; `why_not` says why it does not count, where it does not.
    """

    kind: Kind
    where: str
    signed: bool = False
    why_not: str = ""


def kind_of(predicate: str) -> Kind | None:
    """Return what a statement with this predicate type is; None for what nobody demands."""
    if predicate.startswith(_SBOM):
        return Kind.SBOM
    if predicate.startswith(_PROVENANCE):
        return Kind.PROVENANCE
    return Kind.SIGNATURE if predicate == SIGNED else None


def simple_signing(payload: bytes) -> str:
    """Return the digest that a simple signing payload is about; raise ValueError when it is no such payload."""
    critical = _mapping(_json(payload), "critical")
    if critical.get("type") not in _SIMPLE:
        raise ValueError(f'expected the type "{_SIMPLE[0]}"')
    digest = _mapping(critical, "image").get("docker-manifest-digest")
    if not isinstance(digest, str) or not digest:
        raise ValueError("it names no digest")
    return digest


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope: what was signed, and the signatures."""

    signed: bytes
    statement: Statement
    signatures: tuple[bytes, ...]

    @classmethod
    def of(cls, body: bytes) -> Envelope:
        """Read an envelope, or the sigstore bundle that has one; raise ValueError when it is none."""
        record = _json(body)
        if isinstance(record, dict) and "dsseEnvelope" in record:
            record = record["dsseEnvelope"]
        if not isinstance(record, dict) or record.get("payloadType") != STATEMENT:
            raise ValueError(f"expected an envelope of {STATEMENT}")
        payload = decoded(record.get("payload"))
        signatures = record.get("signatures")
        if not isinstance(signatures, list):
            raise ValueError("the envelope has no signatures")
        found = tuple(decoded(one.get("sig")) for one in signatures if isinstance(one, dict))
        return cls(_authenticated(STATEMENT, payload), Statement.of(payload), found)


@dataclass(frozen=True, slots=True)
class Statement:
    """An in-toto statement: about which digests, and of what kind."""

    subjects: tuple[str, ...]
    predicate: str

    @classmethod
    def of(cls, body: bytes) -> Statement:
        """Read a statement; raise ValueError when it is none."""
        record = _json(body)
        if not isinstance(record, dict) or not str(record.get("_type", "")).startswith("https://in-toto.io/Statement/"):
            raise ValueError("expected an in-toto statement")
        subjects = []
        listed = record.get("subject")
        for one in listed if isinstance(listed, list) else ():
            digests = one.get("digest") if isinstance(one, dict) else None
            subjects += [f"{name}:{value}" for name, value in digests.items()] if isinstance(digests, dict) else []
        return cls(tuple(subjects), str(record.get("predicateType", "")))


def decoded(text: object) -> bytes:
    """Return what base64 stands for; raise ValueError when it is none."""
    try:
        return base64.b64decode(text if isinstance(text, str) else "!", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("expected base64") from error


def _authenticated(kind: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, which is what was signed."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("expected JSON") from error


def _mapping(record: Any, name: str) -> dict[str, Any]:
    found = record.get(name) if isinstance(record, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"expected a mapping {name}")
    return found
