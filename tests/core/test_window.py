"""Is the window open when the clock on the wall says so, whatever that clock does, and is the next change known?"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.core.window import (
    Entries,
    Freeze,
    Opening,
    Period,
    Seen,
    WhenClosed,
    Window,
    clock,
    closed,
    closes,
    lasting,
    notes,
    opens,
)

MINUTE = timedelta(minutes=1)
BERLIN = "Europe/Berlin"
WEEKDAYS = Window((Opening((0, 1, 2, 3, 4), 540, 1020),), BERLIN)
DAILY = tuple(range(7))


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN), fold=fold).astimezone(UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_within_the_hours_it_is_open_and_at_their_end_it_is_not() -> None:
    assert closed(WEEKDAYS, berlin("2026-11-24T09:00")) == ""
    assert closed(WEEKDAYS, berlin("2026-11-24T16:59:59")) == ""
    assert closed(WEEKDAYS, berlin("2026-11-24T17:00")) != ""
    assert closed(WEEKDAYS, berlin("2026-11-24T08:59:59")) != ""


def test_what_is_open_says_until_when() -> None:
    assert lasting(WEEKDAYS, berlin("2026-11-24T09:00")) == "open until Tue 17:00 Europe/Berlin"
    assert lasting(Window((Opening(DAILY),)), utc("2026-11-24T09:00")) == "open, and does not close within 60 days"


def test_what_is_closed_says_when_it_opens() -> None:
    saturday = berlin("2026-11-28T22:10")
    said = closed(WEEKDAYS, saturday)
    assert said == "it is Sat 22:10 in Europe/Berlin, outside the deployment window; opens Mon 09:00 Europe/Berlin"


def test_a_freeze_says_until_when_and_why_and_when_it_opens_after_it() -> None:
    frozen = Window(WEEKDAYS.openings, BERLIN, (Freeze(date(2026, 12, 20), date(2027, 1, 3), "the holidays"),))
    said = closed(frozen, berlin("2026-12-21T10:00"))
    assert said == "frozen until 2027-01-03: the holidays; opens Mon 2027-01-04 09:00 Europe/Berlin"
    assert closed(frozen, berlin("2027-01-03T23:59")).startswith("frozen until 2027-01-03")
    assert closes(frozen, berlin("2026-12-18T10:00")) == berlin("2026-12-18T17:00")
    assert opens(frozen, berlin("2026-12-18T18:00")) == berlin("2027-01-04T09:00")


def test_a_freeze_for_ever_does_not_open() -> None:
    frozen = Window(WEEKDAYS.openings, BERLIN, (Freeze(date(2020, 1, 1), date(2100, 1, 1)),))
    assert closed(frozen, berlin("2026-11-24T10:00")) == "frozen until 2100-01-01; does not open within 60 days"
    assert closes(Window((Opening(DAILY),)), utc("2026-11-24T10:00")) is None


def test_an_entry_of_the_calendar_closes_it_for_its_time() -> None:
    sale = Period(berlin("2026-11-24T10:00"), berlin("2026-11-24T12:00"), "the sale")
    said = closed(WEEKDAYS, berlin("2026-11-24T11:00"), [sale])
    assert said == "closed until 2026-11-24 12:00: the sale; opens Tue 12:00 Europe/Berlin"
    assert closes(WEEKDAYS, berlin("2026-11-24T09:30"), [sale]) == berlin("2026-11-24T10:00")
    assert closed(WEEKDAYS, berlin("2026-11-24T12:00"), [sale]) == ""


def test_the_hour_that_does_not_exist_is_never_open() -> None:
    night = Window((Opening(DAILY, 120, 180),), BERLIN)
    assert opens(night, berlin("2026-03-28T04:00")) == berlin("2026-03-30T02:00")
    half = Window((Opening(DAILY, 150, 210),), BERLIN)  # 02:30 to 03:30: on that day from 03:00 on
    assert opens(half, berlin("2026-03-29T00:00")) == utc("2026-03-29T01:00")
    assert closes(half, utc("2026-03-29T01:00")) == utc("2026-03-29T01:30")


def test_the_hour_that_comes_twice_is_open_twice() -> None:
    night = Window((Opening(DAILY, 120, 180),), BERLIN)
    first = berlin("2026-10-25T02:00")
    assert opens(night, berlin("2026-10-25T00:00")) == first
    assert closes(night, first) == utc("2026-10-25T02:00")
    assert closed(night, berlin("2026-10-25T02:30", fold=0)) == closed(night, berlin("2026-10-25T02:30", fold=1)) == ""
    early = Window((Opening(DAILY, 120, 150),), BERLIN)  # closed for half an hour between the two
    assert closes(early, first) == utc("2026-10-25T00:30")
    again = opens(early, utc("2026-10-25T00:30"))
    assert again == utc("2026-10-25T01:00")
    assert clock(early, again, first) == "Sun 02:00 Europe/Berlin (UTC+0100)"


def test_a_working_day_has_its_hours_by_the_wall_clock_on_either_side_of_a_change() -> None:
    assert opens(WEEKDAYS, berlin("2026-03-27T20:00")) == utc("2026-03-30T07:00")
    assert opens(WEEKDAYS, berlin("2026-10-23T20:00")) == utc("2026-10-26T08:00")


ZONES = [
    "UTC",
    BERLIN,
    "America/New_York",
    "America/Havana",  # midnight comes twice
    "Africa/Cairo",  # there is no midnight
    "Australia/Lord_Howe",  # half an hour
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "America/Santiago",
]
CHANGES = ["2026-03-08", "2026-03-29", "2026-04-05", "2026-04-24", "2026-09-06", "2026-09-27", "2026-10-04"]
CHANGES += ["2026-10-25", "2026-10-30", "2026-11-01"]
openings = st.builds(
    lambda days, a, b: Opening(tuple(sorted(days)), 15 * min(a, b), 15 * max(a, b) + 15),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 95),
    st.integers(0, 95),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(openings, min_size=1, max_size=3),
    st.sampled_from(CHANGES),
    st.integers(-1500, 1500),
    st.lists(st.tuples(st.integers(-2000, 2000), st.integers(1, 400)), max_size=2),
    st.booleans(),
)
def test_every_minute_is_as_the_wall_clock_says_and_the_next_change_is_the_first_one(
    zone: str, hours: list[Opening], day: str, minutes: int, entries: list[tuple[int, int]], frozen: bool
) -> None:
    middle = utc(f"{day}T00:00")
    periods = [Period(middle + a * MINUTE, middle + (a + b) * MINUTE, "x") for a, b in entries]
    freezes = (Freeze(middle.date(), middle.date()),) if frozen else ()
    window = Window(tuple(hours), zone, freezes)
    now = middle + minutes * MINUTE

    def wall(at: datetime) -> bool:
        local = at.astimezone(ZoneInfo(zone))
        minute = local.hour * 60 + local.minute
        if any(one.start <= at < one.end for one in periods) or (frozen and local.date() == middle.date()):
            return False
        return any(local.weekday() in one.weekdays and one.start <= minute < one.end for one in hours)

    assert (closed(window, now, periods) == "") is wall(now)
    search = (opens if not wall(now) else closes)(window, now, periods)
    step = now
    for _ in range(2880):
        step += MINUTE
        if wall(step) is not wall(now):
            assert search == step
            return
    assert search is None or search > step


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(0, 47), st.integers(1, 8))
def test_a_window_is_open_for_as_long_as_its_hours_on_a_day_without_a_change_and_else_by_the_change_more_or_less(
    zone: str, day: str, hour: int, long: int
) -> None:
    start, end = 30 * hour, min(30 * (hour + long), 1440)
    window = Window((Opening(DAILY, start, end),), zone)
    noon = utc(f"{day}T12:00") - timedelta(days=3)
    for _ in range(6):
        opened = opens(window, noon)
        assert opened is not None
        ended = closes(window, opened)
        assert ended is not None
        assert timedelta(0) < ended - opened <= timedelta(minutes=end - start + 60) or end - start == 1440
        noon = ended


# --- what a plan says

HOUR = timedelta(hours=1)
TUESDAY = berlin("2026-11-24T10:00")


def said(at: datetime, shortest: timedelta, longest: timedelta, policy: WhenClosed = WhenClosed.HOLD) -> str:
    window = Window(WEEKDAYS.openings, BERLIN, when_closed=policy)
    return "\n".join(notes(window, Seen(at), shortest, longest))


def test_a_plan_that_fits_says_when_the_window_closes() -> None:
    assert said(TUESDAY, HOUR, 2 * HOUR) == "the window closes Tue 17:00 Europe/Berlin; this fits inside, also at worst"


@pytest.mark.parametrize(
    ("policy", "follows"),
    [
        (WhenClosed.HOLD, "it holds at the weight it has, and goes back"),
        (WhenClosed.ROLL_BACK, "then it goes back"),
        (WhenClosed.FINISH, "what began by then is finished all the same"),
    ],
)
def test_a_plan_that_does_not_fit_says_what_follows(policy: WhenClosed, follows: str) -> None:
    text = said(TUESDAY, 8 * HOUR, 9 * HOUR, policy)
    assert follows in text and "Tue 17:00 Europe/Berlin" in text
    assert text.startswith("WARNING") is (policy is not WhenClosed.FINISH)
    maybe = said(TUESDAY, HOUR, 9 * HOUR, policy)
    assert not maybe.startswith("WARNING") and follows in maybe


def test_a_plan_that_is_made_while_the_window_is_closed_warns_and_reckons_from_its_opening() -> None:
    first, second = said(berlin("2026-11-28T12:00"), 9 * HOUR, 10 * HOUR).splitlines()
    assert first == ("WARNING: the window is closed now: outside the deployment window; opens Mon 09:00 Europe/Berlin")
    assert said(berlin("2026-11-28T12:01"), 9 * HOUR, 10 * HOUR).splitlines() == [first, second], "and the same hash"
    assert "closes Mon 17:00 Europe/Berlin again (open from Mon 09:00" in second and second.startswith("WARNING")


def test_a_later_stage_reckons_from_when_it_can_begin() -> None:
    (first, _) = notes(WEEKDAYS, Seen(berlin("2026-11-24T16:30"), after=HOUR), HOUR, HOUR)
    assert first.startswith("WARNING: the window is closed when this begins, 1 h from now at the earliest")


def test_what_is_not_known_is_said_and_so_is_an_old_copy() -> None:
    (unknown,) = notes(WEEKDAYS, Seen(TUESDAY, unknown="the calendar is down"), HOUR, HOUR)
    assert unknown.startswith("WARNING") and "the calendar is down" in unknown
    (old,) = notes(WEEKDAYS, Seen(TUESDAY, Entries((), "by a copy of 09:00")), HOUR, HOUR)
    assert "(by a copy of 09:00)" in old
