"""What may stand under `image` in interlock.yaml, and what does it mean in values of the core?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from interlock.config.block import Block
from interlock.config.quantity import Duration, Reference, Subdirectory, found
from interlock.core.image import Access, Image, ImageSource, Platform
from interlock.core.verification import Verification

_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_source = ImageSource(Image("", ""), "")
_verification, _access = Verification(), Access()


def image_name(value: str) -> str:
    """Accept the name of an image, to which versions add tag and digest."""
    image = Image.parse(value)
    if image.tag or image.digest:
        raise ValueError(f"expected an image without tag and digest, which each version has for itself, found {value}")
    return value


def argument(value: str) -> str:
    """Accept the name of a build argument."""
    if not _ARGUMENT.fullmatch(value):
        raise ValueError(f"expected the name of a build argument such as VERSION, found {found(value)}")
    return value


def secret_id(value: str) -> str:
    """Accept what a Dockerfile calls a secret."""
    if not _ID.fullmatch(value):
        raise ValueError(f"expected the id of a secret such as npm, found {found(value)}")
    return value


def platform(value: str) -> str:
    """Accept a platform."""
    Platform.parse(value)
    return value


ImageName = Annotated[str, AfterValidator(image_name)]
Argument = Annotated[str, AfterValidator(argument)]
SecretId = Annotated[str, AfterValidator(secret_id)]
PlatformName = Annotated[str, AfterValidator(platform)]


class RegistryBlock(Block):
    user: str = Field(_access.user, description="who we are; by default whom `docker login` or `podman login` left")
    password: Reference | None = Field(None, description="the password or token, by reference: `env:NAME`, `file:PATH`")
    ca: str = Field(_access.ca, description="a PEM file with a CA that is trusted besides the system's")
    insecure: bool = Field(
        _access.insecure, description="speak plain HTTP, which is otherwise done on loopback only: all can be read"
    )

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.user) != (self.password is not None):
            raise ValueError(f"expected user and password together, found only {'user' if self.user else 'password'}")
        return self


class VerifyBlock(Block):
    keys: tuple[str, ...] = Field(
        _verification.listed_in,
        strict=False,
        description="files of public keys (ECDSA P-256 or Ed25519, PEM): one of them must have signed the image, with "
        "cosign, and whatever else is demanded here",
    )
    sbom: bool = Field(_verification.sbom, description="an SBOM (SPDX or CycloneDX) must be attached to the image")
    provenance: bool = Field(_verification.provenance, description="a provenance (SLSA) must be attached to the image")
    timeout: Duration = Field(_verification.timeout, description="how long it may take to find that out")

    @model_validator(mode="after")
    def _demands_something(self) -> Self:
        if not (self.keys or self.sbom or self.provenance):
            raise ValueError("expected keys, sbom or provenance, found none of them: nothing would be verified")
        return self


class ImageBlock(Block):
    name: ImageName = Field(description="where it is pushed: `registry/repository`, without tag and digest")
    context: Subdirectory = Field(_source.context, description="the part of the project that it is built from")
    git: str = Field(
        ".", description="the repository that git refs given to `deploy` belong to; by default the project's own"
    )
    dockerfile: str = Field(
        _source.dockerfile, description="the Dockerfile, in the context; by default `Dockerfile`, then `Containerfile`"
    )
    args: dict[Argument, str] = Field(
        default_factory=dict, description="build arguments; they end up in the image, so never a secret"
    )
    secrets: dict[SecretId, Reference] = Field(
        default_factory=dict,
        description="by the id that `RUN --mount=type=secret,id=…` names, as references: `env:NAME` or `file:PATH`",
    )
    target: str = Field(_source.target, description="build this stage; by default the last one")
    platforms: tuple[PlatformName, ...] = Field(
        (), strict=False, description="such as `linux/amd64`; by default this machine's own"
    )
    builder: Literal["auto", "docker", "buildah", "podman"] = Field(
        "auto", description="what builds it: `auto` takes the first that is here, in the order docker, buildah, podman"
    )
    build_within: Duration = Field(_source.build_within, description="how long to build and to push may take, each")
    cache: bool = Field(_source.cache, description="use again what earlier builds left on this machine")
    registry: RegistryBlock = Field(default_factory=RegistryBlock, description="how its registry is spoken to")
    verify: VerifyBlock | None = Field(
        None, description="what must be proven of an image before it starts; by default nothing"
    )

    @classmethod
    def expand(cls, text: str) -> dict[str, str]:
        return {"name": text}

    SHORT_PATTERN = "^[a-zA-Z0-9\\[]"


def image(block: ImageBlock | None, root: Path) -> ImageSource | None:
    """Make the core's value; `root` is where relative paths begin."""
    if block is None:
        return None
    return ImageSource(
        Image.parse(block.name),
        str(root),
        block.context,
        block.dockerfile,
        str(root / block.git),
        tuple(sorted(block.args.items())),
        tuple((id, _absolute(reference, root)) for id, reference in sorted(block.secrets.items())),
        block.target,
        tuple(map(Platform.parse, block.platforms)),
        "" if block.builder == "auto" else block.builder,
        block.build_within,
        block.cache,
        access(block.registry, root),
    )


def verification(block: ImageBlock | None, root: Path) -> Verification | None:
    """Return what is demanded of the image; its keys are files still (see `app.planner`)."""
    if block is None or block.verify is None:
        return None
    demanded = block.verify
    files = tuple(str(root / name) for name in demanded.keys)
    return Verification(files, (), demanded.sbom, demanded.provenance, demanded.timeout, access(block.registry, root))


def access(block: RegistryBlock, root: Path) -> Access:
    """Return how the registry is spoken to."""
    password = _absolute(block.password, root) if block.password else ""
    return Access(block.user, password, str(root / block.ca) if block.ca else "", block.insecure)


def _absolute(reference: str, root: Path) -> str:
    kind, _, name = reference.partition(":")
    return f"file:{root / name}" if kind == "file" else reference
