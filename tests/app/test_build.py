"""Does a build end as an image that a real registry has, under the digest it says, found again and without secrets?"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.registry.registries import (
    PASSWORD,
    USER,
    Docked,
    registry,
    with_passwords,
    with_tokens,
)
from tests.app.yard import SHELL, Yard, bytes_below, tools, watched, yard

from interlock.adapters.registry.v2 import V2
from interlock.adapters.store.sqlite import SQLite
from interlock.app.build import CREATED, FINGERPRINT, REVISION, VERSION, Builds
from interlock.core.audit import Act
from interlock.core.image import Access, Image, Platform
from interlock.core.manifest import ImageConfig, Manifest
from interlock.ports.images import ImageError

NPM, PEM = "npm-0f-the-build/+9", "-----BEGIN KEY-----\nthe-first-line-of-it\nthe-second-line-of-it\n-----END KEY-----"


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tools(tmp_path_factory.mktemp("tools")):
        yield


@pytest.fixture
def here(tmp_path: Path, docked: Docked, request: pytest.FixtureRequest) -> Yard:
    """A project of the test's own, whose image nobody else has."""
    return yard(tmp_path, docked, f"t/{abs(hash(request.node.name))}")


async def there(image: Image, access: Access = Access()) -> Manifest:
    found = await V2(image.registry, access).manifest(image)
    assert found is not None
    return found


async def config_of(image: Image) -> ImageConfig:
    (config,) = (await V2(image.registry).platforms(image, await there(image))).values()
    return config


def acts(here: Yard) -> list[Act]:
    store = SQLite(here.state.database, read_only=True)
    try:
        return [row.act for row in asyncio.run(store.audit())]
    finally:
        store.close()


async def refused(builds: Builds, here: Yard, **more: object) -> str:
    with pytest.raises(ImageError) as error:
        await builds.docker_build_push(here.source.image.name, **more)  # type: ignore[arg-type]
    return str(error.value)


# --- what comes of it


def test_a_build_of_a_commit_is_what_the_registry_has_and_is_found_again(here: Yard) -> None:
    async def story() -> None:
        commit = here.commit()
        built = await here.builds().docker_build_push(here.source.image.name, "1.4", ref="HEAD")
        image = Image.parse(built.image)
        manifest = await there(here.source.image.tagged("1.4"))
        assert image.tag == "1.4" and image.digest == built.digest == manifest.digest and not built.found
        labels = (await config_of(image)).labels
        assert labels[REVISION] == commit and labels[VERSION] == "1.4" and labels[CREATED].startswith("20")
        log = Path(built.log)
        assert log.parent == here.state.builds and stat.S_IMODE(log.stat().st_mode) == 0o600
        assert "COPY app.txt" in log.read_text() and any("COPY app.txt" in line for line in here.told)

        here.told.clear()
        again = await here.builds(builder="podman").docker_build_push(here.source.image.name, "latest", ref="main")
        assert again.found and again.digest == built.digest and again.log == built.log
        assert [line for line in here.told if "nothing is built" in line] == here.told
        assert (await there(here.source.image.tagged("latest"))).digest == built.digest

    asyncio.run(story())
    name = here.source.image.name
    assert [(act.kind, act.subject) for act in acts(here)] == [("built", f"{name}:1.4"), ("built", f"{name}:latest")]
    assert "built and pushed by" in acts(here)[0].text and "tagged by" in acts(here)[1].text


async def test_a_directory_is_found_until_something_changes_that_a_build_may_read(here: Yard) -> None:
    here.write(".dockerignore", "*.md\n")
    name, builds = here.source.image.name, here.builds()
    first = await builds.docker_build_push(name)
    here.write("notes.md", "not in the image")
    assert (await builds.docker_build_push(name)).digest == first.digest
    here.write("app.txt", "two\n")
    second = await builds.docker_build_push(name)
    assert not second.found and second.digest != first.digest
    other = await builds.docker_build_push(name, build_args={"VERSION": "2"})
    assert not other.found and other.digest not in (first.digest, second.digest)
    assert (await builds.docker_build_push(name, build_args={"VERSION": "2"})).found
    assert "names of build arguments" in await refused(builds, here, build_args={"A\n--secret": "x"})


