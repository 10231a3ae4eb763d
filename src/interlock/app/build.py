"""How does a version become an image that its registry has, under the digest that the registry says?

One function behind the command, the deployment and the tools of agents. What was built before from the same commit, or
the same files, is found by a tag that names both, and is not built again.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from interlock.adapters.artefacts.local import git
from interlock.adapters.clock import SystemClock
from interlock.adapters.images import tools
from interlock.adapters.registry import v2
from interlock.adapters.secrets import kept
from interlock.adapters.store.sqlite import SQLite
from interlock.app import context as contexts
from interlock.app.context import Context
from interlock.app.registries import registry
from interlock.app.secrets import value
from interlock.app.state import StateDirectory
from interlock.app.verbs import who
from interlock.core import audit
from interlock.core.events import LOCAL
from interlock.core.image import (
    Access,
    BuildRequest,
    BuildResult,
    Image,
    ImageSource,
    Platform,
    artefact_of,
)
from interlock.core.manifest import Manifest, missing
from interlock.core.release import Artefact
from interlock.ports.images import Builder, Credential, Denied, ImageError, Pushing, Registry

FINGERPRINT = "interlock.fingerprint"
"""The label that names the files and settings that an image was built from."""

_OCI = "org.opencontainers.image."
REVISION, SOURCE, VERSION, CREATED = (f"{_OCI}{name}" for name in ("revision", "source", "version", "created"))
_LOGS = 200
_LEAST_OF_A_SECRET = 6
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def silent(_: str) -> None:
    """Hear nothing of what goes on."""


_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")


class Builds:
    """The verbs on images over one state directory.

    `source` is what interlock.yaml says of its image; it holds for that image and no other. `told` hears of progress.
    `by` is who wants it, the local user where nobody else is named.
    """

    def __init__(
        self,
        state: StateDirectory,
        source: ImageSource | None = None,
        *,
        told: Callable[[str], None] = silent,
        channel: str = LOCAL,
        by: str = "",
    ) -> None:
        self._state, self._source, self._told, self._channel = state, source, told, channel
        self._by = by or who()
        self._clock = SystemClock()

    async def docker_build_push(
        self,
        image: str,
        tag: str | None = None,
        context: str = ".",
        dockerfile: str | None = None,
        build_args: Mapping[str, str] | None = None,
        platforms: Sequence[str] | None = None,
        push: bool = True,
        *,
        ref: str | None = None,
        target: str | None = None,
        secrets: Mapping[str, str] | None = None,
        builder: str | None = None,
        again: bool = False,
        cache: bool | None = None,
    ) -> BuildResult:
        """Build an image and push it; return its name, the digest that its registry has for it, and the log's file.

        `context` is a directory, seen from the project's own, which stands for what interlock.yaml says where it has
        that image; with `ref` it is taken as it is in that git ref.
        `secrets` are references (``env:NAME``, ``file:PATH``) by id. What is not given holds as interlock.yaml says.
        `again` builds also what the registry has already. Raises ImageError, ArtefactError or SecretError.
        """
        name, tag = _named(image, tag)
        source = self._settings(name, dockerfile, target, platforms, secrets, builder, cache)
        arguments = {**dict(source.arguments), **(build_args or {})}
        if wrong := [name for name in arguments if not _ARGUMENT.fullmatch(name)]:
            raise ImageError(f"expected names of build arguments (letters, digits and _), found {wrong[0][:60]!r}")
        directory = Path(source.root, context).absolute()
        if directory.resolve() == Path(source.root).resolve():
            directory = Path(source.root, source.context).absolute()
        files = await asyncio.to_thread(Context.of, directory, Path(source.repository or source.root), ref)
        content = await asyncio.to_thread(files.content, source.dockerfile)
        named = contexts.fingerprint(content, source, arguments)
        known_as = f"{files.commit[:12]}-{named[:12]}" if files.commit else f"content-{named[:16]}"
        registry = await self.registry(name, source.access)
        if push and not again:
            found = await self._found(registry, name.tagged(known_as), source, named)
            if found is not None:
                return await self._as_found(registry, name, found, known_as, tag)
        labels = {
            REVISION: files.commit,
            SOURCE: files.source,
            CREATED: files.created,
            VERSION: tag or ref or "",
            FINGERPRINT: named,
        }
        request = BuildRequest(
            name.tagged(known_as if push else tag or known_as),
            str(directory),
            source.dockerfile,
            arguments=tuple(sorted(arguments.items())),
            secrets=source.secrets,
            labels=tuple((label, said) for label, said in labels.items() if said),
            target=source.target,
            platforms=source.platforms,
            cache=source.cache,
            push=push,
            within=source.build_within,
            access=source.access,
        )
        return await self._build(request, files, registry, await tools.find(source.builder), tag)

    async def artefact(self, version: str) -> Artefact:
        """Return what a version names as an image: one that is there, or one that is built and pushed now.

        `version` is, in this order: an image with a digest or a tag, or the digest alone; a directory, when it contains
        a slash or is ``.``; a git ref; a directory of that name; a tag of the file's image. Raises ImageError.
        """
        source = self._source
        if source is None:
            raise ImageError("there is no `image` in interlock.yaml, so no version of it can be released")
        directory = Path(source.root, version)
        if (given := _given(version, source, directory)) is not None:
            return await self._there(given, source)
        if "/" in version or version in (".", ".."):
            if directory.is_dir():
                place = source.context if version in (".", "./") else version
                return await self._built(source, place, None)
        elif await asyncio.to_thread(git.commit, Path(source.repository or source.root), version):
            return await self._built(source, source.context, version)
        elif directory.is_dir():
            return await self._built(source, version, None)
        with suppress(ValueError):
            tagged = source.image.tagged(version)
            if await (await self.registry(tagged, source.access)).manifest(tagged) is not None:
                return await self._there(tagged, source)
        raise ImageError(
            f'no such git ref, directory, or tag of {source.image.name}: "{version}" (looked in {source.root}). '
            "To release an image that is there already, name it with its tag or digest"
        )

    async def registry(self, image: Image, access: Access) -> Registry:
        """Return the image's registry, as whoever we are to it."""
        return await registry(image, access, value)

    async def _built(self, source: ImageSource, place: str, ref: str | None) -> Artefact:
        done = await self.docker_build_push(source.image.name, context=place, ref=ref)
        image = Image.parse(done.image)
        commit = await asyncio.to_thread(git.commit, Path(source.repository or source.root), ref) if ref else None
        return artefact_of(image, commit or "", done.log)

    async def _there(self, image: Image, source: ImageSource) -> Artefact:
        """Resolve an image once: from here on its digest is what is meant."""
        access = source.access if image.registry == source.image.registry else Access()
        registry = await self.registry(image, access)
        manifest = await registry.manifest(image)
        if manifest is None:
            raise ImageError(f"the registry has no {image}: is its name right, and was it pushed?")
        per = await registry.platforms(image, manifest)
        if lacking := missing(source.platforms, tuple(per)):
            has = ", ".join(map(str, per)) or "none"
            raise ImageError(f"{image} is not there for {', '.join(map(str, lacking))}; it is for {has}")
        revisions = {config.labels.get(REVISION, "") for config in per.values()}
        commit = revisions.pop() if len(revisions) == 1 else ""
        tag = image.tag or ("" if image.digest else "latest")
        known = replace(image, tag=tag, digest=image.digest or manifest.digest)
        return artefact_of(known, commit if _COMMIT.fullmatch(commit) else "", self._log_of(tag))

    def _settings(
        self,
        name: Image,
        dockerfile: str | None,
        target: str | None,
        platforms: Sequence[str] | None,
        secrets: Mapping[str, str] | None,
        builder: str | None,
        cache: bool | None,
    ) -> ImageSource:
        mine = self._source is not None and self._source.image.name == name.name
        root = self._source.root if self._source else str(Path.cwd())
        base = self._source if mine and self._source else ImageSource(name, root)
        try:
            wanted = tuple(map(Platform.parse, platforms)) if platforms is not None else base.platforms
        except ValueError as error:
            raise ImageError(str(error)) from error
        return replace(
            base,
            dockerfile=base.dockerfile if dockerfile is None else dockerfile,
            target=base.target if target is None else target,
            platforms=wanted,
            secrets=tuple(sorted({**dict(base.secrets), **(secrets or {})}.items())),
            builder=base.builder if builder is None else builder,
            cache=base.cache if cache is None else cache,
        )

    async def _found(
        self, registry: Registry, image: Image, source: ImageSource, named: str
    ) -> tuple[Image, Manifest] | None:
        """Return what the registry has of this very build; None when it has nothing, or something else."""
        try:
            manifest = await registry.manifest(image)
        except Denied as why:  # said also of what is not there yet, which a push would make
            self._told(f"whether {image} is there already is not known: {why}")
            return None
        if manifest is None:
            return None
        per = await registry.platforms(image, manifest)
        same = per and all(config.labels.get(FINGERPRINT) == named for config in per.values())
        if not same or missing(source.platforms, tuple(per)):
            self._told(f"{image} is there, and is not from the same files and settings: it is built anew")
            return None
        return image.at(manifest.digest), manifest

    async def _as_found(
        self, registry: Registry, name: Image, found: tuple[Image, Manifest], known_as: str, tag: str | None
    ) -> BuildResult:
        image, manifest = found
        self._told(f"{image} is in the registry already: nothing is built")
        if tag and tag != known_as:
            wanted = name.tagged(tag)
            there = await registry.manifest(wanted)
            if there is None or there.digest != manifest.digest:
                await registry.tag(image, manifest, (tag,))
                await self._audit(str(wanted), manifest.digest, "tagged")
            image = wanted.at(manifest.digest)
        return BuildResult(str(image), manifest.digest, self._log_of(known_as), found=True)

    async def _build(
        self, request: BuildRequest, files: Context, registry: Registry, builder: Builder, tag: str | None
    ) -> BuildResult:
        """Build, push, and see what the registry has then."""
        credential = await registry.credential()
        values = self._hidden(request, credential)
        _refuse_secrets(request, values)
        self._state.make()
        scratch = await asyncio.to_thread(self._scratch)
        log = self._new_log(request.image)
        try:
            laid_out = await asyncio.to_thread(files.lay_out, scratch)
            path = await asyncio.to_thread(contexts.check, laid_out, request.dockerfile, request.target)
            request = replace(request, context=str(laid_out), dockerfile=path)
            plain = request.push and await registry.plain()
            pushing = Pushing(scratch, v2.login(request.image.registry, credential), plain, values)
            self._told(f"building {request.image} from {files.words} with {builder.name}; log: {log}")
            known = await builder.build_and_push(request, pushing, log, self._told)
            if not request.push:
                await self._audit(str(request.image), "", "built, not pushed,")
                return BuildResult(str(request.image), "", str(log))
            return await self._pushed(request, registry, known, log, tag)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _pushed(
        self, request: BuildRequest, registry: Registry, known: frozenset[str], log: Path, tag: str | None
    ) -> BuildResult:
        image = request.image
        manifest = await registry.manifest(image)
        if manifest is None:
            raise ImageError(f"the push of {image} seemed to work, and the registry has no such image. Log: {log}")
        names = {manifest.digest, *([manifest.config.digest] if manifest.config else [])}
        if known and not known & names:
            raise ImageError(
                f"the push of {image} seemed to work, and the registry has another one under that name: it has "
                f"{manifest.digest}, and {', '.join(sorted(known))} was built. Log: {log}"
            )
        if request.platforms:
            per = await registry.platforms(image, manifest)
            if lacking := missing(request.platforms, tuple(per)):
                raise ImageError(f"{image} was pushed without {', '.join(map(str, lacking))}. Log: {log}")
        if tag and tag != image.tag:
            await registry.tag(image, manifest, (tag,))
            image = image.tagged(tag)
        await self._audit(str(image), manifest.digest, "built and pushed")
        self._told(f"pushed {image.at(manifest.digest)}")
        return BuildResult(str(image.at(manifest.digest)), manifest.digest, str(log))

    def _hidden(self, request: BuildRequest, credential: Credential | None) -> tuple[str, ...]:
        """Return every value that must be in no log: ours, those of the registry, and those of the build."""
        own = credential.secrets if credential else ()
        return (*kept(self._state.secrets), *own, *(value(reference) for _, reference in request.secrets))

    async def _audit(self, image: str, digest: str, what: str) -> None:
        """Write down who did it; the store alone is never waited for by whoever builds."""
        self._state.make()
        store = SQLite(self._state.database)
        try:
            await store.act(audit.built(image, digest, what, self._by, self._clock.now(), self._channel))
        finally:
            store.close()

    def _scratch(self) -> Path:
        """Make a directory for this user alone, and clear what a build left behind that was killed."""
        for left in self._state.runtime.glob("build-*"):
            with suppress(OSError, ValueError):
                if not Path(f"/proc/{int(left.name.split('-')[1])}").exists():
                    shutil.rmtree(left)
        return Path(tempfile.mkdtemp(prefix=f"build-{os.getpid()}-", dir=self._state.runtime))

    def _new_log(self, image: Image) -> Path:
        logs = self._state.builds
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime)[: 1 - _LOGS]:
            old.unlink(missing_ok=True)
        at = self._clock.now().strftime("%Y%m%dT%H%M%S")
        descriptor, name = tempfile.mkstemp(prefix=f"{image.tag}.{at}.", suffix=".log", dir=logs)
        os.close(descriptor)
        return Path(name)

    def _log_of(self, tag: str) -> str:
        """Return the log of the newest build under a tag, "" when there is none here."""
        if not tag or not self._state.builds.is_dir():
            return ""
        found = self._state.builds.glob(f"{tag}.*.log")
        return str(max(found, key=lambda path: path.stat().st_mtime_ns, default=""))


