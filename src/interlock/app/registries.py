"""Who are we to an image's registry, and is what is demanded of the image proven there?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from interlock.adapters.registry import v2
from interlock.adapters.signatures.cosign import Cosign
from interlock.core.gates import Answer
from interlock.core.image import Access, Image
from interlock.core.release import Release
from interlock.core.verification import Verification
from interlock.ports.images import Credential, Registry


async def registry(image: Image, access: Access, read: Callable[[str], str]) -> Registry:
    """Return the image's registry, as whoever we are to it; `read` has the value of a secret by the name it has."""
    if access.user and access.password_secret:
        credential: Credential | None = Credential(access.user, read(access.password_secret))
    else:
        credential = await v2.found(image.registry, image.repository)
    return v2.V2(image.registry, access, credential)


async def verified(demanded: Verification, release: Release, within: timedelta, read: Callable[[str], str]) -> Answer:
    """Look in its registry whether what is demanded of an image is proven."""

    async def known(image: Image, access: Access) -> Registry:
        return await registry(image, access, read)

    return await Cosign(known).verified(demanded, release, within)