async def test_what_somebody_else_put_under_our_tag_is_not_taken_for_ours(here: Yard, docked: Docked) -> None:
    built = await here.builds().docker_build_push(here.source.image.name)
    tag = Image.parse(built.image).tag
    docked.small(here.source.image.tagged(tag), {FINGERPRINT: "something else"})
    again = await here.builds().docker_build_push(here.source.image.name)
    assert not again.found and again.digest == built.digest
    assert any("not from the same files" in line for line in here.told)


async def test_the_same_files_make_the_same_digest_with_a_cache_and_without(here: Yard) -> None:
    """Of Buildah's cache only the layers: it writes into the history which of its own images it had for a step."""
    name = here.source.image.name
    made = []
    for cache in (False, False, True):
        made.append(await here.builds().docker_build_push(name, ref="HEAD", again=True, cache=cache))
        here.write("app.txt", (here.project / "app.txt").read_text())  # at another time
    assert made[0].digest == made[1].digest and not made[1].found
    layers = [(await there(Image.parse(one.image))).parts for one in made]
    assert layers[0] == layers[2] and len({one.log for one in made}) == 3


async def test_an_image_for_several_platforms_is_one_index(here: Yard) -> None:
    here.write("Dockerfile", "FROM scratch\nCOPY app.txt /app.txt\n")
    name = here.source.image.name
    for _ in range(2):  # the second time the tool's own list of it is there already
        built = await here.builds().docker_build_push(name, platforms=["linux/amd64", "linux/aarch64"], again=True)
    manifest = await there(Image.parse(built.image))
    assert manifest.index and {str(one.platform) for one in manifest.images} == {"linux/amd64", "linux/arm64"}
    assert (await here.builds().docker_build_push(name, platforms=["linux/arm64", "linux/amd64"])).found


async def test_what_a_build_left_that_was_killed_is_cleared_by_the_next(here: Yard) -> None:
    here.state.make()
    left, alive = (here.state.runtime / f"build-{pid}-x" for pid in (2**22 + 1, os.getpid()))
    for one in (left, alive):
        one.mkdir()
        (one / "auth.json").write_text(PASSWORD)
    await here.builds().docker_build_push(here.source.image.name, push=False)
    assert not left.exists() and alive.exists(), "another build may be under way"


async def test_what_is_not_pushed_has_no_digest(here: Yard) -> None:
    built = await here.builds().docker_build_push(here.source.image.name, "mine", push=False)
    assert built.digest == "" and built.image == f"{here.source.image.name}:mine"
    assert await V2(here.registry.host).manifest(here.source.image.tagged("mine")) is None


async def test_the_project_itself_stands_for_the_context_that_the_file_says(here: Yard) -> None:
    here.write("app/Dockerfile", "FROM scratch\nCOPY inside.txt /\n")
    here.write("app/inside.txt", "inside")
    builds = here.builds(context="app")
    built = await builds.docker_build_push(here.source.image.name)
    assert "COPY inside.txt" in Path(built.log).read_text()
    assert (await builds.docker_build_push(here.source.image.name, context=str(here.project))).found


async def test_a_stage_is_built_by_its_name(here: Yard) -> None:
    here.write("Dockerfile", "FROM scratch AS one\nCOPY app.txt /1\nFROM scratch\nCOPY app.txt /1\nCOPY app.txt /2\n")
    built = await here.builds(target="one").docker_build_push(here.source.image.name)
    assert len((await there(Image.parse(built.image))).parts) == 1


# --- what goes wrong


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        ({}, {"context": "none"}, "none does not exist: expected the directory"),
        ({}, {"context": "app.txt"}, "app.txt is no directory"),
        ({}, {"dockerfile": "Other"}, "there is no Other in"),
        ({"Dockerfile": "RUN x\n"}, {}, "Dockerfile: expected FROM first"),
        ({}, {"target": "nope"}, 'found "nope"; there are: base'),
        ({}, {"platforms": ["amd64"]}, "expected a platform"),
        ({}, {"tag": "-x"}, "expected a tag"),
        ({}, {"ref": "nope"}, 'no such git ref: "nope"'),
        ({}, {"context": "/tmp", "ref": "HEAD"}, "no commit of that has it"),
        ({}, {"builder": "kaniko"}, "kaniko, which is not installed"),
    ],
)
async def test_a_build_that_cannot_begin_is_one_clear_error(
    here: Yard, files: dict[str, str], arguments: dict[str, object], said: str
) -> None:
    for name, content in files.items():
        here.write(name, content)
    assert said in await refused(here.builds(), here, **arguments)
    assert not any("STEP" in line for line in here.told)
    assert not here.state.runtime.exists() or not [*here.state.runtime.glob("build-*")]


