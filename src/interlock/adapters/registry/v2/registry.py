"""What does a registry have under a name, and is it what it says it is?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from interlock.adapters.registry.v2.transport import LARGEST, Answer, Transport
from interlock.core.image import Access, Image, Platform
from interlock.core.manifest import KNOWN, OCI_INDEX, SCHEMA_1, Descriptor, ImageConfig, Manifest, digest_of
from interlock.ports.images import Credential, Denied, ImageError

WITHIN = timedelta(seconds=30)
_ACCEPT = {"Accept": ", ".join(KNOWN)}
_DIGEST = "docker-content-digest"


class V2:
    """One registry, by the API of the OCI distribution specification 1.1."""

    def __init__(
        self, registry: str, access: Access = Access(), credential: Credential | None = None, within: timedelta = WITHIN
    ) -> None:
        self._transport = Transport(registry, access, credential, within)
        self._credential = credential

    async def plain(self) -> bool:
        return (await self._transport.base()).startswith("http://")

    async def credential(self) -> Credential | None:
        return self._credential

    async def manifest(self, image: Image) -> Manifest | None:
        path, scope = f"{image.repository}/manifests/{image.known_by}", _pull(image)
        answer = await self._transport.ask("GET", path, scope=scope, headers=_ACCEPT)
        if answer.status == 404:
            self._check_missing(image, answer)
            return None
        self._good(image, answer)
        return self._read(image, answer)

    async def blob(self, image: Image, digest: str, largest: int) -> bytes:
        path = f"{image.repository}/blobs/{digest}"
        answer = await self._transport.ask("GET", path, scope=_pull(image), largest=largest)
        if answer.status == 404:
            raise ImageError(f"{image.name} lacks {digest}, which one of its manifests names")
        self._good(image, answer)
        if digest_of(answer.body, digest) != digest:
            raise ImageError(f"{image.name}: what the registry sent as {digest} is something else: {_own(answer)}")
        return answer.body

    async def platforms(self, image: Image, manifest: Manifest) -> Mapping[Platform, ImageConfig]:
        if not manifest.index:
            config = await self._config(image, manifest)
            return {config.platform: config} if config.platform else {}
        found = {}
        for one in manifest.images:
            inner = await self.manifest(image.at(one.digest))
            if inner is None:
                raise ImageError(f"{image} lists {one.digest} for {one.platform}, and the registry does not have it")
            config = await self._config(image, inner)
            if platform := one.platform or config.platform:
                found[platform] = config
        return found

    async def referrers(self, image: Image) -> tuple[Descriptor, ...]:
        path = f"{image.repository}/referrers/{image.digest}"
        answer = await self._transport.ask("GET", path, scope=_pull(image), headers={"Accept": OCI_INDEX})
        listed: Manifest | None = None
        if answer.status == 200 and answer.headers.get("content-type", "").startswith(OCI_INDEX):
            listed = self._understood(image, answer.body, OCI_INDEX)
        elif answer.status in (200, 400, 404, 405):  # it has no such API: then there is a tag (distribution spec)
            fallback = Image(image.registry, image.repository, image.digest.replace(":", "-"))
            listed = await self.manifest(fallback)
        else:
            self._good(image, answer)
        return listed.parts if listed is not None and listed.index else ()

    async def tag(self, image: Image, manifest: Manifest, tags: Collection[str]) -> None:
        for tag in tags:
            path = f"{image.repository}/manifests/{tag}"
            scope = f"repository:{image.repository}:pull,push"
            kind = {"Content-Type": manifest.media_type}
            answer = await self._transport.ask("PUT", path, scope=scope, headers=kind, body=manifest.body)
            self._good(image, answer)

    async def _config(self, image: Image, manifest: Manifest) -> ImageConfig:
        if manifest.config is None:
            raise ImageError(f"{image} has no configuration, so it is no image that can be run")
        body = await self.blob(image, manifest.config.digest, LARGEST)
        try:
            return ImageConfig.of(body)
        except ValueError as error:
            raise ImageError(f"{image}: {error}") from error

    def _read(self, image: Image, answer: Answer) -> Manifest:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        if kind.startswith(SCHEMA_1):
            raise ImageError(
                f"{image} is in Docker's old schema 1, which proves nothing: push it again by a newer tool"
            )
        if kind not in KNOWN:
            raise ImageError(
                f"{image}: expected an image's manifest, and the registry sent {kind or 'something without a type'}; "
                "is it an image?"
            )
        manifest = self._understood(image, answer.body, kind)
        told = [one for one in (answer.headers.get(_DIGEST, ""), image.digest) if one]
        for one in told:
            if digest_of(answer.body, one) != one:
                raise ImageError(
                    f"{image}: the registry sent {manifest.digest} and calls it {one}; what it sends cannot be trusted"
                )
        return manifest

    def _understood(self, image: Image, body: bytes, kind: str) -> Manifest:
        try:
            return Manifest.of(body, kind)
        except ValueError as error:
            raise ImageError(f"{image}: {error}") from error

    def _check_missing(self, image: Image, answer: Answer) -> None:
        """Raise ImageError when it is not a registry that says that it has no such thing."""
        if "html" in answer.headers.get("content-type", "") or not (answer.says() or _known(answer)):
            raise ImageError(
                f"{self._transport.registry} answered 404 for {image}, and not as a registry does: is its name right?"
            )

    def _good(self, image: Image, answer: Answer) -> None:
        if 200 <= answer.status < 300:
            return
        said = f" ({said})" if (said := answer.says()) else ""
        match answer.status:
            case 401 | 403:
                who = self._credential.user or "the owner of a token" if self._credential else "nobody in particular"
                hint = "is the password right, and may it do this?" if self._credential else "log in to it first"
                known = answer.status == 403 or self._transport.by_token
                said = f"the registry denies {image} to {who} ({answer.status}){said}: {hint}"
                raise Denied(said) if known else ImageError(said)
            case 404:
                raise ImageError(f"the registry knows no {image}{said}")
            case 429:
                after = answer.headers.get("retry-after", "")
                wait = f"; it wants us to wait {after} s" if after.isdigit() else ""
                raise ImageError(f"the registry {image.registry} has been asked too often (429){said}{wait}")
            case _:
                raise ImageError(f"the registry answered {answer.status} for {image}{said}")


def _pull(image: Image) -> str:
    return f"repository:{image.repository}:pull"


def _own(answer: Answer) -> str:
    return digest_of(answer.body)


def _known(answer: Answer) -> bool:
    """Say whether an answer without a body is a registry's (HEAD has none)."""
    return "docker-distribution-api-version" in answer.headers or answer.headers.get("content-type", "").startswith(
        "application/json"
    )
