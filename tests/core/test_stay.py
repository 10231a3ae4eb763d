"""How long has a rollout stood where it is?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.engine.stories import revision, stage

from interlock.adapters.memory import EPOCH
from interlock.core.events import Done, Held, Order, OrderKind
from interlock.core.phase import Phase
from interlock.core.record import plain, restore
from interlock.core.rollout import Rollout, begin, timed
from interlock.core.stay import Stay
from interlock.core.transitions import advance

BOOT = "boot-1"


def rollout() -> Rollout:
    begun = begin("shop-1-production", "shop-1", "hash", stage(revision("2"), revision("1")), EPOCH)
    return replace(begun, stay=Stay(BOOT, 100.0))


def order(kind: OrderKind) -> Order:
    return Order(EPOCH, kind, "ada", kind.value)


def test_a_new_step_begins_to_count_at_nothing() -> None:
    before = rollout()
    after = timed(before, advance(before, Done(EPOCH, 0)), BOOT, 160.0)
    assert after.stay == Stay(BOOT, 160.0)


def test_a_step_that_holds_goes_on_counting() -> None:
    before = rollout()
    after = timed(before, advance(before, Held(EPOCH, 0, "a gate is closed")), BOOT, 160.0)
    assert after.phase is Phase.WAITING
    assert after.stay is not None and after.stay.lasted(BOOT, 160.0) == timedelta(seconds=60)


def test_a_pause_counts_by_itself_and_the_step_goes_on_where_it_was_put_off() -> None:
    before = rollout()
    paused = timed(before, advance(before, order(OrderKind.PAUSE)), BOOT, 160.0)
    assert paused.stay is not None and paused.stay.lasted(BOOT, 170.0) == timedelta(seconds=10)
    resumed = timed(paused, advance(paused, order(OrderKind.RESUME)), BOOT, 1000.0)
    assert resumed.stay is not None and resumed.stay.lasted(BOOT, 1005.0) == timedelta(seconds=65)


def test_a_rollout_that_turns_back_counts_anew() -> None:
    before = rollout()
    after = timed(before, advance(before, order(OrderKind.ABORT)), BOOT, 160.0)
    assert after.stay == Stay(BOOT, 160.0)


def test_an_order_heard_twice_changes_nothing() -> None:
    before = rollout()
    paused = timed(before, advance(before, order(OrderKind.PAUSE)), BOOT, 160.0)
    assert timed(paused, advance(paused, order(OrderKind.PAUSE)), BOOT, 170.0) is paused


def test_a_stay_goes_on_in_another_boot_from_what_is_known_of_it() -> None:
    stay = Stay(BOOT, 100.0, timedelta(seconds=5))
    assert stay.lasted("boot-2", 3.0) == timedelta(seconds=5)
    again = stay.taken_over("boot-2", 3.0)
    assert again.lasted("boot-2", 4.0) == timedelta(seconds=6)


def test_of_a_time_in_which_nobody_drove_only_half_a_minute_counts() -> None:
    stay = Stay(BOOT, 100.0, timedelta(seconds=5))
    assert stay.taken_over(BOOT, 110.0).lasted(BOOT, 111.0) == timedelta(seconds=16)
    assert stay.taken_over(BOOT, 4000.0).lasted(BOOT, 4001.0) == timedelta(seconds=36)


def test_a_stay_is_stored_with_its_rollout_and_an_old_record_has_none() -> None:
    record = plain(rollout())
    assert restore(Rollout, record).stay == Stay(BOOT, 100.0)
    del record["stay"]
    assert restore(Rollout, record).stay is None
