"""How do Buildah and Podman, which build alike, build an image and push it? Neither needs a daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from interlock.adapters.images.tools import files
from interlock.adapters.images.tools.run import Output, asked, flags, run
from interlock.core.image import BuildRequest
from interlock.ports.images import ImageError, Pushing


class Buildah:
    """`buildah`, or `podman`, found under `program`."""

    def __init__(self, program: str = "buildah") -> None:
        self.name = Path(program).name
        self._program = program

    async def build_and_push(
        self, request: BuildRequest, pushing: Pushing, log: Path, told: Callable[[str], None]
    ) -> frozenset[str]:
        output = Output(log, told, pushing.hidden)
        known = {"--iidfile": pushing.scratch / "image", "--digestfile": pushing.scratch / "digest"}
        variables = files.variables(request)
        if len(request.platforms) > 1:  # to a list that is here already it would add
            await asked([self._program, "manifest", "rm", str(request.image)])
        built = [self._program, "build", *self._build(request, pushing, known["--iidfile"])]
        await run(built, f"building {request.image} with {self.name}", output, request.within, variables)
        if request.push:
            pushed = [self._program, *self._push(request, pushing, known["--digestfile"])]
            await run(pushed, f"pushing {request.image} with {self.name}", output, request.within)
        said = (path.read_text().strip() for path in known.values() if path.exists())
        return frozenset(digest for digest in said if digest.startswith("sha256:"))

    def _build(self, request: BuildRequest, pushing: Pushing, iidfile: Path) -> Iterator[str]:
        several = len(request.platforms) > 1
        yield from ("--file", str(Path(request.context) / request.dockerfile))
        yield from ("--manifest" if several else "--tag", str(request.image))
        yield from () if several else ("--iidfile", str(iidfile))
        yield from ("--timestamp", str(request.epoch))
        yield from flags("--build-arg", [f"{name}={value}" for name, value in request.arguments])
        yield from flags("--label", [f"{name}={value}" for name, value in request.labels])
        yield from flags("--secret", files.secrets(request))
        yield from ("--platform", ",".join(map(str, request.platforms))) if request.platforms else ()
        yield from ("--target", request.target) if request.target else ()
        yield "--layers"  # also without a cache: else all is one layer, and the digest another
        if several or not request.cache:  # Buildah 1.28 takes a layer from its cache whatever platform that is for
            yield "--no-cache"
        yield from self._login(request, pushing)
        yield request.context

    def _push(self, request: BuildRequest, pushing: Pushing, digestfile: Path) -> Iterator[str]:
        several = len(request.platforms) > 1
        yield from ("manifest", "push", "--all") if several else ("push",)
        yield from ("--digestfile", str(digestfile))
        yield from self._login(request, pushing)
        if pushing.plain:
            yield "--tls-verify=false"
        elif request.access.ca:
            yield from ("--cert-dir", str(_certificates(request, pushing)))
        yield from (str(request.image), f"docker://{request.image}")

    def _login(self, request: BuildRequest, pushing: Pushing) -> Iterator[str]:
        if pushing.login:
            yield from ("--authfile", str(files.for_containers(pushing.login, request.image.registry, pushing.scratch)))


def _certificates(request: BuildRequest, pushing: Pushing) -> Path:
    try:
        return files.certificates(request.access.ca, pushing.scratch)
    except OSError as error:
        raise ImageError(f"{request.access.ca}, which image.registry.ca names: {error.strerror}") from error
