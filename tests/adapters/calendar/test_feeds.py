"""Is every freeze and holiday seen, and is what cannot be read never taken for an empty calendar?"""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adapters.calendar.feed_files import SALE, feed
from tests.adapters.served import Reply, Request, served

from interlock.adapters import feed as feeds
from interlock.adapters.calendar.feeds import Feeds
from interlock.adapters.feed import AGAIN, COPY_LASTS, FRESH, LARGEST, Feed, named
from interlock.core.window import Entries, Opening, Period, Window, closed
from interlock.ports.calendar import CalendarError

NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)
SOON = timedelta(seconds=30)
DAILY = (Opening(tuple(range(7))),)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def periods(place: Path, text: str, zone: str = "Europe/Berlin", at: datetime = NOW) -> tuple[Period, ...]:
    path = place / "calendar.ics"
    path.write_text(text)
    return (await Feeds().periods(Window(DAILY, zone, calendar=str(path)), at, SOON)).periods


async def refused(place: Path, text: str) -> str:
    with pytest.raises(CalendarError) as caught:
        await periods(place, text)
    assert str(caught.value).startswith(f"the calendar {place / 'calendar.ics'}: ")
    return str(caught.value)


async def test_an_event_is_a_freeze_for_its_time(tmp_path: Path) -> None:
    (sale,) = await periods(tmp_path, feed(SALE))
    assert sale == Period(utc("2026-11-24T10:00"), utc("2026-11-24T12:00"), "the sale")


async def test_whole_days_are_those_of_the_windows_zone(tmp_path: Path) -> None:
    days = "SUMMARY:audit|DTSTART;VALUE=DATE:20261127|DTEND;VALUE=DATE:20261129"
    one = "SUMMARY:one day|DTSTART;VALUE=DATE:20261201"
    assert await periods(tmp_path, feed(days, one)) == (
        Period(utc("2026-11-26T23:00"), utc("2026-11-28T23:00"), "audit"),
        Period(utc("2026-11-30T23:00"), utc("2026-12-01T23:00"), "one day"),
    )
    (there,) = await periods(tmp_path, feed(days), "America/New_York")
    assert there.start == utc("2026-11-27T05:00")


async def test_hours_are_those_of_the_events_zone_or_else_of_the_windows(tmp_path: Path) -> None:
    there = "SUMMARY:a|DTSTART;TZID=America/New_York:20261124T100000|DTEND;TZID=America/New_York:20261124T110000"
    windows = "SUMMARY:b|DTSTART;TZID=W. Europe Standard Time:20261125T100000|DURATION:PT1H"
    floating = "SUMMARY:c|DTSTART:20261126T100000|DTEND:20261126T110000"
    a, b, c = await periods(tmp_path, feed(there, windows, floating))
    assert [one.start for one in (a, b, c)] == [utc(f"2026-11-{day}:00") for day in ("24T15", "25T09", "26T09")]


async def test_a_zone_of_the_calendars_own_is_understood(tmp_path: Path) -> None:
    own = "BEGIN:VTIMEZONE|TZID:Ours|BEGIN:STANDARD|DTSTART:19700101T000000|TZOFFSETFROM:+0300|TZOFFSETTO:+0300"
    event = "SUMMARY:a|DTSTART;TZID=Ours:20261124T140000|DTEND;TZID=Ours:20261124T150000"
    (one,) = await periods(tmp_path, feed(event, more=f"{own}|END:STANDARD|END:VTIMEZONE"))
    assert one.start == utc("2026-11-24T11:00")


async def test_what_comes_again_is_seen_each_time_by_the_wall_clock_but_for_its_exceptions(tmp_path: Path) -> None:
    weekly = "SUMMARY:a|DTSTART;TZID=Europe/Berlin:20250105T100000|DTEND;TZID=Europe/Berlin:20250105T110000"
    rule = "RRULE:FREQ=WEEKLY;BYDAY=SU|EXDATE;TZID=Europe/Berlin:20261025T100000"
    found = await periods(tmp_path, feed(f"{weekly}|{rule}"), at=utc("2026-10-15T00:00"))
    assert [one.start for one in found[:3]] == [utc(f"2026-{day}:00") for day in ("10-18T08", "11-01T09", "11-08T09")]


async def test_what_is_cancelled_is_no_freeze_the_whole_or_one_of_a_series(tmp_path: Path) -> None:
    daily = "SUMMARY:a|DTSTART:20261124T120000Z|DTEND:20261124T130000Z|RRULE:FREQ=DAILY;COUNT=3"
    moved = daily.replace("SUMMARY:a", "SUMMARY:a|STATUS:CANCELLED|RECURRENCE-ID:20261125T120000Z")
    moved = moved.replace("|RRULE:FREQ=DAILY;COUNT=3", "").replace("20261124T", "20261125T")
    text = feed(daily, moved, f"{SALE}|STATUS:CANCELLED").replace("UID:1@", "UID:0@")
    assert [one.start.day for one in await periods(tmp_path, text)] == [24, 26]


