"""What may be declared about the world around a release, and what is said when it may not?"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from interlock.config.document import FileError, parse
from interlock.config.load import understand
from interlock.core import checks, incidents, on_call
from interlock.core.channel import Apprise, Webhook
from interlock.core.conditions import Conditions
from interlock.core.incidents import Mine
from interlock.core.record import plain, restore
from interlock.core.steps import GateName
from interlock.core.window import Freeze, Opening, WhenClosed

PATH = Path("/project/interlock.yaml")
FILE = """service: shop
command: [serve]
environments:
  staging: {{port: 8001}}
  production:
    port: 8000
    gates: {gates}
"""


def declared(gates: str) -> Conditions:
    return understand(parse(FILE.format(gates=gates), PATH.name), PATH).production.conditions


def refused(gates: str) -> str:
    with pytest.raises(FileError) as caught:
        declared(gates)
    return str(caught.value)


@pytest.mark.parametrize("page", ["window.md", "on-call.md"])
def test_what_the_manual_shows_is_understood(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert understand(parse(example, PATH.name), PATH).production.conditions.gates


def test_nothing_is_asked_that_is_not_declared() -> None:
    assert declared("{}") == Conditions()
    assert understand(parse(FILE.format(gates="{}"), PATH.name), PATH).staging[0].conditions.gates == ()


def test_gates_are_asked_the_cheapest_first() -> None:
    everything = (
        "{tests: {junit: r.xml}, incidents: {file: on-fire}, window: {open: [daily]}, on_call: {people: [ada]}}"
    )
    assert declared(everything).gates == (GateName.WINDOW, GateName.NO_INCIDENT, GateName.ON_CALL, GateName.TESTS)


def test_paths_begin_at_the_file_and_addresses_do_not() -> None:
    found = declared("{tests: {junit: build/r.xml, command: [make, check]}, window: {open: [daily], calendar: f.ics}}")
    assert found.tests == checks.Checks(
        (checks.JUnit("/project/build/r.xml"), checks.Command(("make", "check"), "/project"))
    )
    assert found.window is not None and found.window.calendar == "/project/f.ics"
    web = declared("{window: {open: [daily], calendar: 'https://c.example/f.ics'}}").window
    assert web is not None and web.calendar == "https://c.example/f.ics"


def test_tokens_are_references_until_they_are_sealed() -> None:
    found = declared("{incidents: {pagerduty: {token: env:PD}}, tests: {github: {repository: a/b, token: file:t}}}")
    assert set(found.references()) == {"env:PD", "file:/project/t"}
    sealed = found.sealed({"env:PD": "f1", "file:/project/t": "f2"})
    assert set(sealed.references()) == {"f1", "f2"}


def test_what_an_incident_of_ours_does_is_a_policy() -> None:
    assert declared("{incidents: {file: f}}").incidents == incidents.Incidents((incidents.Flagged("/project/f"),))
    held = declared("{incidents: {file: f, mine: hold}}").incidents
    assert held is not None and held.mine is Mine.HOLD


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("mon-fri 09:00-17:00", Opening((0, 1, 2, 3, 4), 540, 1020)),
        ("sat,sun 10:00-12:30", Opening((5, 6), 600, 750)),
        ("fri-mon 8:00-24:00", Opening((0, 4, 5, 6), 480, 1440)),
        ("daily", Opening(tuple(range(7)))),
        ("weekdays 09:00-17:00", Opening((0, 1, 2, 3, 4), 540, 1020)),
        ("Wednesday 09:00-17:00", Opening((2,), 540, 1020)),
    ],
)
def test_hours_are_written_as_people_write_them(text: str, opening: Opening) -> None:
    window = declared(f"{{window: {{open: ['{text}']}}}}").window
    assert window is not None and window.openings == (opening,)


def test_freezes_have_both_their_days() -> None:
    frozen = declared(
        "{window: {open: [daily], freezes: [{from: 2026-12-20, to: 2027-01-03}], when_closed: finish}}"
    ).window
    assert frozen is not None
    assert frozen.freezes == (Freeze(date(2026, 12, 20), date(2027, 1, 3)),)
    assert frozen.when_closed is WhenClosed.FINISH


def test_a_rota_has_its_address_and_whose_days_it_means() -> None:
    found = declared("{on_call: {calendar: 'webcal://c.example/r.ics', timezone: Europe/Berlin}}").on_call
    assert found is not None
    assert found.source == on_call.Rota("webcal://c.example/r.ics", "Europe/Berlin")
    path = declared("{on_call: {calendar: rota.ics}}").on_call
    assert path is not None and path.source == on_call.Rota("/project/rota.ics", "UTC")


def test_a_calendars_address_may_be_a_secret_and_is_only_its_fingerprint_in_a_plan() -> None:
    found = declared(
        "{window: {open: [daily], calendar: env:FREEZES}, on_call: {calendar: 'file:rota.url', timezone: Asia/Tokyo}}"
    )
    assert set(found.references()) == {"env:FREEZES", "file:/project/rota.url"}
    sealed = found.sealed({"env:FREEZES": "f1", "file:/project/rota.url": "f2"})
    assert sealed.window is not None and sealed.on_call is not None
    assert (sealed.window.calendar, sealed.window.calendar_secret, sealed.window.looked_up) == ("", "f1", True)
    assert sealed.on_call.source == on_call.Rota("", "Asia/Tokyo", "f2")
    assert restore(Conditions, plain(sealed)) == sealed


def test_people_are_reached_by_what_stands_for_them_by_their_name_or_address() -> None:
    ways = "apprise: env:GRACE, webhook: {url: 'https://p.example/g', secret: env:KEY}"
    reach = f"{{ada: ada@example.org, Grace: {{mail: g@example.org, {ways}}}, h@example.org: {{webhook: 'file:hedy'}}}}"
    found = declared(f"{{on_call: {{people: [ada, grace], reach: {reach}}}}}")
    assert set(found.references()) == {"env:GRACE", "env:KEY", "file:/project/hedy"}
    sealed = found.sealed({"env:GRACE": "f1", "env:KEY": "f2", "file:/project/hedy": "f3"})
    call = sealed.on_call
    assert call is not None and restore(Conditions, plain(sealed)) == sealed
    assert call.reaches(on_call.Person("Ada")) == on_call.Reach("ada", "ada@example.org")
    by = (Apprise("f1"), Webhook("https://p.example/g", key_secret="f2"))
    assert call.reaches(on_call.Person("grace", "g@else.example")) == on_call.Reach("Grace", "g@example.org", by)
    assert call.reaches(on_call.Person("Hedy", "H@example.org")) == on_call.Reach(
        "h@example.org", by=(Webhook(url_secret="f3"),)
    )
    assert call.reaches(on_call.Person("mallory", "m@example.org")) is None and call.reaches(on_call.Person("")) is None


@pytest.mark.parametrize("place", ["DE", "DE-BY", "US-CA", "GB-SCT", "DEU"])
def test_holidays_are_those_of_a_country_or_a_part_of_it(place: str) -> None:
    window = declared(f"{{window: {{open: [daily], holidays: {place}}}}}").window
    assert window is not None and window.holidays == place


def test_a_roster_turns_from_a_moment_on() -> None:
    found = declared("{on_call: {people: [ada, grace], start: '2026-01-05T09:00+01:00', every: 7d}}").on_call
    assert found is not None and isinstance(found.source, on_call.Roster)
    assert found.source.start == datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert found.source.every == timedelta(days=7)


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ("{tests: {github: {repository: shop}}}", "repository"),
        ("{tests: {junit: {path: ''}}}", "expected it not to be empty"),
        ("{incidents: {}}", "expected alertmanager, pagerduty, http or file, found none of them"),
        ("{incidents: {pagerduty: {token: secret-itself}}}", "expected a reference"),
        ("{incidents: {alertmanager: {url: 'ftp://x'}}}", "url"),
        ("{window: {open: []}}", "expected it not to be empty"),
        ("{window: {open: [mon-fri 17:00-09:00]}}", "write hours over midnight as two"),
        ("{window: {open: [mon-fry 09:00-17:00]}}", 'found the day "fry"'),
        ("{window: {open: [mon 25:00-26:00]}}", 'found the hour "25:00"'),
        ("{window: {open: [daily], timezone: Europe/Berln}}", 'did you mean "Europe/Berlin"?'),
        ("{window: {open: [daily], freezes: [{from: 2026-12-24, to: 2026-12-20}]}}", "on or after 2026-12-24"),
        ("{window: {open: [daily], freezes: [{from: tomorrow, to: 2026-12-20}]}}", "expected a day such as"),
        ("{window: {open: [daily], holidays: DD}}", 'found "DD"; with D there are DE, DJ'),
        ("{window: {open: [daily], holidays: Germany}}", 'found "Germany"; did you mean "DE"?'),
        ("{window: {open: [daily], holidays: de}}", 'did you mean "DE"?'),
        ("{window: {open: [daily], holidays: DE-BX}}", 'expected a part of DE, found "BX"; DE has BB, BE, BW, BY'),
        ("{window: {open: [daily], holidays: VA-XX}}", "the holidays of VA are the same everywhere"),
        ("{window: {open: [daily], calendar: 'ftp://c.example/f.ics'}}", "address that begins with https://"),
        ("{on_call: {calendar: 'ldap://c.example/f.ics'}}", "address that begins with https://"),
        ("{on_call: {calendar: c.ics, timezone: Mars/Base}}", "expected a time zone"),
        ("{on_call: {people: [ada], calendar: c.ics}}", "expected one of people, pagerduty, calendar"),
        ("{on_call: {people: [ada], every: 7d}}", "expected start and every together"),
        ("{on_call: {people: [ada], start: '2026-01-05T09:00', every: 7d}}", "with its offset from UTC"),
        ("{on_call: {people: [ada], reach: {ada: {}}}}", "expected mail, apprise or webhook, found none"),
        ("{on_call: {people: [ada], reach: {ada: {apprise: 'json://secret-itself'}}}}", "expected a reference"),
        ("{on_call: {people: [ada], reach: {ada: {webhook: 'https://x.example/?t=secret-itself'}}}}", "without a user"),
        ("{on_call: {people: [ada], reach: {ada: nobody}}}", "reach.ada"),
        ("{window: {open: [daily], calendar: 'env:secret-itself'}}", "expected a reference"),
        ("{on_cal: {people: [ada]}}", "on_call"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(gates: str, said: str) -> None:
    text = refused(gates)
    assert said in text
    assert "interlock.yaml:7:" in text
    assert "secret-itself" not in text
