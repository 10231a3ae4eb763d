"""Does the file say how containers run, and does it say so when what runs is not what is released?"""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.config import File, FileError
from interlock.config.document import parse
from interlock.config.load import understand
from interlock.core.container import Container, Log, Reach, SecretsAs
from interlock.core.release import Artefact

HEAD = "service: shop\nimage: registry.example.com/acme/shop\n"
TAIL = "environments:\n  staging: {port: 8001}\n  production: {port: 8000}\n"


def file(*more: str, head: str = HEAD) -> File:
    text = head + "".join(f"{line}\n" for line in more) + TAIL
    return understand(parse(text, "interlock.yaml"), Path("/project/interlock.yaml"))


def test_an_image_alone_runs_as_containers_by_its_own_command() -> None:
    configuration = file().production.configuration
    assert configuration.container == Container() and configuration.command == ()


def test_whoever_the_registry_is_told_we_are_pulls_too() -> None:
    head = (
        "service: shop\nimage:\n  name: registry.example.com/acme/shop\n"
        "  registry: {user: ci, password: file:secrets/registry}\n"
    )
    production = file(head=head).production
    assert production.login_references() == ("file:/project/secrets/registry",)
    digest = f"sha256:{'ab' * 32}"
    release = production.release("v1", Artefact(digest, f"x/y@{digest}"), {"file:/project/secrets/registry": "f1"})
    assert release.configuration.container == Container(login=("ci", "f1"))
    assert file().production.login_references() == ()


def test_every_setting_of_a_container_gets_into_the_release() -> None:
    made = file(
        "docker:",
        "  engine: unix:///run/podman/podman.sock",
        "  port: 3000",
        "  reach: loopback",
        "  networks: [backend]",
        "  entrypoint: [/bin/app]",
        '  user: "1000"',
        "  read_only: true",
        "  tmpfs: [/tmp]",
        "  volumes: ['data:/data:ro']",
        "  cpus: 2",
        "  ulimits: {nofile: 1024, nproc: 10:20}",
        "  log: local",
        "  secrets: files",
        "  labels: {team: shop}",
    ).production.configuration.container
    assert made == Container(
        engine="unix:///run/podman/podman.sock",
        port=3000,
        reach=Reach.LOOPBACK,
        networks=("backend",),
        entrypoint=("/bin/app",),
        user="1000",
        read_only=True,
        tmpfs=("/tmp",),
        volumes=("data:/data:ro",),
        cpus=2.0,
        ulimits=(("nofile", 1024, 1024), ("nproc", 10, 20)),
        log=Log("local"),
        secrets=SecretsAs.FILES,
        labels=(("team", "shop"),),
    )


def test_an_environment_has_limits_of_its_own_and_staging_says_what_it_cannot_prove() -> None:
    text = HEAD + "docker: {port: 3000}\n" + TAIL.replace("{port: 8000}", "{port: 8000, docker: {read_only: true}}")
    made = understand(parse(text, "interlock.yaml"), Path("/project/interlock.yaml"))
    staging, production = (one.configuration.container for one in made.environments)
    assert staging == Container(port=3000) and production == Container(port=3000, read_only=True)
    assert made.unproven == ("container",)


@pytest.mark.parametrize(
    ("lines", "head", "said"),
    [
        (("docker: {port: 3000}",), "service: shop\n", "expected image: REGISTRY/REPOSITORY"),
        (("platform: process", "command: [app]"), HEAD, "expected platform: docker where an image is released"),
        (("docker: {volumes: ['../data:/data']}",), HEAD, "expected a volume such as"),
        (("docker: {engine: 'tcp://1.2.3.4:2375'}",), HEAD, "expected a socket such as"),
        (("docker: {ulimits: {nofile: many}}",), HEAD, "expected a limit such as"),
        (("docker: {tmpfs: [tmp]}",), HEAD, "expected a path in the container"),
        (("docker: {reach: everywhere}",), HEAD, "auto, bridge, loopback or host"),
        (("docker: {prot: 80}",), HEAD, 'did you mean "port"?'),
    ],
)
def test_what_cannot_be_is_said_with_what_was_expected(lines: tuple[str, ...], head: str, said: str) -> None:
    with pytest.raises(FileError) as error:
        file(*lines, head=head)
    assert said in str(error.value)