def _named(image: str, tag: str | None) -> tuple[Image, str | None]:
    """Return the bare name, and the tag that is wanted besides ours."""
    try:
        name = Image.parse(image)
        if name.digest:
            raise ImageError(f"{image} has a digest, which a build cannot be told to have: leave it out")
        if name.tag and tag and name.tag != tag:
            raise ImageError(f"{image} has the tag {name.tag}, and asked for is {tag}: name one of them")
        wanted = tag or name.tag or None
        if wanted:
            name.tagged(wanted)
    except ValueError as error:
        raise ImageError(str(error)) from error
    return replace(name, tag=""), wanted


def _given(version: str, source: ImageSource, directory: Path) -> Image | None:
    """Return the image that a version names by itself; None when it is something to be built."""
    if version.startswith("sha256:"):
        version = f"{source.image.name}@{version}"
    elif ":" not in version or directory.is_dir():
        return None
    try:
        return Image.parse(version)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _refuse_secrets(request: BuildRequest, values: Sequence[str]) -> None:
    """A build argument stands on the tool's command line and in the image's history for ever."""
    for name, given in request.arguments:
        if any(len(secret) >= _LEAST_OF_A_SECRET and secret.strip() in given for secret in values):
            raise ImageError(
                f"the build argument {name} holds a secret, and would be written into the image: give it under "
                "image.secrets, and mount it for the one RUN that needs it (RUN --mount=type=secret,id=…)"
            )
