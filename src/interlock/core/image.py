"""Which image is meant, how is it named, and how is it built?

Names are read and written as the distribution project's grammar has it (github.com/distribution/reference): host,
path, tag and digest; what names no host is docker.io's, and what has one part there is in `library/`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from interlock.core.release import Artefact

DOCKER_HUB = "docker.io"
LATEST = "latest"
LONGEST_REPOSITORY = 255
LONGEST_TAG = 128

_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_HEX = re.compile(r"[0-9a-f]{64}")
_SHORT = "docker.io/library/nginx:1.27, ghcr.io/acme/shop@sha256:… or 127.0.0.1:5000/shop:1.4"


@dataclass(frozen=True, slots=True)
class Image:
    """One image by its full name: ``registry/repository[:tag][@digest]``.

    `registry` is a host, with its port where it has one. The digest, where there is one, says which content is meant
    whatever the tag names by now.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name as people write it; raise ValueError with what was expected."""
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):  # before it there may be a password, where somebody wrote a URL
            raise _no_image("…@…", "a digest after @ is sha256: and 64 hexadecimal digits in lower case")
        if "://" in name:
            raise _no_image(text, "a name has no scheme: leave out all up to ://")
        host, path = _split(name)
        path, tag = _without_tag(path)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _no_image(text, f"a tag has up to {LONGEST_TAG} letters, digits, _ . - and begins with none of . -")
        if _HEX.fullmatch(name):
            raise _no_image(text, "64 hexadecimal digits are an image's id, which no registry knows")
        if not _HOST.fullmatch(host):
            raise _no_image(text, f'"{host}" is no host')
        if not _PATH.fullmatch(path):
            upper = " (it has capital letters)" if _PATH.fullmatch(path.lower()) else ""
            raise _no_image(text, f'"{path}" is no repository: lower-case parts, joined by . _ __ - and /{upper}')
        if len(path) > LONGEST_REPOSITORY:
            raise _no_image(text, f"a repository has at most {LONGEST_REPOSITORY} characters")
        return cls(host, path, tag or "", digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def name(self) -> str:
        """The full name without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def pinned(self) -> str:
        """What a container engine pulls: ``registry/repository@digest``, which can never be something else.

        Without the tag: some engines refuse a name that has both. Raises ValueError when there is no digest.
        """
        if not self.digest:
            raise ValueError(f"{self} has no digest, so what it names may change")
        return f"{self.name}@{self.digest}"

    @property
    def known_by(self) -> str:
        """What a registry is asked for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or LATEST

    def at(self, digest: str) -> Image:
        """Return the image with this digest; the tag stays, as a word for people."""
        return replace(self, digest=digest)

    def tagged(self, tag: str) -> Image:
        """Return the image with this tag and no digest; raise ValueError when it is no tag."""
        if not _TAG.fullmatch(tag):
            raise ValueError(f'expected a tag such as 1.4 or main, at most {LONGEST_TAG} long, found "{tag}"')
        return replace(self, tag=tag, digest="")


def image_of(artefact: Artefact) -> Image | None:
    """Return the image that an artefact is; None when it is something else, such as a directory.

    An artefact is an image when its source is an image's name with the artefact's own digest.
    """
    try:
        image = Image.parse(artefact.source)
    except ValueError:
        return None
    return image if image.digest and image.digest == artefact.digest else None


def artefact_of(image: Image, commit: str = "", log: str = "") -> Artefact:
    """Return the artefact that an image with a digest is; raise ValueError when it has none."""
    if not image.digest:
        raise ValueError(f"{image} has no digest, so it is not known what would be released")
    return Artefact(image.digest, str(image), commit, log)


def _no_image(text: str, why: str) -> ValueError:
    return ValueError(f'expected an image such as {_SHORT}, found "{text}": {why}')


def _split(name: str) -> tuple[str, str]:
    """Tell host and path apart: what comes first is a host when it has a dot, a port or capitals, or is localhost."""
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first.lower() != first):
        first, rest = DOCKER_HUB, name
    if first == "index.docker.io":
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _without_tag(path: str) -> tuple[str, str | None]:
    before, colon, tag = path.rpartition(":")
    return (before, tag) if colon and "/" not in tag else (path, None)


# Which variant is meant when none is named, or which says nothing, as containerd's platforms package has it.
_ARCHITECTURES: Mapping[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
    "arm": ("arm", "v7"),
}
_USUAL = {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}
_WORD = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Platform:
    """For which machines an image is: ``linux/amd64``, ``linux/arm/v7``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``os/architecture[/variant]``; raise ValueError when it is something else."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(_WORD.fullmatch(part) for part in parts):
            raise ValueError(f'expected a platform such as linux/amd64 or linux/arm/v7, found "{text}"')
        return cls.of(*parts)

    @classmethod
    def of(cls, os: str, architecture: str, variant: str = "") -> Self:
        """Return the platform by its usual names: aarch64 is arm64, and arm64's variant v8 goes without saying."""
        usual, implied = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
        variant = variant.lower() or implied
        return cls(os.lower(), usual, "" if (usual, variant) in _USUAL else variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Access:
    """How a registry is spoken to.

    `user` and `password_secret` are who we are; without them, whatever `docker login` or `podman login` left for that
    registry. The secret is a reference (``env:NAME``, ``file:PATH``), or a keyed fingerprint once it is kept. `ca` is
    the absolute path of a PEM file that is trusted besides the system's. Plain HTTP is spoken on loopback, and
    elsewhere only when it is `insecure`.
    """

    user: str = ""
    password_secret: str = ""
    ca: str = ""
    insecure: bool = False

    def references(self) -> tuple[str, ...]:
        """Return the secrets that are needed, as the file names them."""
        return (self.password_secret,) if self.password_secret else ()

    def sealed(self, fingerprints: Mapping[str, str]) -> Access:
        """Name the secret by its fingerprint in place of its reference; raise KeyError when it has none."""
        return replace(self, password_secret=fingerprints[self.password_secret]) if self.password_secret else self


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One image to be built, and pushed unless `push` is off.

    `image` has no digest; it is built under its tag and each of `also`, which are tags too. `context` is an absolute
    directory, `dockerfile` a path in it. `arguments` end up in the image's history and are no secrets; `secrets` are
    (id, reference), mounted for the one RUN that asks for them. All times in the image are `epoch`, in seconds since
    1970, wherever the tool can have it so: not the commit's, since layers that a cache has would bear another one's.
    """

    image: Image
    context: str
    dockerfile: str = "Dockerfile"
    also: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    target: str = ""
    platforms: tuple[Platform, ...] = ()
    epoch: int = 0
    cache: bool = True
    push: bool = True
    within: timedelta = timedelta(minutes=30)
    access: Access = Access()


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What came of it: the image's whole name, the digest that the registry has for it, and the file of the log.

    `digest` is empty for what was not pushed: only a registry says what an image is. `found` says that the registry
    had it already, so that nothing was built; `log` is that of the build that made it then, "" when it is not here.
    """

    image: str
    digest: str
    log: str
    found: bool = False


@dataclass(frozen=True, slots=True)
class ImageSource:
    """What is said of the image that is released, and how a version of it is built.

    `image` has neither tag nor digest. `root` is the absolute path of the project's directory, `context` the part of
    it that is built from, `dockerfile` a path in that ("" looks for Dockerfile, then Containerfile). Git refs are those
    of `repository`, an absolute path. `builder` is docker, podman, buildah, or "" for what is there.
    """

    image: Image
    root: str
    context: str = "."
    dockerfile: str = ""
    repository: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    target: str = ""
    platforms: tuple[Platform, ...] = ()
    builder: str = ""
    build_within: timedelta = timedelta(minutes=30)
    cache: bool = True
    access: Access = Access()
