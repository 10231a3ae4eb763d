"""Is whoever logged in by Docker or Podman known to us, by file and by helper, and nobody else?"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from interlock.adapters.registry.v2 import found, login
from interlock.ports.images import Credential, ImageError

ADA = Credential("ada", "s3cr3t-of-ada")


def auth(user: str = "ada", password: str = "s3cr3t-of-ada") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


class Home:
    """A home directory, with what logins left in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {"HOME": str(place), "PATH": f"{place}/bin:/usr/bin:/bin"}

    def docker(self, **record: Any) -> None:
        self.write(".docker/config.json", record)

    def podman(self, **record: Any) -> None:
        self.write(".config/containers/auth.json", record)

    def write(self, name: str, record: object) -> None:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record if isinstance(record, str) else json.dumps(record))

    def helper(self, name: str, script: str) -> None:
        path = self.place / "bin" / f"docker-credential-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nread server\n{script}\n")
        path.chmod(0o755)

    async def found(self, registry: str = "reg.example", repository: str = "acme/shop") -> Credential | None:
        return await found(registry, repository, self.environment)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def test_nobody_has_logged_in(home: Home) -> None:
    assert await home.found() is None
    home.docker(auths={"other.example": auth()})
    assert await home.found() is None


@pytest.mark.parametrize("key", ["reg.example", "https://reg.example", "https://reg.example/v1/", "reg.example/v2/"])
async def test_docker_wrote_it_under_whatever_it_calls_the_registry(home: Home, key: str) -> None:
    home.docker(auths={key: auth()})
    assert await home.found() == ADA


async def test_docker_hub_is_known_by_the_name_that_docker_has_for_it(home: Home) -> None:
    home.docker(auths={"https://index.docker.io/v1/": auth()})
    assert await home.found("docker.io", "library/nginx") == ADA


async def test_podman_wrote_it_for_a_part_of_the_registry(home: Home) -> None:
    home.podman(auths={"reg.example": auth("all"), "reg.example/acme": auth(), "reg.example/acm": auth("no")})
    assert await home.found() == ADA
    everywhere = await home.found(repository="other/shop")
    assert everywhere is not None and everywhere.user == "all"


async def test_a_file_that_is_named_goes_before_all_others(home: Home) -> None:
    home.docker(auths={"reg.example": auth("docker")})
    home.write("named.json", {"auths": {"reg.example": auth()}})
    home.environment["REGISTRY_AUTH_FILE"] = f"{home.place}/named.json"
    assert await home.found() == ADA


async def test_an_identity_token_is_one_by_which_tokens_are_had(home: Home) -> None:
    home.docker(auths={"reg.example": {"identitytoken": "t0ken", **auth("", "")}})
    assert await home.found() == Credential(token="t0ken")


async def test_a_helper_is_asked_for_its_registry_or_for_all(home: Home) -> None:
    home.helper(
        "mine", 'echo "{\\"Username\\":\\"ada\\",\\"Secret\\":\\"s3cr3t-of-ada\\",\\"ServerURL\\":\\"$server\\"}"'
    )
    home.docker(credHelpers={"reg.example": "mine"})
    assert await home.found() == ADA
    assert await home.found("other.example") is None
    home.docker(credsStore="mine")
    assert await home.found("other.example") == ADA


async def test_a_helper_that_knows_nobody_leaves_it_to_the_file(home: Home) -> None:
    home.helper("none", "echo 'credentials not found in native keychain'; exit 1")
    home.docker(credsStore="none", auths={"reg.example": auth()})
    assert await home.found() == ADA


async def test_a_helper_s_token_is_no_password(home: Home) -> None:
    home.helper("tokens", 'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"t0ken\\"}"')
    home.docker(credsStore="tokens")
    assert await home.found() == Credential(token="t0ken")


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo s3cr3t; exit 3", "ended with status 3"), ("echo s3cr3t", "no credential"), (None, "does not start")],
)
async def test_a_helper_that_fails_is_an_error_that_repeats_nothing(home: Home, script: str | None, said: str) -> None:
    if script is not None:
        home.helper("bad", script)
    home.docker(credsStore="bad")
    with pytest.raises(ImageError, match=said) as error:
        await home.found()
    assert "s3cr3t" not in str(error.value) and "docker-credential-bad" in str(error.value)


@pytest.mark.parametrize("content", ["{", '{"auths": {"reg.example": {"auth": "%%%"}}}', '{"credsStore": "../x"}'])
async def test_a_file_that_cannot_be_read_is_named(home: Home, content: str) -> None:
    home.write(".docker/config.json", content)
    with pytest.raises(ImageError, match=r"\.docker/config\.json"):
        await home.found()


def test_a_tool_gets_all_logins_and_ours_for_this_registry(home: Home) -> None:
    home.docker(auths={"other.example": auth("docker"), "reg.example": auth("old")}, proxies={"default": {}})
    home.podman(auths={"third.example": auth("podman")}, credHelpers={"aws.example": "ecr"})
    record = login("reg.example", ADA, home.environment)
    assert {name: base64.b64decode(one["auth"]).decode().split(":")[0] for name, one in record["auths"].items()} == {
        "other.example": "docker",
        "third.example": "podman",
        "reg.example": "ada",
    }
    assert record["proxies"] == {"default": {}} and record["credHelpers"] == {"aws.example": "ecr"}
    assert login("reg.example", None, home.environment) == {}, "then the tool's own will do"


def test_a_credential_is_not_shown() -> None:
    assert "s3cr3t" not in repr(ADA) and "t0ken" not in repr(Credential(token="t0ken"))
