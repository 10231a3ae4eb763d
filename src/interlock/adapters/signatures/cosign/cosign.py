"""What is attached to an image in its registry, and is it by one of our keys, for this very image?

Looked for where cosign and BuildKit put it: under tags made of the digest (`sha256-HEX.sig`, `.att`, `.sbom`; cosign's
SIGNATURE_SPEC.md, ATTESTATION_SPEC.md, BUNDLE_SPEC.md), among what refers to the image (OCI 1.1), and in the image's
own index, which its signature covers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from interlock.adapters.signatures.cosign.keys import Keys
from interlock.core import gates
from interlock.core.gates import Answer
from interlock.core.image import Access, Image, image_of
from interlock.core.manifest import Descriptor, Manifest
from interlock.core.release import Release
from interlock.core.verification import (
    STATEMENT,
    Envelope,
    Found,
    Kind,
    Statement,
    Verification,
    decoded,
    kind_of,
    simple_signing,
)
from interlock.ports.images import ImageError, Registry

_SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
_ENVELOPE = "application/vnd.dsse.envelope.v1+json"
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_SIGNATURES = "application/vnd.dev.cosign.artifact.sig.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_PREDICATE = ("predicateType", "in-toto.io/predicate-type", "dev.sigstore.bundle.predicateType")
_SBOMS = ("spdx", "cyclonedx", "syft")
_LARGEST_PAYLOAD = 1 << 20
_LARGEST_STATEMENT = 32 << 20
_MOST = 64

Registries = Callable[[Image, Access], Awaitable[Registry]]


class Cosign:
    """Looks at all that is attached to an image; `registries` says how its registry is spoken to."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    async def verified(self, demanded: Verification, release: Release, within: timedelta) -> Answer:
        image = image_of(release.artefact)
        if image is None:
            return Answer(
                False, f"{release.version} is no image ({release.artefact.source}), so nothing signs it", True
            )
        try:
            keys = Keys(demanded.keys)
            registry = await self._registries(image, demanded.access)
            found = [one async for one in _Attached(registry, image, keys).all(demanded)]
        except ImageError as error:
            return Answer(False, f"what is proven of {image.name} is not known: {error}")
        return gates.verified(demanded, image.pinned, found)


