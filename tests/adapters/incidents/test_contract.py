"""Does every source of incidents say what is open, that nothing is, or why that is not known, and never a secret?

The servers are small ones of our own that answer in the documented shapes: Alertmanager's `GET /api/v2/alerts`,
PagerDuty's `GET /incidents` (REST API v2), and any list in JSON. The real Alertmanager has tests of its own.
"""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.incidents.server import Query, Served, serving

from interlock.adapters.incidents.alertmanager import Alerts
from interlock.adapters.incidents.flagged import Files
from interlock.adapters.incidents.pagerduty import Incidents as PagerDutyIncidents
from interlock.adapters.incidents.web import Listed
from interlock.core.conditions import Conditions
from interlock.core.incidents import Alertmanager, Flagged, Incident, Incidents, PagerDuty, Source, Web
from interlock.core.release import Artefact, Configuration, Release
from interlock.core.steps import GateName
from interlock.engine.outside import ask
from interlock.engine.ports import Outside
from interlock.ports.incidents import IncidentsError

TOKEN = "geheim-0123456789"
SOON, SHORT = timedelta(seconds=10), timedelta(seconds=0.3)
BEGAN = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def token(_: str) -> str:
    return TOKEN


@dataclass(frozen=True)
class Kind:
    """One kind of source that is asked by HTTP: what it answers when something is open and when nothing is."""

    adapter: Callable[[Callable[[str], str]], Any]
    source: Callable[[str], Source]
    open: object
    closed: object
    nonsense: tuple[object, ...]
    incident: Incident


ALERT = {
    "labels": {"alertname": "HighErrorRate", "severity": "critical", "service": "shop"},
    "annotations": {"summary": "checkout is down"},
    "fingerprint": "0123456789abcdef",
    "startsAt": "2026-05-04T03:02:01.000Z",
    "endsAt": "2026-05-04T04:02:01.000Z",
    "updatedAt": "2026-05-04T03:02:01.000Z",
    "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
    "receivers": [{"name": "nobody"}],
    "generatorURL": "",
}
PAGED = {
    "id": "PT4KHLK",
    "type": "incident",
    "incident_number": 1234,
    "title": "checkout is down",
    "status": "triggered",
    "urgency": "high",
    "created_at": "2026-05-04T03:02:01Z",
    "service": {"id": "PIJ90N7", "type": "service_reference", "summary": "Shop"},
}
LISTED = {
    "key": "INC-1",
    "name": "checkout is down",
    "begun": "2026-05-04T05:02:01+02:00",
    "over": False,
    "on": ["shop"],
}


def paged(*incidents: object, more: object = False) -> dict[str, object]:
    return {"incidents": list(incidents), "limit": 100, "offset": 0, "more": more, "total": None}


KINDS = {
    "alertmanager": Kind(
        Alerts,
        lambda url: Alertmanager(url, mine=('service="shop"',), token_secret="f"),
        [ALERT],
        [],
        ({}, None, "no", [1], [{"labels": {}}], [{"labels": "x", "fingerprint": "y"}]),
        Incident("HighErrorRate-01234567", "checkout is down", BEGAN, mine=True),
    ),
    "pagerduty": Kind(
        PagerDutyIncidents,
        lambda url: PagerDuty(("PIJ90N7",), ("PIJ90N7",), "f", url),
        paged(PAGED),
        paged(),
        ({}, None, [], [PAGED], {"incidents": []}, paged(1), paged({"title": "x"}), {"incidents": 7, "more": False}),
        Incident("PT4KHLK", "checkout is down", BEGAN, mine=True, source="PagerDuty"),
    ),
    "http": Kind(
        Listed,
        lambda url: Web(f"{url}/all", "f", "data.open", "key", "name", "begun", "over", ("false",), "on", ("shop",)),
        {"data": {"open": [LISTED, {**LISTED, "over": True}]}},
        {"data": {"open": [{**LISTED, "over": True}]}},
        ({}, None, [], "no", {"data": {"open": {}}}, {"data": {"open": ["x"]}}, {"data": {"open": [{"over": False}]}}),
        Incident("INC-1", "checkout is down", BEGAN, mine=True),
    ),
}


def same(found: tuple[Incident, ...], expected: Incident) -> bool:
    return [(o.id, o.title, o.since, o.mine) for o in found] == [
        (expected.id, expected.title, expected.since, expected.mine)
    ]


