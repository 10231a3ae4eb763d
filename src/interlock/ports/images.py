"""What may we ask of those who build images, and of the registries that keep them?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from interlock.core.gates import Answer
from interlock.core.image import BuildRequest, Image, Platform
from interlock.core.manifest import Descriptor, ImageConfig, Manifest
from interlock.core.release import Release
from interlock.core.verification import Verification


class ImageError(Exception):
    """An image could not be built, pushed, found or verified; the message says which, why, and what to do."""


class Denied(ImageError):
    """The registry knows who asks and lets them not have it; some say so too of what is not there yet."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Who we are to one registry. Neither stored nor shown; `token` is one by which others are had (OAuth 2)."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may see of it."""
        return tuple(one for one in (self.password, self.token) if one)


@dataclass(frozen=True, slots=True)
class Pushing:
    """What a builder needs besides the request: who we are, and whether the registry speaks plain HTTP.

    `login` is what a `config.json` of Docker's would have to say for it, empty where the tool's own will do. `hidden`
    are the values that must not be in what is told or written. `scratch` is a directory for this user alone.
    """

    scratch: Path
    login: Mapping[str, Any] = field(default_factory=dict, repr=False)
    plain: bool = False
    hidden: tuple[str, ...] = field(default=(), repr=False)


class Builder(Protocol):
    """A tool of this machine that builds images and pushes them."""

    @property
    def name(self) -> str:
        """What people call it."""

    async def build_and_push(
        self, request: BuildRequest, pushing: Pushing, log: Path, told: Callable[[str], None]
    ) -> frozenset[str]:
        """Build as requested and push, unless `request.push` is off; write all that the tool says to `log`.

        `told` gets each line as it comes. Returns the digests by which the tool knows what it made, its manifest's or
        its configuration's: what the registry has then must be known by one of them. Only the registry says which
        digest the image has. Raises ImageError with the end of what the tool said.
        """


class Registry(Protocol):
    """One registry, as one of its users sees it. Every question has a deadline and a limit on what is read."""

    async def plain(self) -> bool:
        """Say whether it speaks plain HTTP; raise ImageError when nobody may ask it so, or it is no registry."""

    async def credential(self) -> Credential | None:
        """Return who we are to it; None when we are nobody in particular."""

    async def manifest(self, image: Image) -> Manifest | None:
        """Return what the registry has under the image's digest, else its tag; None when it has nothing there.

        The digest is the body's own and equals what the registry says. Raises Denied, and ImageError for the rest.
        """

    async def blob(self, image: Image, digest: str, largest: int) -> bytes:
        """Return content of the image's repository; raise ImageError when it is missing, larger, or another."""

    async def platforms(self, image: Image, manifest: Manifest) -> Mapping[Platform, ImageConfig]:
        """Return the platforms for which there is an image, and what each says of itself. Raises ImageError."""

    async def referrers(self, image: Image) -> tuple[Descriptor, ...]:
        """Return what refers to the image with this digest (OCI 1.1), empty where the registry knows no such thing."""

    async def tag(self, image: Image, manifest: Manifest, tags: Collection[str]) -> None:
        """Let these tags name the manifest too. Raises ImageError."""


class Verifier(Protocol):
    """Says whether what is demanded of an image is proven; never raises: what cannot be known is not proven."""

    async def verified(self, demanded: Verification, release: Release, within: timedelta) -> Answer:
        """Look at signatures, SBOM and provenance; closed with the reason when one is missing or not by our keys."""
