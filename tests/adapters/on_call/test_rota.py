"""Is whoever a calendar names on call, several at once, and nobody when it cannot be read?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adapters.calendar.feed_files import feed

from interlock.adapters.on_call.rota import Rotas
from interlock.core.on_call import Person, Rota
from interlock.ports.on_call import OnCallError

NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)
SOON = timedelta(seconds=30)
NOON = "DTSTART:20261124T100000Z|DTEND:20261124T120000Z"


async def people(place: Path, *events: str, at: datetime = NOW, zone: str = "UTC") -> tuple[Person, ...]:
    path = place / "rota.ics"
    path.write_text(feed(*events))
    return await Rotas().people(Rota(str(path), zone), at, SOON)


async def test_events_are_named_after_people_and_several_at_once_are_several_people(tmp_path: Path) -> None:
    found = await people(tmp_path, f"SUMMARY:ada|{NOON}", f"SUMMARY:grace|{NOON}", f"SUMMARY:ada|{NOON}")
    assert found == (Person("ada"), Person("grace"))


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ("SUMMARY:Ada Lovelace <ada@example.org>", (Person("Ada Lovelace", "ada@example.org"),)),
        ("SUMMARY:ada|ATTENDEE:mailto:ada@example.org", (Person("ada", "ada@example.org"),)),
        ("SUMMARY:ada\\, grace", (Person("ada"), Person("grace"))),
        ("SUMMARY:ada & grace|ATTENDEE:mailto:ada@example.org", (Person("ada"), Person("grace"))),
        ("SUMMARY:ada|ATTENDEE:mailto:a@x.org|ATTENDEE:mailto:b@x.org", (Person("ada"),)),
        ("SUMMARY:", ()),
    ],
)
async def test_who_is_meant_and_how_they_are_reached(tmp_path: Path, event: str, found: tuple[Person, ...]) -> None:
    assert await people(tmp_path, f"{event}|{NOON}") == found


async def test_shifts_meet_without_a_gap_and_between_them_is_nobody(tmp_path: Path) -> None:
    weekly = "RRULE:FREQ=WEEKLY;INTERVAL=2"
    ada = f"SUMMARY:ada|DTSTART;VALUE=DATE:20261116|DTEND;VALUE=DATE:20261123|{weekly}"
    grace = f"SUMMARY:grace|DTSTART;VALUE=DATE:20261123|DTEND;VALUE=DATE:20261129|{weekly}"
    at = datetime(2026, 11, 22, 22, 59, 59, tzinfo=UTC)
    assert await people(tmp_path, ada, grace, at=at, zone="Europe/Berlin") == (Person("ada"),)
    at += timedelta(seconds=1)
    assert await people(tmp_path, ada, grace, at=at, zone="Europe/Berlin") == (Person("grace"),)
    assert await people(tmp_path, ada, grace, at=datetime(2026, 11, 29, 12, tzinfo=UTC)) == ()
    assert await people(tmp_path, ada, grace, at=datetime(2026, 12, 1, 12, tzinfo=UTC)) == (Person("ada"),)


async def test_a_rota_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rota.ics"
    path.write_text("<html>")
    with pytest.raises(OnCallError, match=r"rota.ics: is no iCalendar feed"):
        await Rotas().people(Rota(str(path)), NOW, SOON)
