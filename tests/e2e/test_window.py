"""Does a real keeper keep to the window and wait for those on call, and is what a person excused loud in the report?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adapters.calendar.feed_files import feed
from tests.e2e.town import Town

from interlock.adapters.store.sqlite import SQLite
from interlock.app.check import Asked, check, of_stage
from interlock.app.duty import token
from interlock.app.planner import NONE
from interlock.app.verbs import Blocked
from interlock.config import load
from interlock.core.approval import Policy
from interlock.core.conditions import Conditions, Override
from interlock.core.link import LinkError
from interlock.core.news import Kind, News
from interlock.core.on_call import OnCall, Person, Rota
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage
from interlock.core.release import Artefact
from interlock.core.steps import Gate, GateName, Until, Watch
from interlock.core.window import Opening, Window

FILE = """\
service: shop
command: [serve]
environments:
  staging: {port: 18001}
  production:
    port: 18000
    gates:
      window: {open: [daily], calendar: freezes.ics, timezone: Europe/Berlin}
      on_call: {calendar: rota.ics, acknowledge: true}
"""
ALWAYS = "DTSTART:20200101T000000Z|DTEND:20990101T000000Z"
DAILY = (Opening(tuple(range(7))),)


async def planned(town: Town, conditions: Conditions) -> Plan:
    plan = await town.plan(town.wish())
    (stage,) = plan.stages
    gates = tuple(Gate(name, timedelta(seconds=20 if name is GateName.ON_CALL else 2)) for name in conditions.gates)
    return replace(plan, stages=(replace(stage, steps=(*gates, *stage.steps), conditions=conditions),))


async def test_a_closed_window_is_said_by_check_holds_a_release_and_what_overrides_it_is_in_the_report(
    town: Town,
) -> None:
    place = town.place
    (place / "interlock.yaml").write_text(FILE)
    (place / "freezes.ics").write_text(feed(f"SUMMARY:the sale|{ALWAYS}"))
    (place / "rota.ics").write_text(feed(f"SUMMARY:Ada <ada@example.org>|{ALWAYS}"))
    file = load(place / "interlock.yaml")
    said = {
        one.gate: one.answer async for one in check(town.state, file, None, NONE) if one.environment == "production"
    }
    assert not said[GateName.WINDOW].open and "the sale; does not open within 60 days" in said[GateName.WINDOW].reason
    assert said[GateName.ON_CALL].open and said[GateName.ON_CALL].reason.startswith("Ada; one of them must acknowledge")

    conditions = Conditions(window=Window(DAILY, "Europe/Berlin", calendar=str(place / "freezes.ics")))
    ended = await town.over(await town.app.start(await planned(town, conditions)))
    assert ended.phase is Phase.ROLLED_BACK and not ended.exposed and "the sale" in ended.reason

    word = Override(GateName.WINDOW, "ada (unproven)", "the shop is down, and this brings it back", datetime.now(UTC))
    run = await town.app.start(await planned(town, replace(conditions, overrides=(word,))))
    assert (await town.over(run)).phase is Phase.SUCCEEDED, await town.story(run)
    report = await town.app.report(run)
    assert "BREAK-GLASS" in report and "the shop is down, and this brings it back" in report and "the sale" in report


async def test_check_says_of_the_way_back_what_can_be_known_and_changes_nothing(town: Town) -> None:
    plan = await town.plan(town.wish())
    (stage,) = plan.stages
    approve = Watch(timedelta(0), Until.APPROVED, timedelta(hours=1))
    policy = Policy("approvers", needed=2)
    asked = replace(stage, steps=(approve, *stage.steps), conditions=Conditions(approvals=policy))

    async def said(of: Stage) -> dict[str, Asked]:
        store = SQLite(town.state.database)
        try:
            return {one.gate: one async for one in of_stage(town.state, store, of)}
        finally:
            store.close()

    found = await said(asked)
    ready = found[GateName.ROLLBACK_READY]
    assert ready.asked and ready.answer.open and "instances are healthy at the proxy" in ready.answer.reason
    assert "2 of those listed in approvers must approve" in found["approval"].answer.reason
    assert not found["approval"].asked
    old = stage.replaces
    assert old is not None
    lost = replace(old, release=replace(old.release, artefact=Artefact("sha256:" + "0" * 64, "git 0")))
    ready = (await said(replace(stage, replaces=lost)))[GateName.ROLLBACK_READY]
    assert ready.asked and not ready.answer.open and "could not be started again" in ready.answer.reason
    down = replace(old, name="production-00000000-9")
    ready = (await said(replace(stage, replaces=down)))[GateName.ROLLBACK_READY]
    assert not ready.asked and "0 of" in ready.answer.reason and "a deploy brings it up first" in ready.answer.reason


async def test_a_release_waits_until_somebody_on_call_has_acknowledged_it_by_their_link(town: Town) -> None:
    rota = Path(town.place) / "rota.ics"
    rota.write_text(feed(f"SUMMARY:Ada <ada@example.org>|{ALWAYS}"))
    conditions = Conditions(on_call=OnCall(Rota(str(rota)), acknowledge=True, within=timedelta(minutes=5)))
    plan = await planned(town, conditions)
    run = await town.app.start(plan)
    waits = await town.until(run, lambda one: one.phase is Phase.WAITING, "it waits for those on call")
    with pytest.raises(Blocked, match="mallory is not on call now; on call is Ada"):
        await town.app.acknowledge(run, "mallory")
    news = News(plan, waits, Kind.STARTED, 1, datetime.now(UTC), "")
    link = token(town.state.secrets, news, Person("Ada", "ada@example.org"))
    with pytest.raises(LinkError, match="is not from here"):
        await town.app.acknowledge(run, token=link[:-3])
    other = token(town.state.secrets, replace(news, rollout=replace(waits, id="shop-0-production")), Person("Ada"))
    with pytest.raises(LinkError, match="this link is for shop-0-production"):
        await town.app.acknowledge(run, token=other)
    after = await town.app.acknowledge(None, token=link)
    assert after.acknowledged is not None and (after.acknowledged.by, after.acknowledged.channel) == (
        "Ada",
        "signed link",
    )
    again = await town.app.acknowledge(None, token=link)
    assert again.acknowledged == after.acknowledged
    assert (await town.over(run)).phase is Phase.SUCCEEDED, await town.story(run)
    report = await town.app.report(run)
    assert "acknowledged by Ada, on call (by signed link)" in report and link not in report