async def unknown(kind: Kind, url: str, within: timedelta = SOON, secret: Callable[[str], str] = token) -> str:
    began = time.monotonic()
    with pytest.raises(IncidentsError) as caught:
        await kind.adapter(secret).active(kind.source(url), within)
    assert time.monotonic() - began < within.total_seconds() + 5
    assert "geheim" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_what_is_open_is_told_with_its_name_its_beginning_and_whether_it_is_ours(kind: Kind) -> None:
    async with serving(lambda path, query: kind.open) as served:
        assert same(await kind.adapter(token).active(kind.source(served.url), SOON), kind.incident)
        assert all(TOKEN in headers["authorization"] for _, _, headers in served.asked)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_nothing_open_is_nothing(kind: Kind) -> None:
    async with serving(lambda path, query: kind.closed) as served:
        assert await kind.adapter(token).active(kind.source(served.url), SOON) == ()


@pytest.mark.parametrize("manners", ["hang", "drip"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_source_that_takes_too_long_is_not_known(kind: Kind, manners: str) -> None:
    async with serving(lambda path, query: kind.closed, manners) as served:
        assert "no complete answer within 0.3 s" in await unknown(kind, served.url, SHORT)


@pytest.mark.parametrize("manners", ["cut", "rubbish", "page", "500", "401", "302", "204"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_an_answer_that_is_none_is_not_known(kind: Kind, manners: str) -> None:
    async with serving(lambda path, query: kind.closed, manners) as served:
        said = await unknown(kind, served.url)
        assert served.url in said
        if manners == "401":
            assert "is the token right" in said


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_json_of_another_shape_is_not_known(kind: Kind) -> None:
    for nonsense in kind.nonsense:

        def answer(path: str, query: Query, nonsense: object = nonsense) -> object:
            return nonsense

        async with serving(answer) as served:
            assert served.url in await unknown(kind, served.url), nonsense


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_source_that_is_down_is_not_known(kind: Kind) -> None:
    async with serving(lambda path, query: kind.closed) as served:
        url = served.url
    assert "cannot be reached" in await unknown(kind, url)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("bad", ["geheim\nX-More: 1", "geheim-ü€", "geheim\x00"], ids=["lines", "letters", "nul"])
async def test_a_token_that_cannot_be_sent_is_not_shown_either(kind: Kind, bad: str) -> None:
    async with serving(lambda path, query: kind.closed) as served:
        assert served.url in await unknown(kind, served.url, secret=lambda _: bad)
        assert served.asked == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_token_that_is_gone_is_not_known(kind: Kind, tmp_path: Path) -> None:
    said = await unknown(kind, "http://127.0.0.1:1", secret=lambda name: (tmp_path / name).read_text())
    assert "the token for http://127.0.0.1:1" in said and "No such file" in said


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_password_in_the_address_is_in_no_error_and_no_incident(kind: Kind) -> None:
    async with serving(lambda path, query: kind.open) as served:
        url = served.url.replace("http://", "http://ada:geheim@")
        found = await kind.adapter(token).active(kind.source(url), SOON)
        assert found and "geheim" not in repr(found)
        for served.manners in ("500", "page", "cut"):
            await unknown(kind, url)
    assert "geheim" not in await unknown(kind, url)


# PagerDuty


async def test_pagerduty_is_asked_as_its_reference_says_page_by_page() -> None:
    def answer(path: str, query: Query) -> object:
        assert path == "/incidents"
        first = query["offset"] == ["0"]
        return paged(*({**PAGED, "id": f"P{n}"} for n in range(100)), more=True) if first else paged(PAGED)

    async with serving(answer) as served:
        found = await PagerDutyIncidents(token).active(PagerDuty(("A", "B"), ("C",), "f", served.url), SOON)
    assert len(found) == 101 and not any(one.mine for one in found)
    _, query, headers = served.asked[1]
    assert headers["authorization"] == f"Token token={TOKEN}"
    assert headers["accept"] == "application/vnd.pagerduty+json;version=2"
    assert query == {
        "statuses[]": ["triggered", "acknowledged"],
        "date_range": ["all"],
        "limit": ["100"],
        "offset": ["100"],
        "service_ids[]": ["A", "B"],
    }


# Any list


async def test_an_item_whose_state_is_not_told_counts_as_open() -> None:
    async with serving(lambda path, query: [{"id": 7}, {"id": 8, "state": "resolved"}]) as served:
        found = await Listed(token).active(Web(served.url, open_field="state", open_values=("open",)), SOON)
    assert [one.id for one in found] == ["7"]
    assert "authorization" not in served.asked[0][2]


async def test_an_item_without_a_name_is_not_taken_for_anything() -> None:
    for item in ({"title": "on fire"}, {"id": "", "title": "on fire"}):
        said = [item]
        async with serving(partial(lambda found, path, query: found, said)) as served:
            with pytest.raises(IncidentsError, match="expected an id at id in each item, found none"):
                await Listed(token).active(Web(served.url), SOON)


# A file


async def test_each_line_of_a_file_is_an_incident_as_long_as_it_is_there(tmp_path: Path) -> None:
    fires, file = Files(), tmp_path / "on-fire"
    source = Flagged(str(file))
    assert await fires.active(source, SOON) == ()
    file.write_text("fire-1 checkout is down\n\n  fire-2\n")
    found = await fires.active(source, SOON)
    assert [(one.id, one.title, one.mine) for one in found] == [
        ("fire-1", "checkout is down", False),
        ("fire-2", "", False),
    ]
    assert all(one.since is not None for one in found)
    file.write_text("\n")
    assert await fires.active(source, SOON) == ()


async def test_a_file_that_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"\xff\xfe\x00fire")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {
        "rubbish": "cannot be read",
        "directory": "expected a file",
        "pipe": "expected a file",
        "loop": "symbolic links",
        "not/mounted": "is it mounted?",
    }
    for name, said in cases.items():
        with pytest.raises(IncidentsError, match=said):
            await Files().active(Flagged(str(tmp_path / name)), SOON)


async def test_a_disk_that_hangs_costs_one_thread_and_not_one_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, begun = threading.Event(), list[Path]()

    def hang(path: Path) -> tuple[Incident, ...]:
        begun.append(path)
        goes_on.wait(30)
        return ()

    monkeypatch.setattr("interlock.adapters.incidents.flagged._read", hang)
    fires, source = Files(), Flagged(str(tmp_path / "f"))
    for _ in range(3):
        with pytest.raises(IncidentsError, match="could not be read within"):
            await fires.active(source, timedelta(seconds=0.1))
    assert len(begun) == 1
    goes_on.set()
    assert await fires.active(source, SOON) == ()


# All of them, again and again


class Everybody:
    """The adapters of all kinds, as the application wires them."""

    def __init__(self) -> None:
        self.kinds: dict[type, Any] = {Alertmanager: Alerts(token), PagerDuty: PagerDutyIncidents(token)}
        self.kinds |= {Web: Listed(token), Flagged: Files()}

    async def active(self, source: Source, within: timedelta) -> tuple[Incident, ...]:
        found: tuple[Incident, ...] = await self.kinds[type(source)].active(source, within)
        return found


async def test_ten_thousand_evaluations_leak_nothing(tmp_path: Path) -> None:
    """Whatever the sources do: descriptors, tasks and memory stay what they were."""
    everybody, flag = Everybody(), Flagged(str(tmp_path / "on-fire"))
    outside = Outside(None, everybody, None, None)  # type: ignore[arg-type]
    release = Release("shop", "v1", Artefact("sha256:0", ""), Configuration(()), "")
    answers: dict[bool, int] = {True: 0, False: 0}

    async def evaluate(sources: tuple[Source, ...], times: int) -> None:
        conditions = Conditions(incidents=Incidents(sources, timeout=SOON))
        for _ in range(times):
            answers[(await ask(outside, GateName.NO_INCIDENT, conditions, release, BEGAN)).open] += 1

    async def round(served: Served, size: int) -> None:
        quiet = Alertmanager(served.url, token_secret="f")
        asked: list[tuple[str, tuple[Source, ...]]] = [("", (quiet,)), ("500", (quiet,)), ("cut", (quiet,))]
        for manners, sources in [*asked, ("rubbish", (PagerDuty((), (), "f", served.url),))]:
            served.manners = manners
            await evaluate(sources, size)
        served.asked.clear()
        await evaluate((Web("http://127.0.0.1:1/"),), size)
        await evaluate((flag,), 5 * size)

    async with serving(lambda path, query: []) as served:
        await round(served, 20)
        before = _held()
        await round(served, 1000)
        await asyncio.sleep(0.2)
        after = _held()
    assert sum(answers.values()) == 10_200 and answers[True] == 6 * 1020
    assert after[0] <= before[0] + 3, f"file descriptors: {before[0]} before, {after[0]} after"
    assert after[1] <= before[1] + 3, f"tasks: {before[1]} before, {after[1]} after"
    assert after[2] <= before[2] + 16 * 1024, f"KiB of memory: {before[2]} before, {after[2]} after"


def _held() -> tuple[int, int, int]:
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    return descriptors, len(asyncio.all_tasks()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
