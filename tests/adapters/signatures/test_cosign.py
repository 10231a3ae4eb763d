"""Is an image that one of our keys signed known from every other one, whatever else lies in its registry?"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from tests.adapters.registry.registries import CONFIG, Docked, registry

from interlock.adapters.registry.v2 import V2
from interlock.adapters.signatures.cosign import Cosign
from interlock.adapters.signatures.cosign.keys import Keys
from interlock.core.gates import Answer
from interlock.core.image import Access, Image, artefact_of
from interlock.core.manifest import OCI_INDEX, OCI_MANIFEST
from interlock.core.release import Artefact, Configuration, Release
from interlock.core.verification import Verification, simple_signing
from interlock.ports.images import ImageError

SOON = timedelta(seconds=20)
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SPDX, SLSA, SIGN = "https://spdx.dev/Document", "https://slsa.dev/provenance/v1", "https://sigstore.dev/cosign/sign/v1"

# Made once by openssl, which is another implementation than ours: dgst -sha256 -sign, and pkeyutl -sign -rawin.
PINNED_DIGEST = "sha256:87ef60f558bad79beea6425a3b28989f01dd417164150ab3baab98dcbf04def8"
PINNED = (
    b'{"critical":{"identity":{"docker-reference":"registry.example/acme/shop"},"image":{"docker-manifest-digest":"'
    + PINNED_DIGEST.encode()
    + b'"},"type":"cosign container image signature"},"optional":null}'
)
PINNED_BY = {
    "ECDSA P-256": (
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEH6HxDd+z81rRc0qR/J884uPWU2ra\n"
        "qaUhbnsrB3SsIiV8bNLdIktDnKFsSdId73W3e5bjXKK+jC3aF2xMjkOrug==\n-----END PUBLIC KEY-----\n",
        "MEUCIED5J1mi2tbedeVChB1v5ehWB+9i1zxeDRN3q9q4TllMAiEAyQLNiyQGbrWqow+X3LdFQCJD193/7Ze2PNSN9tAj8XI=",
    ),
    "Ed25519": (
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAZu9hn9uwbZyXoH14H5H2UthchYhDDeXJDYcIWB7EVA0=\n"
        "-----END PUBLIC KEY-----\n",
        "L/7X8EG9raDCxdMobmfUky5urRPw42dzURjt03ZhIwphjSmCOCkVhSzqoMIz5S7gMxaaTJec/fRFIMfah+sBCQ==",
    ),
}


@pytest.mark.parametrize("kind", PINNED_BY)
def test_a_signature_that_openssl_made_is_verified_and_one_that_was_changed_is_not(kind: str) -> None:
    pem, text = PINNED_BY[kind]
    others = [one for name, (one, _) in PINNED_BY.items() if name != kind]
    signature = base64.b64decode(text)
    assert simple_signing(PINNED) == PINNED_DIGEST
    assert Keys([pem]).signed(PINNED, signature) and Keys([*others, pem]).signed(PINNED, signature)
    assert not Keys(others).signed(PINNED, signature) and not Keys([]).signed(PINNED, signature)
    for at in range(0, len(PINNED), 37):
        assert not Keys([pem]).signed(PINNED[:at] + bytes([PINNED[at] ^ 1]) + PINNED[at + 1 :], signature)
    for bad in (b"", signature[:-1], bytes(len(signature)), signature + b"\0"):
        assert not Keys([pem]).signed(PINNED, bad)


def test_a_key_of_another_kind_is_refused() -> None:
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    for pem in (_pem(curve), "-----BEGIN PUBLIC KEY-----\njunk\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(ImageError, match=r"key 1 of image\.verify\.keys"):
            Keys([pem])


# --- in a real registry


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@dataclass
class Signer:
    """Somebody with a key."""

    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

    @property
    def pem(self) -> str:
        return _pem(self.key.public_key())

    def sign(self, content: bytes) -> str:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return base64.b64encode(self.key.sign(content)).decode()
        return base64.b64encode(self.key.sign(content, ec.ECDSA(hashes.SHA256()))).decode()


ADA, MALLORY = Signer(ec.generate_private_key(ec.SECP256R1())), Signer(ed25519.Ed25519PrivateKey.generate())


@dataclass
class Signed:
    """An image in a registry, and all that is attached to it."""

    docked: Docked
    image: Image

    def put(self, tag: str, layers: list[dict[str, Any]], **more: Any) -> str:
        config = self.docked.blob(self.image, b"{}", CONFIG)
        made = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers, **more}
        return self.docked.put(Image(self.image.registry, self.image.repository, tag), made)

    def layer(self, content: bytes, kind: str, notes: dict[str, str] | None = None) -> dict[str, Any]:
        return {**self.docked.blob(self.image, content, kind), "annotations": notes or {}}

    def beside(self, suffix: str) -> str:
        return self.image.digest.replace(":", "-") + suffix

    def simple(self, by: Signer, about: str = "", payload: bytes = b"") -> dict[str, Any]:
        image = {"docker-manifest-digest": about or self.image.digest}
        critical = {"identity": {"docker-reference": ""}, "image": image, "type": "cosign container image signature"}
        signed = payload or json.dumps({"critical": critical, "optional": None}).encode()
        return self.layer(signed, SIMPLE, {"dev.cosignproject.cosign/signature": by.sign(signed)})

    def sign(self, *signatures: dict[str, Any]) -> None:
        self.put(self.beside(".sig"), list(signatures))

    def envelope(self, by: Signer, predicate: str, about: str = "") -> bytes:
        subject = [{"name": "shop", "digest": {"sha256": (about or self.image.digest).removeprefix("sha256:")}}]
        statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate}
        payload = json.dumps({**statement, "predicate": {}}).encode()
        kind = "application/vnd.in-toto+json"
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
        said = {"payloadType": kind, "payload": base64.b64encode(payload).decode()}
        return json.dumps({**said, "signatures": [{"keyid": "", "sig": by.sign(signed)}]}).encode()

    def attest(self, *envelopes: bytes) -> None:
        notes = {"predicateType": json.loads(base64.b64decode(json.loads(envelopes[0])["payload"]))["predicateType"]}
        self.put(self.beside(".att"), [self.layer(one, ENVELOPE, notes) for one in envelopes])

    def refer(self, digest: str, artifact_type: str, notes: dict[str, str] | None = None) -> None:
        """List something among what refers to the image, as a registry without that API has it: under a tag."""
        one = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "artifactType": artifact_type}
        made = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{**one, "annotations": notes or {}}]}
        self.docked.put(Image(self.image.registry, self.image.repository, self.beside("")), made, OCI_INDEX)

    async def verified(self, **demanded: Any) -> Answer:
        keys = demanded.pop("keys", (ADA.pem,))
        return await ask(self.image, Verification(keys=keys, **demanded))


@pytest.fixture
def signed(docked: Docked, request: pytest.FixtureRequest) -> Signed:
    image = docked.image(f"t/{abs(hash(request.node.name))}")
    return Signed(docked, image.at(docked.small(image)))


async def ask(image: Image, demanded: Verification) -> Answer:
    async def known(one: Image, access: Access) -> V2:
        return V2(one.registry, access)

    release = Release("shop", "v1", artefact_of(image), Configuration(()), "c")
    return await Cosign(known).verified(demanded, release, SOON)


async def test_an_image_that_one_of_our_keys_signed_is_let_in(signed: Signed) -> None:
    signed.sign(signed.simple(MALLORY), signed.simple(ADA))
    answer = await signed.verified()
    assert answer.open and "signature (tag .sig)" in answer.reason and signed.image.digest in answer.reason
    assert (await signed.verified(keys=(MALLORY.pem,))).open, "Ed25519 too"


async def test_an_image_that_nobody_signed_is_refused_and_may_be_signed_yet(signed: Signed) -> None:
    answer = await signed.verified()
    assert not answer.open and not answer.final and "no signature is attached to it" in answer.reason
    signed.sign(signed.simple(ADA))
    assert (await signed.verified()).open


LIES: dict[str, Callable[[Signed], dict[str, Any]]] = {
    "by somebody else": lambda one: one.simple(MALLORY),
    "of another image": lambda one: one.simple(ADA, about=f"sha256:{'1' * 64}"),
    "of another kind": lambda one: one.simple(ADA, payload=b'{"critical": {"type": "x", "image": {}}}'),
    "of something that is no JSON": lambda one: one.simple(ADA, payload=b"junk"),
    "without a signature": lambda one: {**one.simple(ADA), "annotations": {}},
    "of no digest": lambda one: one.simple(
        ADA, payload=b'{"critical": {"type": "cosign container image signature", "image": {}}}'
    ),
    "of another type of content": lambda one: {**one.simple(ADA), "mediaType": "text/plain"},
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_no_signature_of_ours_over_this_image_lets_nothing_in(signed: Signed, lie: str) -> None:
    signed.sign(LIES[lie](signed))
    answer = await signed.verified()
    assert not answer.open and "no signature" in answer.reason


async def test_a_signature_moved_from_another_image_lets_nothing_in(docked: Docked, signed: Signed) -> None:
    other = Signed(docked, signed.image.at(docked.small(signed.image, {"another": "one"})))
    other.sign(other.simple(ADA))
    signed.sign(other.simple(ADA))
    answer = await signed.verified()
    assert not answer.open and f"signs {other.image.digest}" in answer.reason


async def test_a_signature_among_what_refers_to_the_image_counts_as_well(signed: Signed) -> None:
    digest = signed.put("1", [signed.layer(signed.envelope(ADA, SIGN), BUNDLE)], artifactType=BUNDLE)
    signed.refer(digest, BUNDLE, {"dev.sigstore.bundle.predicateType": SIGN})
    assert "signature (referrer)" in (await signed.verified()).reason
    assert not (await signed.verified(keys=(MALLORY.pem,))).open
    simple = signed.put("2", [signed.simple(MALLORY)])
    signed.refer(simple, "application/vnd.dev.cosign.artifact.sig.v1+json")
    assert (await signed.verified(keys=(MALLORY.pem,))).open


@pytest.mark.parametrize(("name", "predicate"), [("sbom", SPDX), ("provenance", SLSA)])
async def test_what_is_demanded_besides_must_be_signed_by_our_keys_for_this_image(
    signed: Signed, name: str, predicate: str
) -> None:
    signed.sign(signed.simple(ADA))
    answer = await signed.verified(**{name: True})
    assert not answer.open and "is attached to it" in answer.reason
    for lie in (signed.envelope(MALLORY, predicate), signed.envelope(ADA, predicate, f"sha256:{'2' * 64}")):
        signed.attest(lie)
        assert not (await signed.verified(**{name: True})).open
    signed.attest(signed.envelope(ADA, "https://example.com/other"))
    assert not (await signed.verified(**{name: True})).open
    signed.attest(lie, signed.envelope(ADA, predicate))
    answer = await signed.verified(**{name: True})
    assert answer.open and "(tag .att)" in answer.reason
    assert not (await signed.verified(sbom=True, provenance=True)).open, "one of them is not the other"


async def test_an_sbom_that_names_no_image_counts_only_where_no_key_is_demanded(signed: Signed) -> None:
    signed.put(signed.beside(".sbom"), [signed.layer(b"{}", "application/spdx+json")])
    answer = await signed.verified(keys=(), sbom=True)
    assert answer.open and "SBOM (tag .sbom, not signed)" in answer.reason
    signed.sign(signed.simple(ADA))
    assert not (await signed.verified(sbom=True)).open


async def test_an_sbom_that_refers_to_the_image_is_signed_when_its_digest_is(docked: Docked, signed: Signed) -> None:
    signed.sign(signed.simple(ADA))
    subject = {"mediaType": OCI_MANIFEST, "digest": signed.image.digest, "size": 1}
    layers = [signed.layer(b"{}", "application/spdx+json")]
    digest = signed.put("sbom", layers, artifactType="application/spdx+json", subject=subject)
    signed.refer(digest, "application/spdx+json")
    assert not (await signed.verified(sbom=True)).open
    sbom = Signed(docked, signed.image.at(digest))
    sbom.sign(sbom.simple(ADA))
    assert (await signed.verified(sbom=True)).open
    loose = signed.put("loose", layers, artifactType="application/spdx+json")
    signed.refer(loose, "application/spdx+json")
    assert "is about another image" in (await signed.verified(sbom=True, keys=())).reason


async def test_what_buildkit_put_into_the_index_is_signed_with_it(docked: Docked, signed: Signed) -> None:
    inner = signed.image.digest
    notes = {"in-toto.io/predicate-type": SLSA}
    told = signed.put("told", [signed.layer(b"{}", "application/vnd.in-toto+json", notes)])
    marks = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": inner}
    about = {"mediaType": OCI_MANIFEST, "digest": told, "size": 1, "annotations": marks}
    about |= {"platform": {"os": "unknown", "architecture": "unknown"}}
    index = Signed(docked, signed.image.at(docked.index(signed.image, {"amd64": inner}, [about])))
    assert "provenance (index, not signed)" in (await index.verified(keys=(), provenance=True)).reason
    assert not (await index.verified(provenance=True)).open
    index.sign(index.simple(ADA))
    assert "provenance (index)" in (await index.verified(provenance=True)).reason


async def test_what_cannot_be_known_is_not_proven(signed: Signed) -> None:
    gone = Image("127.0.0.1:1", "t/app").at(signed.image.digest)
    answer = await ask(gone, Verification(keys=(ADA.pem,)))
    assert not answer.open and "is not known" in answer.reason and "cannot be reached" in answer.reason
    assert not (await ask(signed.image, Verification(keys=("junk",)))).open
    assert not (await ask(signed.image, Verification())).open
    release = Release("shop", "v1", Artefact(signed.image.digest, "directory ."), Configuration(()), "c")

    async def none(_: Image, __: Access) -> V2:
        raise AssertionError

    answer = await Cosign(none).verified(Verification(keys=(ADA.pem,)), release, SOON)
    assert not answer.open and answer.final and "is no image" in answer.reason


def _pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_bytes(serialization.Encoding.PEM, form).decode())
