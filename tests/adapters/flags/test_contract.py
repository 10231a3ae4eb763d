"""Does everybody who keeps flags move them as the port says: to the percentage asked for, never past it, and back?

One test for all: a real Unleash, a file of flags, and the memory that plays them for the engine's tests.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.adapters.flags.kept import InFile, InMemory, InUnleash, Kept

from interlock.core.flag import Flag, FlagState
from interlock.ports.flags import FlagsError, Unmovable

pytestmark = pytest.mark.timeout(180)  # the first test waits for Unleash to start

KINDS = ("unleash", "file", "memory")
STANDINGS = ((False, 100), (False, 10), (True, 10), (True, 100))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "unleash":
        return InUnleash(request.getfixturevalue("unleash"))
    return InFile(tmp_path) if request.param == "file" else InMemory()


async def test_a_flag_that_is_off_is_turned_on_at_a_percentage_and_seen_to_be(kind: Kept) -> None:
    flag = kind.create(100, on=False)
    assert (await kind.port.check(flag)).exposure == 0
    state = await kind.port.turn_on(flag, 5)
    assert (state.enabled, state.percentage, state.exposure) == (True, 5, 5)
    assert await kind.port.look(flag) == state
    await kind.close()


async def test_moving_the_percentage_moves_nothing_else(kind: Kept) -> None:
    flag = kind.create(1, on=True)
    before = await kind.port.look(flag)
    for percentage in (5, 25, 50, 100, 25):
        state = await kind.port.turn_on(flag, percentage)
        assert state.exposure == percentage
        assert said(state) == said(before)
    await kind.close()


async def test_turning_off_leaves_nobody_with_it_and_all_else_as_it_was(kind: Kept) -> None:
    flag = kind.create(30, on=True)
    before = await kind.port.look(flag)
    off = await kind.port.turn_off(flag)
    assert (off.enabled, off.exposure, off.percentage, said(off)) == (False, 0, 30, said(before))
    assert await kind.port.turn_off(flag) == off
    assert await kind.port.turn_on(flag, None) == before
    await kind.close()


async def test_one_that_is_to_stay_off_is_put_back_but_for_being_on(kind: Kept) -> None:
    flag = kind.create(30, on=True)
    before = await kind.port.look(flag)
    off = await kind.port.turn_off(flag)
    await kind.port.turn_on(flag, 5)
    for _ in range(2):
        assert await kind.port.restore(flag, before, off=True) == off
    await kind.close()


@pytest.mark.parametrize("then", STANDINGS, ids=str)
async def test_what_stood_is_put_back_exactly_wherever_it_went(kind: Kept, then: tuple[bool, int]) -> None:
    for now in STANDINGS:
        flag = kind.create(then[1], on=then[0])
        before = await kind.port.look(flag)
        await kind.port.turn_on(flag, now[1])
        if not now[0]:
            await kind.port.turn_off(flag)
        assert await kind.port.restore(flag, before) == before
        assert await kind.port.look(flag) == before
    await kind.close()


async def test_what_stands_as_it_is_asked_for_is_not_written(kind: Kept) -> None:
    flag = kind.create(20, on=True)
    state, writes = await kind.port.look(flag), kind.writes(flag)
    assert await kind.port.check(flag) == state
    assert await kind.port.turn_on(flag, 20) == state
    assert await kind.port.turn_on(flag, None) == state
    assert await kind.port.restore(flag, state) == state
    assert kind.writes(flag) == writes
    off = await kind.port.turn_off(flag)
    writes = kind.writes(flag)
    assert await kind.port.turn_off(flag) == off
    assert await kind.port.check(flag) == off
    assert kind.writes(flag) == writes
    await kind.close()


async def test_a_flag_that_there_is_not_is_named_whatever_is_asked(kind: Kept) -> None:
    flag = kind.unknown()
    state = await kind.port.look(kind.create(20, on=True))
    for asked in (
        kind.port.look(flag),
        kind.port.check(flag),
        kind.port.turn_off(flag),
        kind.port.turn_on(flag, 5),
        kind.port.turn_on(flag, None),
        kind.port.restore(flag, state),
    ):
        with pytest.raises(Unmovable, match="nobody-knows-it"):
            await asked
    await kind.close()


async def test_what_cannot_be_moved_safely_is_refused_before_anything_is_and_can_still_be_turned_off(
    kind: Kept,
) -> None:
    flag = kind.jammed()
    before, writes = await kind.port.look(flag), kind.writes(flag)
    assert before.exposure == 100, "nobody knows how many get it"
    for asked in (kind.port.check(flag), kind.port.turn_on(flag, 5)):
        with pytest.raises(Unmovable, match=f"{flag.name}.*: (leave|write|make|replace)|it has .*: leave"):
            await asked
    assert kind.writes(flag) == writes
    assert (await kind.port.turn_off(flag)).exposure == 0
    assert await kind.port.restore(flag, before) == before
    await kind.close()


async def test_a_change_by_hand_is_another_state_and_is_put_back_too(kind: Kept) -> None:
    flag = kind.create(20, on=True)
    ours = await kind.port.turn_on(flag, 30)
    kind.by_hand(flag, 31)
    assert (await kind.port.look(flag)).native != ours.native
    assert await kind.port.restore(flag, ours) == ours
    await kind.close()


async def test_clients_have_it_once_they_must_have_asked_again_and_how_that_is_known_is_said(kind: Kept) -> None:
    flag = kind.create(20, on=True)
    state = await kind.port.turn_on(flag, 30)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert "0.2 s" in await kind.port.taken(flag, state)
    assert loop.time() - began >= flag.source.refresh.total_seconds() - 0.01
    await kind.close()


async def test_no_client_is_said_to_have_what_somebody_changed_meanwhile(kind: Kept) -> None:
    if isinstance(kind, InMemory):
        return  # what it is told, it is told
    flag = kind.create(20, on=True)
    state = await kind.port.turn_on(flag, 30)
    kind.by_hand(flag, 40)
    with pytest.raises(FlagsError, match=r"30%.*somebody changed it"):
        await kind.port.taken(flag, state)
    await kind.close()


async def test_all_flags_of_an_environment_are_listed_as_they_stand(kind: Kept) -> None:
    flags = [kind.create(10, on=True), kind.create(20, on=False), kind.jammed()]
    listed = dict(await kind.port.every(kind.source))
    for flag in flags:
        state = await kind.port.look(flag)
        assert (listed[flag.name].enabled, listed[flag.name].percentage) == (state.enabled, state.percentage)
    assert list(listed) == sorted(listed)
    await kind.close()


@pytest.mark.parametrize("percentage", [0, -1, 101, 500])
async def test_a_percentage_is_1_to_100(kind: Kept, percentage: int) -> None:
    flag = kind.create(10, on=False)
    with pytest.raises(ValueError, match="expected 1 to 100 %"):
        await kind.port.turn_on(flag, percentage)
    assert (await kind.port.look(flag)).exposure == 0
    await kind.close()


def said(state: FlagState) -> tuple[object, ...]:
    """Return all of a state that a percentage does not touch."""
    return state.stickiness, state.constraints, state.variants


def test_a_flag_is_named_by_its_name() -> None:
    assert str(Flag("new_feature", InMemory().source)) == "new_feature"