@dataclass(frozen=True, slots=True)
class _Attached:
    registry: Registry
    image: Image
    keys: Keys

    async def all(self, demanded: Verification) -> AsyncIterator[Found]:
        """Yield what is attached, of the kinds that are demanded."""
        signatures = [one async for one in self._signatures(self.image)]
        for one in signatures:
            yield one
        referring = await self.registry.referrers(self.image)
        async for one in self._referring(referring[:_MOST]):
            yield one
        if demanded.sbom or demanded.provenance:
            async for one in self._attestations(self._beside(".att"), "tag .att"):
                yield one
            async for one in self._sbom_tag():
                yield one
            async for one in self._in_the_index(signed=any(one.signed for one in signatures)):
                yield one

    async def _signatures(self, image: Image) -> AsyncIterator[Found]:
        """Yield the signatures under the image's own tag."""
        manifest = await self.registry.manifest(_beside(image, ".sig"))
        for layer in manifest.parts[:_MOST] if manifest is not None else ():
            if layer.media_type == _SIMPLE:
                yield await self._simple(image, layer, "tag .sig")

    async def _simple(self, image: Image, layer: Descriptor, where: str) -> Found:
        found = Found(Kind.SIGNATURE, where)
        try:
            signature = decoded(layer.annotations.get(_SIGNATURE))
            payload = await self.registry.blob(image, layer.digest, _LARGEST_PAYLOAD)
            about = simple_signing(payload)
        except ValueError as error:
            return replace(found, why_not=f"cannot be read: {error}")
        if about != image.digest:
            return replace(found, why_not=f"signs {about}")
        return replace(found, signed=self.keys.signed(payload, signature))

    async def _referring(self, referring: tuple[Descriptor, ...]) -> AsyncIterator[Found]:
        for one in referring:
            at = self.image.at(one.digest)
            if one.artifact_type.startswith(_BUNDLE) or _PREDICATE[2] in one.annotations:
                async for found in self._attestations(at, "referrer"):
                    yield found
            elif one.artifact_type in (_SIMPLE, _SIGNATURES):
                manifest = await self.registry.manifest(at)
                for layer in manifest.parts if manifest is not None else ():
                    if layer.media_type == _SIMPLE:
                        yield await self._simple(self.image, layer, "referrer")
            elif any(word in one.artifact_type for word in _SBOMS):
                yield await self._referring_sbom(at)

    async def _attestations(self, at: Image, where: str) -> AsyncIterator[Found]:
        """Yield what the envelopes of a manifest say of the image; one that is not by our keys says nothing."""
        manifest = await self.registry.manifest(at)
        for layer in manifest.parts[:_MOST] if manifest is not None else ():
            if layer.media_type != _ENVELOPE and not layer.media_type.startswith(_BUNDLE):
                continue
            kind = kind_of(next((layer.annotations[name] for name in _PREDICATE if name in layer.annotations), ""))
            try:
                envelope = Envelope.of(await self.registry.blob(at, layer.digest, _LARGEST_STATEMENT))
            except ValueError as error:
                yield Found(kind or Kind.PROVENANCE, where, why_not=f"cannot be read: {error}")
                continue
            if (found := self._said(envelope.statement, where)) is not None:
                signed = any(self.keys.signed(envelope.signed, one) for one in envelope.signatures)
                yield replace(found, signed=signed)

    def _said(self, statement: Statement, where: str) -> Found | None:
        kind = kind_of(statement.predicate)
        if kind is None:
            return None
        about = self.image.digest in statement.subjects
        return Found(kind, where, why_not="" if about else f"is about {', '.join(statement.subjects[:3]) or 'nothing'}")

    async def _sbom_tag(self) -> AsyncIterator[Found]:
        """Yield what `cosign attach sbom` left; nothing in it says which image it is about, so it is never signed."""
        manifest = await self.registry.manifest(self._beside(".sbom"))
        if manifest is not None and manifest.parts:
            yield Found(Kind.SBOM, "tag .sbom")

    async def _referring_sbom(self, at: Image) -> Found:
        """Return an SBOM that names the image as its subject: it counts as signed when its own digest is."""
        manifest = await self.registry.manifest(at)
        if manifest is None or manifest.subject != self.image.digest:
            return Found(Kind.SBOM, "referrer", why_not="is about another image")
        signatures = [one async for one in self._signatures(replace(at, tag=""))]
        return Found(Kind.SBOM, "referrer", signed=any(one.signed for one in signatures))

    async def _in_the_index(self, *, signed: bool) -> AsyncIterator[Found]:
        """Yield what BuildKit put into the index; a signature of the index is one of all that it names."""
        index = await self.registry.manifest(self.image)
        for one in index.attestations[:_MOST] if index is not None else ():
            manifest = await self.registry.manifest(self.image.at(one.digest))
            for layer in manifest.parts if manifest is not None else ():
                kind = kind_of(next((layer.annotations[name] for name in _PREDICATE if name in layer.annotations), ""))
                if kind is not None and layer.media_type == STATEMENT:
                    known = index is not None and _lists(index, one.attests)
                    why = "" if known else "is about an image that the index does not list"
                    yield Found(kind, "index", signed, why)

    def _beside(self, suffix: str) -> Image:
        return _beside(self.image, suffix)


def _beside(image: Image, suffix: str) -> Image:
    """Return the tag under which cosign attaches something to an image."""
    return replace(image, tag=image.digest.replace(":", "-") + suffix, digest="")


def _lists(index: Manifest, digest: str) -> bool:
    return any(one.digest == digest for one in index.images)
