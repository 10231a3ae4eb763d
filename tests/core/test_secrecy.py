"""Is no secret left in a text, however it is written there, and is nothing else taken away?"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.core.secrecy import hidden

SECRETS = {
    "plain": "correct horse battery",
    "short": "k9!x",
    "with the characters of expressions": r"a.*b+(c)[d]\e^f$g|h?{2}",
    "with quotes": 'it\'s "quoted" & <tagged>',
    "of several lines": "-----BEGIN KEY-----\nMIIEvQIBADANBgkq+hkiG/9w0B\n-----END KEY-----",
    "not English": "pässwörd-ключ-🔑",
    "long": "0123456789abcdef" * 12,
}
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as JSON": lambda value: json.dumps(value),
    "as JSON that is not ASCII": lambda value: json.dumps({"password": value}, ensure_ascii=False),
    "as JSON in JSON": lambda value: json.dumps(json.dumps({"password": value})),
    "as Python": repr,
    "as a shell's word": shlex.quote,
    "in a URL": lambda value: f"https://shop:{quote(value, safe='')}@db/1",
    "in a form": lambda value: f"password={quote_plus(value)}&next=1",
    "in a path in lower case": lambda value: f"/login/{quote(value).lower() if value.isascii() else quote(value)}",
    "in a page": html.escape,
    "in base64": lambda value: base64.b64encode(value.encode()).decode(),
    "in base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    "in wrapped base64": lambda value: base64.encodebytes(value.encode()).decode(),
    "in hexadecimal": lambda value: value.encode().hex(),
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_is_hidden_however_it_is_written(what: str, how: str) -> None:
    value = SECRETS[what]
    written = WRITTEN[how](value if how != "in a path in lower case" else value.lower())
    text = hidden(f"login failed: {written}, tried 3 times", [value, value.lower()])
    assert text.startswith("login failed: ") and text.endswith(", tried 3 times") and "[secret]" in text
    around = "password shop https login db next tried times failed secret"
    left = {one for one in re.findall(r"[^\W_]{4,}", text) if one not in around}
    assert left == set(), f"{left} of {written}"


@pytest.mark.parametrize("user", ["a", "bo", "ada"])
def test_a_secret_inside_a_longer_base64_is_hidden_at_each_alignment(user: str) -> None:
    token = base64.b64encode(f"{user}:correct horse battery".encode()).decode()
    shown = hidden(f"Authorization: Basic {token}", [SECRETS["plain"]])
    assert "[secret]" in shown
    left = shown.partition("Basic ")[2].replace("[secret]", "")
    assert len(left.rstrip("=")) <= 8, "what belongs to the name, and a digit that both share"


def test_a_short_secret_is_hidden_where_it_stands_alone_and_not_in_the_middle_of_a_word() -> None:
    assert hidden("prod: product=prod,x_prod\tprod\\nprod", ["prod"]) == (
        "[secret]: product=[secret],x_[secret]\t[secret]\\n[secret]"
    )


def test_a_long_secret_is_hidden_in_the_middle_of_a_word() -> None:
    assert hidden("xhunter2000y", ["hunter2000"]) == "x[secret]y"


def test_each_line_of_a_secret_is_hidden_but_for_lines_that_say_nothing() -> None:
    assert hidden('  "key": "sesame"\n}', ['{\n  "key": "sesame"\n}']) == "  [secret]\n}"


def test_the_beginning_of_a_secret_that_was_cut_is_hidden_too() -> None:
    assert hidden("no login with correct ho… (and more)", ["correct horse"]) == "no login with [secret]… (and more)"
    assert hidden("no login with correct h", ["correct horse"]) == "no login with [secret]"
    assert hidden("no login with cor…", ["correct horse"]) == "no login with cor…"


def test_a_secret_that_is_part_of_another_leaves_nothing_of_it() -> None:
    assert hidden("a=hunter2000 b=hunter2000-and-more", ["hunter2000", "hunter2000-and-more"]) == (
        "a=[secret] b=[secret]"
    )


def test_a_secret_called_secret_does_not_spoil_the_others() -> None:
    assert hidden("secret and hunter2000", ["secret", "hunter2000"]) == "[secret] and [secret]"


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert hidden("as it is\x00", []) == "as it is\x00"
    assert hidden("as it is", ["", "  "]) == "as it is"


def test_a_report_that_lays_a_secret_out_otherwise_does_not_show_it() -> None:
    folded = " ".join(textwrap.wrap("the log says correct  horse | battery", 80))
    assert "horse" not in hidden(folded.replace("|", "\\|").replace("  ", " "), ["correct  horse | battery"])


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=8, max_size=60),
    st.sampled_from(sorted(WRITTEN)),
)
def test_whatever_the_secret_is_it_is_gone(value: str, how: str) -> None:
    if len(value.strip()) >= 8 and "secret" not in value:
        assert value.strip() not in hidden(f"x {WRITTEN[how](value)} y", [value])
