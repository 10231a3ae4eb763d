"""What does a registry's manifest say: which content, for which platforms, in which parts?

Media types are those of the OCI image specification 1.1 and of Docker's schema 2, which mean the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.core.image import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
KNOWN = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
"""What is asked for, and understood."""

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_KIND_OF_PART = "vnd.docker.reference.type"
_PART_OF = "vnd.docker.reference.digest"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One piece of content that a manifest or an index names; `platform` where it is an image for one."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Any) -> Descriptor:
        """Read a descriptor; raise ValueError when it is none."""
        if not isinstance(record, dict):
            raise ValueError(f"expected a descriptor, found {type(record).__name__}")
        kind, digest, size = record.get("mediaType"), record.get("digest"), record.get("size")
        if not (isinstance(kind, str) and isinstance(digest, str) and isinstance(size, int) and size >= 0):
            raise ValueError("expected a descriptor with mediaType, digest and size")
        notes = record.get("annotations") or {}
        if not isinstance(notes, dict):
            raise ValueError("expected annotations as a mapping")
        found = {str(name): str(value) for name, value in notes.items()}
        kind_of_artefact = str(record.get("artifactType") or "")
        return cls(kind, digest, size, _platform(record.get("platform")), kind_of_artefact, found)

    @property
    def attests(self) -> str:
        """The digest of the image that this part of an index tells about, as BuildKit puts it there; "" for others."""
        return self.annotations.get(_PART_OF, "") if self.annotations.get(_KIND_OF_PART) else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest or index, as its registry sent it; `digest` is the body's own."""

    digest: str
    media_type: str
    body: bytes = field(repr=False)
    parts: tuple[Descriptor, ...] = ()
    config: Descriptor | None = None
    artifact_type: str = ""
    subject: str = ""

    @classmethod
    def of(cls, body: bytes, media_type: str) -> Manifest:
        """Read what a registry sent as `media_type`; raise ValueError when it is no manifest of that kind."""
        try:
            record = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ValueError("expected a manifest, found something that is not JSON") from error
        if not isinstance(record, dict):
            raise ValueError("expected a manifest, found JSON of another kind")
        named = record.get("mediaType", media_type)
        if named != media_type:
            raise ValueError(f"sent as {media_type}, and says of itself that it is {named}")
        index = media_type in INDEXES
        if ("layers" in record or "config" in record) == index or ("manifests" in record) != index:
            raise ValueError(f"expected what {media_type} has, found other fields")
        listed = record.get("manifests" if index else "layers")
        if not isinstance(listed, list):
            raise ValueError("expected a list of parts")
        subject = record.get("subject")
        return cls(
            "sha256:" + hashlib.sha256(body).hexdigest(),
            media_type,
            body,
            tuple(Descriptor.of(one) for one in listed),
            None if index else Descriptor.of(record.get("config")),
            str(record.get("artifactType") or ""),
            Descriptor.of(subject).digest if subject else "",
        )

    @property
    def index(self) -> bool:
        """Whether it lists an image for each of several platforms."""
        return self.media_type in INDEXES

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The images that an index lists, without what only tells about them."""
        return tuple(one for one in self.parts if self.index and not one.attests and not _unknown(one.platform))

    @property
    def attestations(self) -> tuple[Descriptor, ...]:
        """What an index has that tells about its images: SBOM and provenance, as BuildKit puts them there."""
        return tuple(one for one in self.parts if self.index and one.attests)

    def image_for(self, platform: Platform) -> Descriptor | None:
        """Return the image of an index for a platform, None when there is none."""
        return next((one for one in self.images if one.platform == platform), None)


def digest_of(body: bytes, like: str = "sha256:") -> str:
    """Return the digest of some content by the algorithm of the digest that it is compared with."""
    algorithm = like.partition(":")[0]
    if algorithm not in ("sha256", "sha512"):
        raise ValueError(f"expected a digest by sha256 or sha512, found {algorithm}")
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def missing(wanted: Collection[Platform], found: Collection[Platform]) -> tuple[Platform, ...]:
    """Return the platforms wanted for which there is no image."""
    return tuple(platform for platform in wanted if platform not in found)


def _platform(record: Any) -> Platform | None:
    if not isinstance(record, dict) or not record.get("os") or not record.get("architecture"):
        return None
    return Platform.of(str(record["os"]), str(record["architecture"]), str(record.get("variant") or ""))


def _unknown(platform: Platform | None) -> bool:
    return platform is not None and platform.os == "unknown"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image's own configuration says of it."""

    platform: Platform | None
    labels: Mapping[str, str]

    @classmethod
    def of(cls, body: bytes) -> ImageConfig:
        """Read an image's configuration; raise ValueError when it is none."""
        try:
            record = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ValueError("expected an image's configuration, found something that is not JSON") from error
        if not isinstance(record, dict):
            raise ValueError("expected an image's configuration, found JSON of another kind")
        inner = record.get("config")
        labels = inner.get("Labels") if isinstance(inner, dict) else None
        found = {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {}
        return cls(_platform(record), found)
