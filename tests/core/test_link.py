"""Does a link prove to whom it was given, and nothing else, and only for a while?"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from interlock.core.link import Link, LinkError, address, once, read

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY, OTHER = b"k" * 32, b"o" * 32
LINK = Link("acknowledge", "shop-7-production", "Ada Łovelace <ada@example.org>", NOW + timedelta(minutes=15))


def test_a_link_comes_back_as_it_was_made() -> None:
    assert read(LINK.token(KEY), KEY, NOW) == LINK
    assert read(f" {LINK.token(KEY)}\n", KEY, NOW) == LINK
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", LINK.token(KEY))


def test_a_link_ends() -> None:
    with pytest.raises(LinkError, match="this link held until 2026-11-24 12:15:00 UTC"):
        read(LINK.token(KEY), KEY, LINK.expires)


def test_a_link_of_another_state_directory_is_none() -> None:
    with pytest.raises(LinkError, match="is not from here"):
        read(LINK.token(OTHER), KEY, NOW)


def test_a_link_that_was_changed_anywhere_is_none() -> None:
    token = LINK.token(KEY)
    for place in range(len(token)):
        for sign in "Ab-.":
            changed = token[:place] + sign + token[place + 1 :]
            if changed == token:
                continue
            try:  # the last sign before the dot, and the last of all, have bits that mean nothing
                assert read(changed, KEY, NOW) == LINK
            except LinkError:
                continue
            assert place == len(token) - 1


@pytest.mark.parametrize("token", ["", ".", "x", "a.b", "a.b.c", "ä.ö", "=.=", "." * 1000, "\x00"])
def test_rubbish_is_no_link(token: str) -> None:
    with pytest.raises(LinkError):
        read(token, KEY, NOW)


def test_the_same_link_is_one_order_and_another_one_another() -> None:
    token = LINK.token(KEY)
    assert once(token) == once(f"{token} ") != once(replace(LINK, person="grace").token(KEY))
    assert token not in once(token)


def test_a_link_has_an_address_where_somebody_answers() -> None:
    assert address("https://x.example/", "a.b") == "https://x.example/acknowledge?token=a.b"
