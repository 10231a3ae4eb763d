"""Does every rota say who is on call, that nobody is, or why that is not known, and never a secret?

PagerDuty is a small server of our own that answers in the documented shape of `GET /oncalls` (REST API v2).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adapters.incidents.server import Query, serving

from interlock.adapters.on_call.pagerduty import OnCalls
from interlock.adapters.on_call.roster import Turns
from interlock.core.on_call import PagerDuty, Person, Roster
from interlock.ports.on_call import OnCallError

TOKEN = "geheim-0123456789"
SOON, SHORT = timedelta(seconds=10), timedelta(seconds=0.3)
NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def token(_: str) -> str:
    return TOKEN


def entry(name: str, level: int = 1, user: object = None) -> dict[str, object]:
    about = {"id": f"P{name}", "type": "user", "summary": name, "name": name, "email": f"{name}@shop.example"}
    return {
        "escalation_policy": {"id": "PT20YPA", "type": "escalation_policy_reference", "summary": "Shop"},
        "escalation_level": level,
        "schedule": {"id": "PI7DH85", "type": "schedule_reference", "summary": "Daily"},
        "user": user or about,
        "start": "2026-05-04T00:00:00Z",
        "end": "2026-05-05T00:00:00Z",
    }


def listed(*entries: object, more: object = False) -> dict[str, object]:
    return {"oncalls": list(entries), "limit": 100, "offset": 0, "more": more, "total": None}


def answers(said: object) -> Callable[[str, Query], object]:
    return lambda path, query: said


async def people(url: str, within: timedelta = SOON, secret: Callable[[str], str] = token) -> tuple[Person, ...]:
    return await OnCalls(secret).people(PagerDuty(("S1", "S2"), ("E1",), "f", url), NOW, within)


async def unknown(url: str, within: timedelta = SOON, secret: Callable[[str], str] = token) -> str:
    began = time.monotonic()
    with pytest.raises(OnCallError) as caught:
        await people(url, within, secret)
    assert time.monotonic() - began < within.total_seconds() + 5
    assert "geheim" not in str(caught.value)
    return str(caught.value)


async def test_those_on_call_are_told_the_first_in_the_escalation_first_and_each_once() -> None:
    said = listed(entry("grace", 2), entry("ada"), entry("ada", 3))
    async with serving(answers(said)) as served:
        assert await people(served.url) == (
            Person("ada", "ada@shop.example"),
            Person("grace", "grace@shop.example"),
        )
    path, query, headers = served.asked[0]
    assert path == "/oncalls" and headers["authorization"] == f"Token token={TOKEN}"
    assert query["schedule_ids[]"] == ["S1", "S2"] and query["escalation_policy_ids[]"] == ["E1"]
    assert (query["since"], query["until"]) == (["2026-05-04T09:00:00Z"], ["2026-05-04T09:00:01Z"])


async def test_a_user_who_is_only_referred_to_has_a_name_all_the_same() -> None:
    reference = entry("", user={"id": "PADA", "type": "user_reference", "summary": "Ada Lovelace"})
    async with serving(answers(listed(reference))) as served:
        assert await people(served.url) == (Person("Ada Lovelace", ""),)


async def test_all_pages_are_read() -> None:
    def answer(path: str, query: Query) -> object:
        first = query["offset"] == ["0"]
        return listed(*(entry(f"one-{n}") for n in range(100)), more=True) if first else listed(entry("last"))

    async with serving(answer) as served:
        assert len(await people(served.url)) == 101


async def test_nobody_is_nobody() -> None:
    async with serving(answers(listed())) as served:
        assert await people(served.url) == ()


@pytest.mark.parametrize("manners", ["hang", "drip"])
async def test_a_rota_that_takes_too_long_is_not_known(manners: str) -> None:
    async with serving(answers(listed()), manners) as served:
        assert "no complete answer within 0.3 s" in await unknown(served.url, SHORT)


@pytest.mark.parametrize("manners", ["cut", "rubbish", "page", "500", "401", "302", "204"])
async def test_an_answer_that_is_none_is_not_known(manners: str) -> None:
    async with serving(answers(listed()), manners) as served:
        assert served.url in await unknown(served.url)


@pytest.mark.parametrize(
    "said", [{}, None, [], {"oncalls": []}, listed(1), listed({"user": {}}), listed(entry("ada", user="ada"))]
)
async def test_json_of_another_shape_is_not_known(said: object) -> None:
    async with serving(answers(said)) as served:
        assert "is no PagerDuty" in await unknown(served.url)


async def test_a_rota_that_is_down_is_not_known() -> None:
    async with serving(answers(listed())) as served:
        url = served.url
    assert "cannot be reached" in await unknown(url)


@pytest.mark.parametrize("bad", ["geheim\nX-More: 1", "geheim-ü€"])
async def test_a_token_that_cannot_be_sent_or_is_gone_is_not_known(bad: str, tmp_path: Path) -> None:
    async with serving(answers(listed())) as served:
        await unknown(served.url, secret=lambda _: bad)
        assert "cannot be read" in await unknown(served.url, secret=lambda name: (tmp_path / name).read_text())
        assert served.asked == []


async def test_a_roster_takes_turns_and_asks_nobody() -> None:
    """Nothing of it can be slow, down or rubbish: the file was checked when it was read."""
    roster = Roster(("ada", "grace"), NOW, timedelta(days=7))
    for days, names in ((-0.001, []), (0, ["ada"]), (6.999, ["ada"]), (7, ["grace"]), (14, ["ada"]), (7000, ["ada"])):
        found = await Turns().people(roster, NOW + timedelta(days=days), SHORT)
        assert [one.name for one in found] == names, f"after {days} days"
    assert await Turns().people(Roster(("ada", "grace")), NOW, SHORT) == (Person("ada"), Person("grace"))
    assert await Turns().people(Roster(()), NOW, SHORT) == ()
