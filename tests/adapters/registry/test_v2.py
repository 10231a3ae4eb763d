"""Does a real registry's answer become the right manifest, and everything else an error that says what to do?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.registry.registries import PASSWORD, USER, Docked, registry, with_passwords, with_tokens
from tests.adapters.served import Reply, Request, served

from interlock.adapters.registry.v2 import V2
from interlock.core.image import Access, Image, Platform
from interlock.core.manifest import OCI_MANIFEST, digest_of
from interlock.ports.images import Credential, Denied, ImageError

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
KNOWN = Credential(USER, PASSWORD)
SOON = timedelta(seconds=20)


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with registry(tmp_path_factory.mktemp("open")) as one:
        yield one


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with with_passwords(tmp_path_factory.mktemp("guarded")) as one:
        yield one


def asking(one: Docked | str, credential: Credential | None = None, **access: Any) -> V2:
    host = one if isinstance(one, str) else one.host
    return V2(host, Access(**access), credential, SOON)


async def refused(one: V2, image: Image) -> str:
    with pytest.raises(ImageError) as error:
        await one.manifest(image)
    assert PASSWORD not in str(error.value)
    return str(error.value)


# --- an open one


async def test_an_image_has_the_digest_of_its_manifest_and_says_for_what_it_is(docked: Docked) -> None:
    image = docked.image("t/one", "1")
    digest = docked.small(image, {"a": "b"})
    asked = asking(docked)
    assert await asked.plain(), "a registry of loopback may speak plain HTTP"
    manifest = await asked.manifest(image)
    assert manifest is not None and manifest.digest == digest and not manifest.index
    assert await asked.manifest(image.at(digest)) == manifest
    per = await asked.platforms(image, manifest)
    assert {platform: config.labels for platform, config in per.items()} == {AMD: {"a": "b"}}


async def test_an_index_lists_its_images_and_not_what_only_tells_about_them(docked: Docked) -> None:
    image = docked.image("t/several")
    images = {name: docked.small(image, {"for": name}, name) for name in ("amd64", "arm64")}
    told = docked.small(image, {}, "unknown")
    notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": images["amd64"]}
    about = {"mediaType": OCI_MANIFEST, "digest": told, "size": 1, "annotations": notes}
    about |= {"platform": {"os": "unknown", "architecture": "unknown"}}
    digest = docked.index(docked.image("t/several", "1"), images, [about])
    asked = asking(docked)
    manifest = await asked.manifest(docked.image("t/several", "1"))
    assert manifest is not None and manifest.index and manifest.digest == digest
    per = await asked.platforms(image, manifest)
    assert {str(platform): config.labels["for"] for platform, config in per.items()} == {
        "linux/amd64": "amd64",
        "linux/arm64": "arm64",
    }
    arm = manifest.image_for(ARM)
    assert arm is not None and arm.digest == images["arm64"]
    assert [one.attests for one in manifest.attestations] == [images["amd64"]]


async def test_what_is_not_there_is_none(docked: Docked) -> None:
    docked.small(docked.image("t/there", "1"))
    asked = asking(docked)
    assert await asked.manifest(docked.image("t/there", "2")) is None
    assert await asked.manifest(docked.image("t/nothing", "1")) is None
    assert await asked.manifest(docked.image("t/there").at(f"sha256:{'0' * 64}")) is None
    with pytest.raises(ImageError, match="lacks sha256:0000"):
        await asked.blob(docked.image("t/there"), f"sha256:{'0' * 64}", 100)


async def test_a_blob_is_read_no_further_than_was_said(docked: Docked) -> None:
    image = docked.image("t/blob")
    digest = docked.blob(image, b"x" * 1000)["digest"]
    assert await asking(docked).blob(image, digest, 1000) == b"x" * 1000
    with pytest.raises(ImageError, match="more than the 999 bytes"):
        await asking(docked).blob(image, digest, 999)


async def test_another_tag_names_the_same_digest(docked: Docked) -> None:
    image = docked.image("t/tags", "1")
    digest = docked.small(image)
    asked = asking(docked)
    manifest = await asked.manifest(image)
    assert manifest is not None
    await asked.tag(image, manifest, ("2", "latest"))
    for tag in ("2", "latest"):
        found = await asked.manifest(image.tagged(tag))
        assert found is not None and found.digest == digest


async def test_where_there_is_no_api_for_what_refers_to_an_image_a_tag_is_looked_at(docked: Docked) -> None:
    image = docked.image("t/refer")
    digest = docked.small(image)
    assert await asking(docked).referrers(image.at(digest)) == ()
    about = docked.small(image, {"about": digest})
    docked.index(docked.image("t/refer", digest.replace(":", "-")), {"amd64": about})
    assert [one.digest for one in await asking(docked).referrers(image.at(digest))] == [about]


# --- who we are


async def test_a_registry_with_passwords_knows_us(guarded: Docked) -> None:
    assert await asking(guarded, KNOWN).manifest(guarded.image()) is None


async def test_without_a_password_the_error_says_how_to_log_in(guarded: Docked) -> None:
    said = await refused(asking(guarded), guarded.image())
    assert "wants to know who asks" in said and "docker login" in said and "image.registry" in said


async def test_a_wrong_password_is_denied_and_not_repeated(guarded: Docked) -> None:
    said = await refused(asking(guarded, Credential(USER, "not-" + PASSWORD)), guarded.image())
    assert f"denies {guarded.host}/t/app to {USER} (401)" in said and "is the password right" in said


async def test_a_token_is_got_by_password_by_an_older_token_and_by_nobody(tmp_path: Path) -> None:
    async with with_tokens(tmp_path) as (one, tokens):
        image = one.image("t/tokens", "1")
        assert await asking(one, KNOWN).manifest(image) is None
        assert tokens.asked[-1].query["scope"] == "repository:t/tokens:pull"
        assert await asking(one, Credential(token=PASSWORD)).manifest(image) is None
        assert tokens.asked[-1].method == "POST" and b"grant_type=refresh_token" in tokens.asked[-1].body
        assert await asking(one).manifest(image) is None, "anybody may pull here"
        asked = asking(one, KNOWN)
        manifest = await _pushed(asked, image)
        assert (await asked.manifest(image)) == manifest, "pushed by a token that is good for that"
        said = await refused(asking(one, Credential(USER, "wrong")), image)
        assert "gives no token" in said and f"as {USER} (401)" in said and "wrong password" in said
        with pytest.raises(ImageError, match=r"denies .*/t/tokens:1 to nobody in particular"):
            await asking(one).tag(image, manifest, ("2",))


async def test_what_is_denied_to_whoever_is_known_is_told_from_a_wrong_password(guarded: Docked) -> None:
    """Docker Hub says so of a repository that is not there yet, which a push would make."""

    def answer(request: Request) -> Reply:
        if request.path == "/token":
            return Reply({"token": "t"})
        realm = (("WWW-Authenticate", f'Bearer realm="{server.url}/token",service="s"'),)
        return Reply({"errors": [{"code": "UNAUTHORIZED"}]}, 401, headers=realm)

    async with served(answer) as server:
        host = server.url.removeprefix("http://")
        with pytest.raises(Denied, match=f"denies .* to {USER}"):
            await asking(host, KNOWN).manifest(Image(host, "t/app", "1"))
    with pytest.raises(ImageError) as error:
        await asking(guarded, Credential(USER, "wrong")).manifest(guarded.image())
    assert not isinstance(error.value, Denied)


async def _pushed(asked: V2, image: Image) -> Any:
    """Push an image by the client's own means."""
    from interlock.core.manifest import DOCKER_LIST, Manifest

    body = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": []}).encode()
    manifest = Manifest.of(body, DOCKER_LIST)
    await asked.tag(image, manifest, (image.tag,))
    return manifest


