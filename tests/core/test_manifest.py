"""Is whatever a registry may send either understood or refused with a sentence, and never anything else?"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.image import Platform
from interlock.core.manifest import INDEXES, KNOWN, Descriptor, ImageConfig, Manifest, digest_of, missing
from interlock.core.verification import STATEMENT, Envelope, Statement, kind_of, simple_signing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "mediaType digest size platform annotations config layers manifests subject critical image type _type "
    "predicateType payload payloadType signatures dsseEnvelope os Labels"
).split()
NEAR = st.dictionaries(st.sampled_from(FIELDS), JSON | st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON)))
SENT = (NEAR | JSON).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)


@given(SENT, st.sampled_from(KNOWN))
def test_a_manifest_is_read_or_refused(body: bytes, kind: str) -> None:
    try:
        manifest = Manifest.of(body, kind)
    except ValueError as error:
        assert str(error)
        return
    assert manifest.digest == digest_of(body) and manifest.index == (kind in INDEXES)
    assert manifest.images is not None and manifest.attestations is not None


@given(SENT)
def test_what_is_attached_to_an_image_is_read_or_refused(body: bytes) -> None:
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": None, "predicateType": 3}
    inside = base64.b64encode(body).decode()
    for read, given_body in (
        (simple_signing, body),
        (Statement.of, body),
        (ImageConfig.of, body),
        (Envelope.of, body),
        (Envelope.of, json.dumps({"payloadType": STATEMENT, "payload": inside, "signatures": []}).encode()),
        (Statement.of, json.dumps({**statement, "subject": _loads(body)}).encode()),
    ):
        try:
            read(given_body)
        except ValueError as error:
            assert str(error)


def test_what_is_nested_without_end_is_refused() -> None:
    deep = b"[" * 200_000
    for read in (lambda body: Manifest.of(body, KNOWN[0]), simple_signing, Statement.of, ImageConfig.of, Envelope.of):
        with pytest.raises(ValueError):
            read(deep)


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def test_platforms_are_compared_by_their_usual_names() -> None:
    record = {"mediaType": "x", "digest": "y", "size": 1, "platform": {"os": "linux", "architecture": "aarch64"}}
    assert Descriptor.of(record).platform == Platform("linux", "arm64")
    assert missing((Platform("linux", "arm64"),), [Platform.parse("linux/arm64/v8")]) == ()


@pytest.mark.parametrize("digest", ["md5:1", "sha1:", ""])
def test_a_digest_by_a_weak_algorithm_is_none(digest: str) -> None:
    with pytest.raises(ValueError, match="sha256 or sha512"):
        digest_of(b"", digest)


def test_kinds_are_told_by_the_predicate() -> None:
    names = (
        "https://spdx.dev/Document/v2.3",
        "https://cyclonedx.org/bom/v1.5",
        "https://slsa.dev/provenance/v0.2",
        "x",
    )
    assert [kind_of(name) for name in names] == ["SBOM", "SBOM", "provenance", None]