async def test_what_began_long_ago_and_lasts_is_seen(tmp_path: Path) -> None:
    long = "SUMMARY:the freeze|DTSTART:20260105T100000Z|DTEND:20270105T100000Z"
    (one,) = await periods(tmp_path, feed(long))
    assert "closed until 2027-01-05 11:00: the freeze" in closed(Window(DAILY, "Europe/Berlin"), NOW, (one,))


async def test_what_is_over_or_far_away_is_left_out_and_an_empty_calendar_is_empty(tmp_path: Path) -> None:
    gone = SALE.replace("20261124", "20261001")
    far = SALE.replace("20261124", "20270401")
    assert await periods(tmp_path, feed(gone, far)) == ()
    assert await periods(tmp_path, feed()) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'is no iCalendar feed: it begins with ""'),
        ("<html>please log in</html>", 'is no iCalendar feed: it begins with "<html>please log in</html>"'),
        (feed(SALE)[:-20], "is cut off: it does not end with END:VCALENDAR"),
        (feed("SUMMARY:a|DTSTART:soon|DTEND:20261124T120000Z"), "the event 'a': DTSTART cannot be read"),
        (feed("SUMMARY:a|DTEND:20261124T120000Z"), "the event 'a': it has no DTSTART"),
        (feed(f"{SALE}|RRULE:FREQ=SOMETIMES"), "RRULE cannot be read"),
        (feed("SUMMARY:a|DTSTART:20261125T100000Z|DTEND:20261124T120000Z"), "it ends before it begins"),
        (feed("SUMMARY:a|DTSTART;TZID=Mars/Base:20261124T100000|DURATION:PT1H"), "the time zone Mars/Base of DTSTART"),
        (feed(f"{SALE}|RRULE FREQ=DAILY"), "a line cannot be read"),
        ("\x00\x01\x02", "is no iCalendar feed"),
    ],
)
async def test_what_cannot_be_read_is_an_error_that_says_where(tmp_path: Path, text: str, said: str) -> None:
    assert said in await refused(tmp_path, text)


async def test_a_series_without_measure_is_left_in_time(tmp_path: Path) -> None:
    path = tmp_path / "calendar.ics"
    path.write_text(feed(f"{SALE}|RRULE:FREQ=SECONDLY"))
    began = time.monotonic()
    with pytest.raises(CalendarError, match=r"not done within|more than 1000|no answer within|of memory"):
        await Feeds().periods(Window(DAILY, calendar=str(path)), NOW, timedelta(seconds=3))
    assert time.monotonic() - began < 20


async def test_a_file_that_is_not_there_or_too_large_or_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "calendar.ics"
    window = Window(DAILY, calendar=str(path))
    with pytest.raises(CalendarError, match="cannot be read: No such file"):
        await Feeds().periods(window, NOW, SOON)
    path.write_bytes(b" " * (LARGEST + 1))
    with pytest.raises(CalendarError, match=f"is larger than {LARGEST} bytes"):
        await Feeds().periods(window, NOW, SOON)
    path.write_bytes(b"BEGIN:VCALENDAR\xff\xfe")
    with pytest.raises(CalendarError, match="it is not UTF-8"):
        await Feeds().periods(window, NOW, SOON)


# --- by an address


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, more: timedelta) -> None:
        self.now += more.total_seconds()


def says(text: str) -> Reply:
    return Reply(text.encode())


