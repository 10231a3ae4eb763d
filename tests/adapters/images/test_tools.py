"""Do Podman and Docker's BuildKit build and push as Buildah does, and is what is here found?

What every builder has in common is tried with Buildah in tests/app/test_build.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.registry.registries import PASSWORD, USER, Docked, registry, with_passwords
from tests.app.yard import SHELL, Yard, bytes_below, tools, watched, yard
from tests.engines import Harbour, harbour, needed

from interlock.adapters.images import tools as builders
from interlock.adapters.images.tools import Buildah, Docker
from interlock.adapters.registry.v2 import V2
from interlock.app.build import REVISION
from interlock.core.image import Access, Image
from interlock.ports.images import ImageError

__all__ = ["harbour"]
SECRET = "npm-0f-the-build/+9"


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tools(tmp_path_factory.mktemp("tools")):
        yield


@pytest.fixture
def podman(tmp_path: Path, docked: Docked) -> Yard:
    needed("podman")
    return yard(tmp_path, docked, "t/podman")


@pytest.fixture
def docker(tmp_path: Path, docked: Docked, harbour: Harbour, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("DOCKER_HOST", harbour.engine("docker").address)
    return yard(tmp_path, docked, "t/docker")


async def built(here: Yard, builder: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Build with a secret, push with a password, and look at what came of it; return what the build wrote."""
    monkeypatch.setenv("NPM_TOKEN", SECRET)
    monkeypatch.setenv("REGISTRY_PASSWORD", PASSWORD)
    commit = here.commit()
    with with_passwords(here.place / "passwords") as guarded, watched([SECRET, PASSWORD]) as seen:
        image, access = Image(guarded.host, "t/app"), Access(USER, "env:REGISTRY_PASSWORD")
        builds = here.builds(image=image, access=access, builder=builder, secrets=(("npm", "env:NPM_TOKEN"),))
        done = await builds.docker_build_push(image.name, "1", ref="HEAD", secrets={"pem": "env:NPM_TOKEN"})
        asked = await builds.registry(image, access)
        manifest = await asked.manifest(Image.parse(done.image))
        assert manifest is not None and manifest.digest == done.digest
        (config,) = (await asked.platforms(image, manifest)).values()
        assert config.labels[REVISION] == commit
        assert (await builds.docker_build_push(image.name, "1", ref="HEAD", secrets={"pem": "env:NPM_TOKEN"})).found
    assert seen == []
    for value in (SECRET, PASSWORD):
        assert [
            path for path, content in bytes_below(here.state.path, here.state.runtime) if value.encode() in content
        ] == []
        assert not any(value in line for line in here.told)
    return Path(done.log).read_text()


async def test_podman_builds_and_pushes(podman: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    podman.shell()
    podman.write("Dockerfile", SHELL.format(run='"/bin/busybox", "cat", "/run/secrets/npm"'))
    assert "[secret]" in await built(podman, "podman", monkeypatch), "the build has written it"


async def test_podman_makes_the_layers_that_buildah_makes(podman: Yard) -> None:
    name, made = podman.source.image.name, []
    for builder in ("podman", "buildah"):
        done = await podman.builds(builder=builder, cache=False).docker_build_push(name, again=True)
        manifest = await V2(podman.registry.host).manifest(Image.parse(done.image))
        assert manifest is not None
        made.append([layer.digest for layer in manifest.parts])
    assert made[0] == made[1]


async def test_buildkit_builds_and_pushes(docker: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run in it: the engine of these tests has no network, which BuildKit wants for a RUN."""
    docker.write("Dockerfile", "FROM scratch\nCOPY app.txt /\n")
    assert "--secret id=npm,env=NPM_TOKEN" in await built(docker, "docker", monkeypatch)


async def test_buildkit_without_buildx_says_that_it_builds_for_one_platform_only(docker: Yard) -> None:
    found = await Docker.find()
    assert found is not None
    if found._buildx:
        pytest.skip("the client here has buildx")
    with pytest.raises(ImageError, match="has no buildx, so it builds for one platform only"):
        await docker.builds(builder="docker").docker_build_push(
            docker.source.image.name, platforms=["linux/amd64", "linux/arm64"]
        )


async def test_a_push_that_docker_s_daemon_cannot_make_is_an_error(docker: Yard) -> None:
    image = Image("127.0.0.1:1", "t/app")
    with pytest.raises(ImageError, match=r"127\.0\.0\.1:1 cannot be reached"):
        await docker.builds(image=image, builder="docker").docker_build_push(image.name)


async def test_the_builder_is_the_first_that_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    first = await builders.find()
    assert isinstance(first, Buildah) and first.name == "buildah", "a docker without a daemon is none"
    monkeypatch.setenv("PATH", os.defpath if os.defpath == "" else str(tmp_path))
    with pytest.raises(ImageError, match="nothing here can build an image"):
        await builders.find()
    for name in builders.NAMES:
        with pytest.raises(ImageError, match=f"image.builder is {name}"):
            await builders.find(name)
