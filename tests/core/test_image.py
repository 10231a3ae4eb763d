"""Are images named as everybody names them, and is what names nothing refused?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.image import Access, Image, Platform, artefact_of, image_of
from interlock.core.release import Artefact

DIGEST = f"sha256:{'a' * 64}"
NAMES = {  # what distribution/reference makes of them
    "nginx": "docker.io/library/nginx",
    "nginx:1.27": "docker.io/library/nginx:1.27",
    "acme/shop": "docker.io/acme/shop",
    "docker.io/nginx": "docker.io/library/nginx",
    "index.docker.io/library/nginx": "docker.io/library/nginx",
    "localhost/shop": "localhost/shop",
    "localhost:5000/shop:v1": "localhost:5000/shop:v1",
    "ghcr.io/acme/shop/web_app.x--y": "ghcr.io/acme/shop/web_app.x--y",
    "127.0.0.1:5000/a": "127.0.0.1:5000/a",
    "[2001:db8::1]:5000/a:b": "[2001:db8::1]:5000/a:b",
    "Example/shop": "Example/shop",
    f"shop:1@{DIGEST}": f"docker.io/library/shop:1@{DIGEST}",
    f"r.example/a@sha512:{'b' * 128}": f"r.example/a@sha512:{'b' * 128}",
    "r.example/a__b/c": "r.example/a__b/c",
    "r.example/a:" + "t" * 128: "r.example/a:" + "t" * 128,
}
NO_NAMES = {
    "": "no repository",
    "Nginx": "capital letters",
    "r.example/a//b": "no repository",
    "r.example/a___b": "no repository",
    "r.example/-a": "no repository",
    "r.example/a:": "a tag has",
    "r.example/a:-x": "a tag has",
    "r.example/a:" + "t" * 129: "a tag has",
    "a" * 64: "an image's id",
    "-r.example/a": "no host",
    "https://r.example/a": "no scheme",
    "r.example/" + "a" * 256: "at most 255",
    f"a@sha256:{'A' * 64}": "a digest after @",
    "a@sha256:12": "a digest after @",
    "a b": "no repository",
    "r.example/a\n": "no repository",
}


@pytest.mark.parametrize("text", NAMES)
def test_a_name_is_read_and_written_as_distribution_has_it(text: str) -> None:
    assert str(Image.parse(text)) == NAMES[text]
    assert Image.parse(NAMES[text]) == Image.parse(text), "the full name names the same"


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_name_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected an image such as .*") as error:
        Image.parse(text)
    assert NO_NAMES[text] in str(error.value)


def test_a_password_before_an_at_sign_is_not_repeated() -> None:
    with pytest.raises(ValueError) as error:
        Image.parse("https://ci:hunter2@r.example/shop")
    assert "hunter2" not in str(error.value)


PART = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)


@given(
    st.sampled_from(["docker.io", "r.example", "localhost:1", "10.0.0.1:5000"]),
    st.lists(PART, min_size=2, max_size=4),
    st.sampled_from(["", "latest", "V1.2_x-y"]),
    st.sampled_from(["", DIGEST]),
)
def test_every_image_is_what_its_name_is_read_as(registry: str, parts: list[str], tag: str, digest: str) -> None:
    image = Image(registry, "/".join(parts), tag, digest)
    assert Image.parse(str(image)) == image


def test_an_engine_pulls_by_digest_and_without_the_tag() -> None:
    image = Image.parse(f"ghcr.io/acme/shop:1.4@{DIGEST}")
    assert image.pinned == f"ghcr.io/acme/shop@{DIGEST}" and image.known_by == DIGEST
    assert image.tagged("2").known_by == "2" and Image.parse("a").known_by == "latest"
    with pytest.raises(ValueError, match="may change"):
        _ = Image.parse("ghcr.io/acme/shop:1.4").pinned


def test_an_artefact_is_an_image_when_its_source_names_its_own_digest() -> None:
    image = Image.parse(f"ghcr.io/acme/shop:1.4@{DIGEST}")
    artefact = artefact_of(image, "c" * 40, "/state/builds/1.log")
    assert image_of(artefact) == image and artefact.digest == DIGEST
    for source in ("directory .", "git 6dcb09b", DIGEST, "ghcr.io/acme/shop:1.4", f"ghcr.io/a@sha256:{'b' * 64}"):
        assert image_of(Artefact(DIGEST, source)) is None
    with pytest.raises(ValueError, match="not known what would be released"):
        artefact_of(image.tagged("1.4"))


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AArch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
    ],
)
def test_a_platform_has_one_name(text: str, usual: str) -> None:
    assert str(Platform.parse(text)) == usual


@pytest.mark.parametrize("text", ["", "amd64", "linux/", "linux/a/b/c", "linux/a b"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a platform such as linux/amd64"):
        Platform.parse(text)


def test_a_password_is_named_by_reference_and_then_by_fingerprint() -> None:
    access = Access("ci", "env:PASSWORD")
    assert access.references() == ("env:PASSWORD",)
    assert access.sealed({"env:PASSWORD": "f00"}).password_secret == "f00"
    assert Access().references() == () and Access().sealed({}) == Access()