# --- TLS


async def test_a_certificate_by_a_ca_of_our_own_is_trusted_where_that_is_named(tmp_path: Path) -> None:
    with registry(tmp_path / "tls", tls=True) as one:
        assert await asking(one, ca=one.ca).manifest(one.image()) is None
        assert not await asking(one, ca=one.ca).plain()
        for insecure in (False, True):
            said = await refused(asking(one, insecure=insecure), one.image())
            assert "is not trusted" in said and "image.registry.ca" in said, "never a reason to speak plainly"
        said = await refused(asking(one, ca=f"{tmp_path}/none.pem"), one.image())
        assert "No such file" in said and "image.registry.ca" in said
        (tmp_path / "junk.pem").write_text("junk")
        assert "no certificates in PEM" in await refused(asking(one, ca=f"{tmp_path}/junk.pem"), one.image())


async def test_plain_http_beyond_loopback_is_refused_unless_it_is_said(
    docked: Docked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.adapters.registry.v2.transport._is_loopback", lambda _: False)
    said = await refused(asking(docked), docked.image())
    assert "cannot be reached" in said and "insecure: true" in said
    assert await asking(docked, insecure=True).manifest(docked.image()) is None


# --- whatever else answers


Answers = Callable[[Request], Reply]


def lies(manifest: Reply, ping: Reply | None = None) -> Answers:
    def answer(request: Request) -> Reply:
        return (
            (ping or Reply({}, headers=(("Content-Type", "application/json"),))) if request.path == "/v2/" else manifest
        )

    return answer


def body(record: Mapping[str, Any] | None = None) -> bytes:
    made = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}
    config = {"mediaType": "x", "digest": f"sha256:{'1' * 64}", "size": 2}
    return json.dumps({**made, "config": config, **(record or {})}).encode()