async def test_a_build_that_fails_says_how_it_ended(here: Yard) -> None:
    here.write("Dockerfile", "FROM scratch\nCOPY none /none\n")
    said = await refused(here.builds(), here)
    assert "building" in said and "failed (status" in said and "none" in said
    log = Path(said.partition("Log: ")[2].splitlines()[0])
    assert log.parent == here.state.builds and "COPY none" in log.read_text()


async def test_a_build_that_takes_too_long_is_ended_with_all_that_it_started(here: Yard) -> None:
    here.shell()
    here.write("Dockerfile", SHELL.format(run='"/bin/busybox", "sleep", "31557"'))
    builds = here.builds(build_within=timedelta(seconds=3))
    assert "took longer than 3 s" in await refused(builds, here)
    left = [one for one, line in bytes_below_proc() if b"31557" in line]
    assert left == []


def bytes_below_proc() -> Iterator[tuple[Path, bytes]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path, path.read_bytes()
        except OSError:
            continue


@pytest.mark.parametrize("what", ["nothing", "another image"])
async def test_a_push_that_failed_is_an_error_though_the_tool_says_that_it_worked(
    here: Yard, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool is the real one, but that its push does nothing and ends well."""
    real = os.environ["PATH"]
    script = f'#!/bin/sh\n[ "$1" = push ] && exit 0\nPATH={real} exec buildah "$@"\n'
    (here.place / "bin").mkdir()
    (here.place / "bin" / "buildah").write_text(script)
    (here.place / "bin" / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{here.place}/bin:{real}")
    if what == "another image":
        said = await refused(here.builds(), here)
        tag = said.partition(f"{here.source.image.name}:")[2].split()[0]
        here.registry.small(here.source.image.tagged(tag))
        assert "the registry has another one" in await refused(here.builds(), here)
    else:
        assert "seemed to work, and the registry has no such image" in await refused(here.builds(), here)
    assert not [*here.state.path.glob("interlock.db")], "nothing is said to have been built"


async def test_a_push_that_is_denied_is_an_error_of_the_tool_s(here: Yard, tmp_path: Path) -> None:
    async with with_tokens(tmp_path / "tokens") as (one, _):
        image = Image(one.host, "t/app")
        with pytest.raises(ImageError, match=r"pushing .* with buildah failed"):
            await here.builds(image=image).docker_build_push(image.name)


# --- who we are, and what nobody sees


async def test_it_is_pushed_with_a_password_and_read_with_it_again(
    here: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", PASSWORD)
    access = Access(USER, "env:REGISTRY_PASSWORD")
    with with_passwords(tmp_path / "passwords") as one, watched([PASSWORD]) as seen:
        image = Image(one.host, "t/app")
        built = await here.builds(image=image, access=access).docker_build_push(image.name)
        assert (await here.builds(image=image, access=access).docker_build_push(image.name)).found
        assert "image.registry" in await refused(here.builds(image=image), replace_image(here, image))
    assert built.digest and seen == []
    assert [
        path for path, content in bytes_below(here.state.path, here.state.runtime) if PASSWORD.encode() in content
    ] == []
    assert not [*here.state.runtime.glob("build-*")]


def replace_image(here: Yard, image: Image) -> Yard:
    return replace(here, source=replace(here.source, image=image))


async def test_it_is_pushed_as_whoever_logged_in(here: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    both = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    async with with_tokens(tmp_path / "tokens") as (one, _):
        (tmp_path / "config.json").write_text(json.dumps({"auths": {one.host: {"auth": both}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        image = Image(one.host, "t/app")
        built = await here.builds(image=image).docker_build_push(image.name)
        assert built.digest and not built.found
        assert (await here.builds(image=image).docker_build_push(image.name)).found


async def test_it_is_pushed_by_tls_to_a_registry_with_a_ca_of_its_own(here: Yard, tmp_path: Path) -> None:
    with registry(tmp_path / "tls", tls=True) as one:
        image = Image(one.host, "t/app")
        built = await here.builds(image=image, access=Access(ca=one.ca)).docker_build_push(image.name)
        assert (await there(Image.parse(built.image), Access(ca=one.ca))).digest == built.digest


async def test_no_secret_is_in_any_byte_that_is_written_nor_on_any_command_line(
    here: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = "cd /run/secrets; for one in cat base64; do /bin/busybox $one npm pem; /bin/busybox sleep 0.5; done"
    here.shell()
    here.write("Dockerfile", SHELL.format(run=f'"/bin/busybox", "sh", "-c", "{shown}"'))
    here.commit()
    monkeypatch.setenv("NPM_TOKEN", NPM)
    (here.place / "key.pem").write_text(PEM)
    secrets = {"npm": "env:NPM_TOKEN", "pem": f"file:{here.place / 'key.pem'}"}
    values = [NPM, "the-first-line-of-it", "the-second-line-of-it"]
    with watched(values) as seen:
        built = await here.builds().docker_build_push(here.source.image.name, ref="HEAD", secrets=secrets)
    assert seen == []
    assert "[secret]" in Path(built.log).read_text(), "the build itself has written them"
    places = (here.state.path, here.state.runtime, here.registry.place)
    for value in values:
        assert [path for path, content in bytes_below(*places) if value.encode() in content] == []
        assert not any(value in line for line in here.told)


async def test_a_secret_in_a_build_argument_is_refused_before_it_is_used(
    here: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", NPM)
    more = {"secrets": {"npm": "env:NPM_TOKEN"}, "build_args": {"VERSION": f"x{NPM}"}}
    said = await refused(here.builds(), here, **more)
    assert "the build argument VERSION holds a secret" in said and NPM not in said
    assert here.told == []


# --- what a version names


async def test_a_version_is_an_image_a_directory_a_ref_or_a_tag(here: Yard, docked: Docked) -> None:
    builds, name = here.builds(), here.source.image.name
    of_ref = await builds.artefact("main")
    commit = here.commit()
    assert of_ref.source == f"{Image.parse(of_ref.source)}" and of_ref.commit and of_ref.log
    of_head = await builds.artefact("HEAD")
    assert of_head.commit == commit and of_head.digest != of_ref.digest, "its label names the commit"
    of_files = await builds.artefact(".")
    assert of_files.commit == "" and Image.parse(of_files.source).digest == of_files.digest
    digest = docked.small(here.source.image.tagged("9"), {REVISION: "d" * 40})
    for version in ("9", f"{name}:9", f"{name}@{digest}", f"{name}:old@{digest}", digest):
        found = await builds.artefact(version)
        assert (found.digest, found.commit) == (digest, "d" * 40)
        assert Image.parse(found.source).pinned == f"{name}@{digest}"
    docked.small(here.source.image.tagged("9"), {"a": "newer"})
    assert (await builds.artefact(f"{name}:9")).digest != digest, "a tag is what it names now"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("nope", "no such git ref, directory, or tag of"),
        ("./nope", "no such git ref, directory, or tag of"),
        ("{name}:nope", "the registry has no"),
        (f"sha256:{'0' * 64}", "the registry has no"),
        ("sha256:12", "a digest after @"),
        ("{name}@sha256:12", "a digest after @"),
    ],
)
async def test_a_version_that_names_nothing_is_an_error(here: Yard, version: str, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        await here.builds().artefact(version.format(name=here.source.image.name))


async def test_an_image_must_be_there_for_the_platforms_that_are_wanted(here: Yard, docked: Docked) -> None:
    docked.small(here.source.image.tagged("9"), architecture="arm64")
    builds = here.builds(platforms=(Platform("linux", "amd64"), Platform("linux", "arm64")))
    with pytest.raises(ImageError, match="not there for linux/amd64; it is for linux/arm64"):
        await builds.artefact("9")