class Server:
    """Answers what a test sets."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def __call__(self, _: Request) -> Reply:
        return self.reply


async def test_a_feed_is_asked_for_once_a_minute_at_most() -> None:
    clock, server = Clock(), Server(says(feed(SALE)))
    async with served(server) as site:
        there, window = Feeds(Feed(clock)), Window(DAILY, calendar=f"{site.url}/freezes.ics")
        for _ in range(20):
            assert len((await there.periods(window, NOW, SOON)).periods) == 1
        assert len(site.asked) == 1 and site.asked[0].path == "/freezes.ics"
        server.reply = says(feed())
        clock.passes(FRESH)
        assert await there.periods(window, NOW, SOON) == Entries()
        assert len(site.asked) == 2


async def test_ten_thousand_questions_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "f.ics").write_text(feed(SALE))
    clock = Clock()
    there, window = Feeds(Feed(clock)), Window(DAILY, calendar=str(tmp_path / "f.ics"), holidays="DE")
    await there.periods(window, NOW, SOON)
    gc.collect()
    before, files = len(gc.get_objects()), len(list(Path("/proc/self/fd").iterdir()))
    for number in range(10_000):
        clock.passes(timedelta(seconds=1))
        assert len((await there.periods(window, NOW + timedelta(seconds=number // 10), SOON)).periods) > 1
    gc.collect()
    assert len(gc.get_objects()) - before < 500
    assert len(list(Path("/proc/self/fd").iterdir())) <= files + 2
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"no", 503), "its server answered 503"),
        (Reply(b"", 302, headers=(("Location", "/elsewhere"),)), "a redirect, which is not followed"),
        (Reply(b"<html>", 200), "is no iCalendar feed"),
        (Reply(b" " * (LARGEST + 1)), f"more than {LARGEST} bytes"),
        (Reply(hangs=True), "within 1 s"),
    ],
)
async def test_the_last_good_copy_serves_for_ten_minutes_and_then_nothing_is_known(reply: Reply, said: str) -> None:
    clock, server, brief = Clock(), Server(says(feed(SALE))), timedelta(seconds=1)
    async with served(server) as site:
        there, window = Feeds(Feed(clock)), Window(DAILY, calendar=f"{site.url}/private-geheim/freezes.ics")
        await there.periods(window, NOW, SOON)
        server.reply = reply
        clock.passes(FRESH)
        copy = await there.periods(window, NOW, brief)
        assert len(copy.periods) == 1
        assert (
            copy.note.startswith("by a copy of 11:00:00 UTC, as the calendar http://127.0.0.1:") and said in copy.note
        )
        asked = len(site.asked)
        await there.periods(window, NOW, brief)
        assert len(site.asked) == asked, "what failed is not asked for again at once"
        clock.passes(COPY_LASTS)
        with pytest.raises(CalendarError, match="the last copy, of 11:00:00 UTC, is older than 10 min") as caught:
            await there.periods(window, NOW, brief)
        assert "geheim" not in f"{caught.value} {copy.note}"
        server.reply = says(feed())
        clock.passes(AGAIN)
        assert await there.periods(window, NOW, SOON) == Entries()


async def test_a_server_that_is_down_from_the_beginning_is_an_error() -> None:
    with pytest.raises(CalendarError, match=r"the calendar http://127.0.0.1:1/f.ics: its server cannot be reached"):
        await Feeds().periods(Window(DAILY, calendar="http://127.0.0.1:1/f.ics?key=geheim"), NOW, SOON)


async def test_an_address_that_is_a_secret_is_read_when_it_is_asked_and_in_no_error() -> None:
    values = {"f1": "", "f2": "no address, geheim"}

    def secret(name: str) -> str:
        if name not in values:
            raise FileNotFoundError(2, "No such file or directory")
        return values[name]

    async def asked(name: str) -> Entries:
        window = Window(DAILY, "Europe/Berlin", calendar_secret=name)
        return await Feeds(Feed(secret=secret)).periods(window, NOW, SOON)

    async with served(lambda request: says(feed(SALE))) as server:
        values["f1"] = f"{server.url}/geheim/basic-geheim.ics"
        (sale,) = (await asked("f1")).periods
        assert sale.what == "the sale" and server.asked[0].path == "/geheim/basic-geheim.ics"
    for name, said in (
        ("f1", "its server cannot be reached"),
        ("f2", "expected one that begins"),
        ("f3", "No such file"),
    ):
        with pytest.raises(CalendarError) as caught:
            await asked(name)
        assert f"the calendar whose address is a secret: {'' if name == 'f1' else 'its address'}" in str(caught.value)
        assert said in str(caught.value) and "geheim" not in str(caught.value)


def test_an_address_is_named_without_what_may_be_its_password() -> None:
    assert named("https://u:p@c.example/ical/private-abc/basic.ics?k=1") == "https://c.example/…/basic.ics"
    assert named("https://c.example/basic.ics") == "https://c.example/basic.ics"
    assert named("/project/f.ics") == "/project/f.ics"


# --- holidays


async def test_holidays_are_freezes_for_their_day_in_the_windows_zone() -> None:
    window = Window(DAILY, "Europe/Berlin", holidays="DE-BY")
    found = (await Feeds().periods(window, utc("2026-12-20T12:00"), SOON)).periods
    days = {one.start: one for one in found}
    assert utc("2026-12-24T23:00") in days and utc("2027-01-05T23:00") in days, "Christmas, and Epiphany of next year"
    assert days[utc("2026-12-24T23:00")].end == utc("2026-12-25T23:00")
    assert all(one.what for one in found)
    elsewhere = (await Feeds().periods(Window(DAILY, holidays="DE-HH"), utc("2026-12-20T12:00"), SOON)).periods
    assert utc("2027-01-06T00:00") not in {one.start for one in elsewhere}


async def test_the_holidays_of_an_unknown_place_are_an_error() -> None:
    with pytest.raises(CalendarError, match="the holidays of XX: Country XX not available"):
        await Feeds().periods(Window(DAILY, holidays="XX"), NOW, SOON)


async def test_holidays_and_calendar_count_together(tmp_path: Path) -> None:
    path = tmp_path / "f.ics"
    path.write_text(feed(SALE))
    window = Window(DAILY, "Europe/Berlin", calendar=str(path), holidays="DE")
    names = [one.what for one in (await Feeds().periods(window, NOW, SOON)).periods]
    assert "the sale" in names and len(names) > 2


async def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(feeds, "find_spec", lambda _: None)
    assert "pip install 'interlock[calendar]'" in await refused(tmp_path, feed())
    with pytest.raises(CalendarError, match=r"interlock\[calendar\]"):
        await Feeds().periods(Window(DAILY, holidays="DE"), NOW, SOON)