def typed(content: bytes, kind: str = OCI_MANIFEST, **headers: str) -> Reply:
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(content, headers=(("Content-Type", kind), *more))


HTML = Reply(b"<html>hello</html>", headers=(("Content-Type", "text/html"),))
ERROR = {"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}
LIES = {
    "the wrong digest": (typed(body(), Docker_Content_Digest=f"sha256:{'2' * 64}"), "cannot be trusted"),
    "schema 1": (typed(b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"), "old schema 1"),
    "no manifest": (typed(b"{}", "application/json"), "expected an image's manifest, and the registry sent"),
    "no JSON": (typed(b"{"), "not JSON"),
    "another kind than it says": (typed(body({"mediaType": "other"})), "says of itself that it is other"),
    "both kinds at once": (typed(body({"manifests": []})), "found other fields"),
    "a part without a digest": (typed(body({"layers": [{"mediaType": "x"}]})), "descriptor"),
    "too much": (typed(b"x" * (5 << 20)), "more than the 4194304 bytes"),
    "too often": (Reply(ERROR, 429, headers=(("Retry-After", "60"),)), "wants us to wait 60 s"),
    "an error": (Reply({"errors": [{"code": "DENIED", "message": "no"}]}, 403), "(403) (DENIED no)"),
    "trouble": (Reply(b"oh", 502), "answered 502"),
    "a web page's 404": (Reply(b"<html>", 404, headers=(("Content-Type", "text/html"),)), "not as a registry does"),
}


@pytest.mark.parametrize("name", LIES)
async def test_what_is_not_an_image_is_an_error_that_says_why(name: str) -> None:
    reply, said = LIES[name]
    async with served(lies(reply)) as server:
        host = server.url.removeprefix("http://")
        assert said in await refused(asking(host), Image(host, "t/app", "1"))


async def test_a_digest_that_was_asked_for_is_held_to(docked: Docked) -> None:
    async with served(lies(typed(body()))) as server:
        host = server.url.removeprefix("http://")
        image = Image(host, "t/app").at(f"sha256:{'3' * 64}")
        assert "cannot be trusted" in await refused(asking(host), image)
        good = await asking(host).manifest(Image(host, "t/app").at(digest_of(body())))
        assert good is not None


async def test_what_is_no_registry_is_said_to_be_none() -> None:
    async with served(lies(HTML, ping=HTML)) as server:
        host = server.url.removeprefix("http://")
        assert "is not a registry" in await refused(asking(host), Image(host, "t/app"))
    said = await refused(asking("127.0.0.1:1"), Image("127.0.0.1:1", "t/app"))
    assert "127.0.0.1:1 cannot be reached" in said


async def test_a_registry_that_says_nothing_is_given_up() -> None:
    async with served(lies(Reply(hangs=True))) as server:
        host = server.url.removeprefix("http://")
        one = V2(host, Access(), None, timedelta(milliseconds=300))
        assert "no complete answer within 0.3 s" in await refused(one, Image(host, "t/app"))


async def test_a_password_goes_neither_where_it_could_be_read_nor_where_content_is_kept_elsewhere(
    docked: Docked,
) -> None:
    async with served(lambda _: Reply(b"content")) as elsewhere:
        place = (("Location", f"{elsewhere.url}/there"),)
        basic = (("WWW-Authenticate", 'Basic realm="x"'),)

        def answer(request: Request) -> Reply:
            if request.path == "/v2/":
                return Reply({})
            known = "authorization" in request.headers
            return Reply(b"", 307, headers=place) if known else Reply({}, 401, headers=basic)

        async with served(answer) as server:
            host = server.url.removeprefix("http://")
            found = await asking(host, KNOWN).blob(Image(host, "t/app"), digest_of(b"content"), 100)
            assert found == b"content" and "authorization" not in elsewhere.asked[-1].headers
    far = (("WWW-Authenticate", 'Bearer realm="http://tokens.example/t",service="s"'),)
    async with served(lies(Reply({}, 401, headers=far))) as server:
        host = server.url.removeprefix("http://")
        assert "expected https" in await refused(asking(host, KNOWN), Image(host, "t/app"))
