"""Is one flag moved for whoever asks, unless that gets in the way of a rollout or past a gate, and is it on record?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.engine.stories import Story, play, revision, stage

from interlock.adapters.memory import EPOCH
from interlock.adapters.memory_flags import MemoryFlags, stood
from interlock.core.audit import Act, examine
from interlock.core.conditions import Conditions, Override
from interlock.core.flag import Captured, Flag, FlagFile, FlagUse, Unleash
from interlock.core.incidents import Flagged, Incident, Incidents
from interlock.core.lock import Lock, Locked
from interlock.core.phase import Phase
from interlock.core.record import restore
from interlock.core.rollout import Rollout, begin
from interlock.core.steps import GateName
from interlock.core.toggle import FlagHeld, Toggle, Toggled, understood
from interlock.core.window import Opening, Window
from interlock.engine.ports import Outside, Ports
from interlock.engine.toggle import toggle
from interlock.ports.flags import FlagsError, Unmovable
from interlock.ports.store import Entry, StoreError

NEW = Flag("new", Unleash("http://u", "production", "token-1"))
CLOSED = Window((Opening(((EPOCH.weekday() + 1) % 7,)),))


class Desk:
    """One flag and whoever keeps it, in the world of a story."""

    def __init__(self, story: Story) -> None:
        self.story, self.flags = story, MemoryFlags({NEW: stood(False, 50)})
        around = story.around
        world = story.world
        self.ports = Ports(
            world,
            world,
            world,
            world,
            story.store,
            world,
            world,
            outside=Outside(around, around, around, around, around),
            flags=self.flags,
        )

    async def asks(self, action: str, percentage: int | None = None, **more: Any) -> Toggled:
        return await toggle(self.ports, wanted(action, percentage, **more))

    async def acts(self) -> list[Act]:
        return [row.act for row in await self.story.store.audit() if row.act.kind == "flag"]


def wanted(action: str, percentage: int | None = None, **more: Any) -> Toggle:
    return Toggle("shop", "production", NEW, *understood(action, percentage), "ada", **more)


def at_the_desk(tell: Callable[[Desk], Awaitable[None]]) -> None:
    async def told(story: Story) -> None:
        desk = Desk(story)
        await tell(desk)
        rows, lines = await story.store.audited()
        assert not examine(rows, journal=lines).troubles

    play(told)


async def under_way(desk: Desk, flag: Flag = NEW, phase: Phase = Phase.WATCHING) -> Rollout:
    """Have a rollout under way that moves the flag; it has captured how it stood."""
    made = replace(stage(revision("v2"), revision("v1")), flags=(FlagUse(flag),))
    before = desk.flags.flags[NEW]
    rollout = replace(
        begin("shop-7.production", "shop-7", "hash", made, EPOCH), flags=(Captured(flag, before, before),)
    )
    await desk.story.store.begin(rollout, Entry(EPOCH, "began", "", {}))
    await desk.story.store.save(replace(rollout, phase=phase), await desk.story.store.claim(rollout.id, "keeper"))
    return rollout


def test_a_flag_is_given_to_a_percentage_of_users_and_enabled_and_read_back() -> None:
    async def tell(desk: Desk) -> None:
        done = await desk.asks("update_strategy", 5)
        assert (done.before, done.now) == (stood(False, 50), stood(True, 5))
        assert desk.flags.peak(NEW) == 5, "never passing through more"
        assert (done.taken, done.rollout) == ("", "")

    at_the_desk(tell)


def test_without_a_percentage_a_flag_is_enabled_at_the_one_that_it_has() -> None:
    async def tell(desk: Desk) -> None:
        assert (await desk.asks("enable")).now == stood(True, 50)
        assert (await desk.asks("disable")).now == stood(False, 50)
        assert (await desk.asks("update_strategy", 0)).now == stood(False, 50)

    at_the_desk(tell)


def test_whoever_asks_to_wait_is_answered_when_clients_must_know() -> None:
    async def tell(desk: Desk) -> None:
        begun = desk.story.world.monotonic()
        assert "clients read every 15 s" in (await desk.asks("enable", 5, wait=True)).taken
        assert desk.story.world.monotonic() - begun >= 15

    at_the_desk(tell)


def test_it_is_in_the_audit_with_who_by_what_before_and_after() -> None:
    async def tell(desk: Desk) -> None:
        await desk.asks("update_strategy", 5, channel="mcp")
        await desk.asks("disable")
        asked, on, off = await desk.acts()
        assert (asked.by, asked.channel, asked.subject) == ("ada", "mcp", "shop")
        assert asked.text == (
            "flag new in production: update_strategy at 5% asked for by ada; it is disabled at 50%"
        ), "what gives more users a feature is written down before it is done"
        assert on.text == "flag new in production is enabled at 5%; it was disabled at 50% (by ada)"
        assert (on.data["before"]["enabled"], on.data["now"]["percentage"], on.data["action"]) == (
            False,
            5,
            "update_strategy",
        )
        assert off.text == "flag new in production is disabled at 5%; it was enabled at 5% (by ada)"

    at_the_desk(tell)


def test_a_flag_that_a_rollout_has_is_left_to_it_and_it_is_said_what_to_do() -> None:
    async def tell(desk: Desk) -> None:
        await under_way(desk)
        for action, percentage in (("enable", None), ("update_strategy", 5), ("update_strategy", 1)):
            with pytest.raises(
                FlagHeld, match=r"belongs to shop-7.production \(of v2, watching\).*abort shop-7.*--off"
            ):
                await desk.asks(action, percentage)
        assert desk.flags.changes == []

    at_the_desk(tell)


def test_it_is_the_same_flag_by_whatever_token_and_from_whichever_of_our_environments() -> None:
    async def tell(desk: Desk) -> None:
        await under_way(desk, Flag("new", Unleash("http://u", "production", "another-token")))
        with pytest.raises(FlagHeld):
            await desk.asks("enable", 5)

    at_the_desk(tell)


@pytest.mark.parametrize(
    "other", [Flag("other", NEW.source), Flag("new", Unleash("http://u", "development")), Flag("new", FlagFile("/f"))]
)
def test_a_rollout_holds_no_other_flags(other: Flag) -> None:
    async def tell(desk: Desk) -> None:
        await under_way(desk, other)
        assert (await desk.asks("enable", 5)).now == stood(True, 5)

    at_the_desk(tell)


def test_a_rollout_that_is_over_holds_nothing() -> None:
    async def tell(desk: Desk) -> None:
        await under_way(desk, phase=Phase.SUCCEEDED)
        assert (await desk.asks("enable", 5)).rollout == ""

    at_the_desk(tell)


def test_to_turn_off_is_the_way_to_safety_also_in_mid_rollout_and_its_journal_says_so() -> None:
    async def tell(desk: Desk) -> None:
        before = desk.flags.flags[NEW]
        rollout = await under_way(desk)
        desk.flags.by_hand(NEW, stood(True, 25))
        done = await desk.asks("disable", channel="mcp")
        assert (done.now, done.rollout) == (stood(False, 25), rollout.id)
        (line,) = [one for one in await desk.story.store.entries(rollout.id) if one.kind == "flag"]
        assert line.text == "new: disabled at 25%, by ada, not by this rollout"
        assert restore(type(before), line.data["before"]) == before, "as it stood before the rollout"
        assert restore(type(before), line.data["now"]) == done.now
        (act,) = await desk.acts()
        assert (act.subject, act.by, act.channel) == (rollout.id, "ada", "mcp"), "once, by the journal's line"

    at_the_desk(tell)


def on_fire(desk: Desk) -> Conditions:
    desk.story.around.fires.append(Incident("INC-1", "the till burns", EPOCH))
    return Conditions(incidents=Incidents((Flagged("/fire"),)))


def test_during_an_incident_no_more_users_get_a_feature_and_fewer_always_may() -> None:
    async def tell(desk: Desk) -> None:
        conditions = on_fire(desk)
        with pytest.raises(FlagHeld, match=r"more users of production now: gate no-incident: .*INC-1.*down or off"):
            await desk.asks("enable", 5, conditions=conditions)
        assert desk.flags.changes == [] and await desk.acts() == []
        desk.flags.by_hand(NEW, stood(True, 50))
        assert (await desk.asks("update_strategy", 5, conditions=conditions)).now == stood(True, 5)
        assert (await desk.asks("disable", conditions=conditions)).now == stood(False, 5)

    at_the_desk(tell)


def test_whoever_says_nothing_of_incidents_has_not_said_that_there_is_none() -> None:
    async def tell(desk: Desk) -> None:
        conditions = Conditions(incidents=Incidents((Flagged("/fire"),)))
        desk.story.around.fails["incidents"] = OSError("gone")
        with pytest.raises(FlagHeld, match="whether there is an incident is not known"):
            await desk.asks("enable", 5, conditions=conditions)

    at_the_desk(tell)


def test_outside_of_the_window_more_users_need_a_reason_which_is_on_record() -> None:
    async def tell(desk: Desk) -> None:
        conditions = Conditions(window=CLOSED)
        with pytest.raises(FlagHeld, match=r"gate window: .*--override window"):
            await desk.asks("enable", 5, conditions=conditions)
        word = Override(GateName.WINDOW, "ada (unproven)", "the fair begins", EPOCH)
        await desk.asks("enable", 5, conditions=replace(conditions, overrides=(word,)))
        asked, done = await desk.acts()
        for one in (asked, done):
            assert one.text.endswith("; gate window overridden by ada (unproven): the fair begins")
        assert done.data["overrides"][0]["reason"] == "the fair begins"

    at_the_desk(tell)


def test_while_the_service_is_locked_no_more_users_get_a_feature() -> None:
    async def tell(desk: Desk) -> None:
        await desk.story.store.lock(Lock("shop", "grace", desk.story.world.now(), "the database moves"))
        with pytest.raises(Locked):
            await desk.asks("enable", 5)
        assert (await desk.asks("disable")).now == stood(False, 50)

    at_the_desk(tell)


def test_a_flag_that_cannot_be_moved_safely_is_refused_with_what_to_do() -> None:
    async def tell(desk: Desk) -> None:
        desk.flags.unmovable["new"] = "it has 2 active strategies: leave one"
        with pytest.raises(Unmovable, match="leave one"):
            await desk.asks("enable", 5)
        assert await desk.acts() == [] and desk.flags.changes == []

    at_the_desk(tell)


def test_a_change_of_which_nobody_can_say_whether_it_was_made_is_on_record_as_that() -> None:
    async def tell(desk: Desk) -> None:
        desk.flags.lost.add("turn_on")
        with pytest.raises(FlagsError):
            await desk.asks("enable", 5)
        assert (await desk.acts())[-1].text.startswith(
            "flag new in production: enable at 5% asked for by ada, and not confirmed: "
        )

    at_the_desk(tell)


def test_what_cannot_be_seen_is_turned_off_all_the_same_and_nothing_else_is_done_to_it() -> None:
    async def tell(desk: Desk) -> None:
        desk.flags.by_hand(NEW, stood(True, 50))
        desk.flags.fails.update(look=FlagsError("half down"), check=FlagsError("half down"))
        with pytest.raises(FlagsError, match="half down"):
            await desk.asks("update_strategy", 5)
        done = await desk.asks("disable")
        assert (done.before, done.now) == (None, stood(False, 50))
        assert (await desk.acts())[-1].text.startswith("flag new in production is disabled at 50%; how it stood before")

    at_the_desk(tell)


def test_a_full_disk_keeps_more_users_from_a_feature_and_nobody_from_turning_it_off() -> None:
    async def tell(desk: Desk) -> None:
        async def full(act: Act) -> None:
            raise StoreError("no space left on device")

        desk.story.store.act = full  # type: ignore[method-assign]
        with pytest.raises(StoreError):
            await desk.asks("enable", 5)
        assert desk.flags.changes == []
        assert (await desk.asks("disable")).now == stood(False, 50)

    at_the_desk(tell)


def test_one_that_hangs_is_given_up_in_a_few_seconds() -> None:
    async def tell(desk: Desk) -> None:
        desk.flags.hangs["turn_off"] = desk.flags.patience = timedelta(hours=1)
        begun = desk.story.world.monotonic()
        with pytest.raises(FlagsError):
            await desk.asks("disable")
        assert desk.story.world.monotonic() - begun < 30

    at_the_desk(tell)
