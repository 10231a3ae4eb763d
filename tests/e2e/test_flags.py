"""Do a release's flags move with it, under users, and are they off before the traffic is back, whoever dies?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.town import ENVIRONMENT, HALF, SECOND, Town, Wish, eventually

from interlock.core.flag import Flag, FlagFile, FlagUse, OnFlagFailure
from interlock.core.phase import Phase
from interlock.core.steps import ConfirmFlags, Drain, PullFlags, RestoreFlags, SetWeight
from interlock.core.weight import ALL

BEFORE = {
    "$schema": "https://flagd.dev/schema/v0/flags.json",
    "flags": {
        "new_feature": {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {"fractional": [["on", 10], ["off", 90]]},
            "metadata": {"owner": "checkout"},
        },
        "another": {"state": "DISABLED", "variants": {"a": 1}, "defaultVariant": "a"},
    },
}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "flags.json"
    place.write_text(json.dumps(BEFORE, indent=2) + "\n")
    yield place


def wish(town: Town, kept: Path, errors: float = 0.0, **more: Any) -> Wish:
    """Wish for a release whose code reads the flag, and fails so many of those who have the feature."""
    flag = Flag("new_feature", FlagFile(str(kept), refresh=timedelta(milliseconds=100)))
    use = FlagUse(flag, ramp=more.pop("ramp", (20, 50, 100)), bake=more.pop("bake", SECOND), recovered_for=2 * SECOND)
    use = replace(use, on_failure=more.pop("on_failure", OnFlagFailure.FLAG_ONLY))
    manners = {"flag": str(kept), "flag_errors": errors, **more.pop("manners", {})}
    return town.wish(manners=manners, weights=(HALF, ALL), flags=(use,), **more)


def stands(kept: Path) -> tuple[str, int]:
    """Return the flag's state, and to how many percent it is given."""
    flag = json.loads(kept.read_text())["flags"]["new_feature"]
    return flag["state"], dict(flag["targeting"]["fractional"])["on"]


async def up(town: Town, run: str) -> None:
    """Wait until the flag is given to the first users, on record."""
    await town.until(run, lambda one: bool(one.flags) and one.flags[0].now.exposure == 20, "the first users to have it")


async def steps(town: Town, run: str) -> list[tuple[type, Mapping[str, Any]]]:
    """Return what was done on the way back, in order: the kind of each step, and what the journal holds of it."""
    rollout = await town.rollout(run)
    entries = list(await town.entries(run))
    turned = next(n for n, one in enumerate(entries) if one.kind == "turned")
    done = [one for one in entries[turned:] if one.kind in ("done", "failed")]
    return [(type(rollout.way_back[one.data["index"]]), one.data) for one in done]


async def test_a_flag_is_off_until_the_code_has_everybody_and_then_goes_up_step_by_step(town: Town, kept: Path) -> None:
    wanted = wish(town, kept)
    async with town.traffic(150, 40) as users:
        run = await town.start(wanted)
        await town.until(run, lambda one: one.weight == HALF, "half of the users")
        assert stands(kept)[0] == "DISABLED"
        ended = await town.over(run)
        await users.flows(wanted.version)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    assert stands(kept) == ("ENABLED", 100)
    told = [one.data["now"]["percentage"] for one in await town.entries(run) if one.kind == "flag"]
    assert told[-3:] == [20, 50, 100]
    after = json.loads(kept.read_text())
    assert after["flags"]["another"] == BEFORE["flags"]["another"]  # type: ignore[index]
    assert town.failed(users.counts) == []


async def test_a_bad_feature_is_off_in_seconds_and_its_code_stays(town: Town, kept: Path) -> None:
    wanted = wish(town, kept, errors=1.0, bake=20 * SECOND)
    async with town.traffic(200, 200) as users:
        run = await town.start(wanted)
        await town.until(run, lambda one: one.retracting or one.over, "the flag to be taken back")
        off_after = await eventually(lambda: stands(kept)[0] == "DISABLED", "the flag is off", 10)
        ended = await town.over(run)
        await users.flows(wanted.version)
    assert (ended.phase, ended.quarantine) == (Phase.SUCCEEDED, False), await town.story(run)
    assert "requests failed" in ended.retracted
    assert off_after < 5
    assert stands(kept)[0] == "DISABLED"
    await town.settled(wanted.version)
    assert town.failed(users.counts, wanted.version) == []


async def test_bad_code_behind_a_flag_goes_back_with_it_and_the_flag_is_as_it_was(town: Town, kept: Path) -> None:
    before, was = await town.stable(), kept.read_bytes()
    wanted = wish(town, kept, manners={"errors": 0.5}, bake=20 * SECOND)
    async with town.traffic(150, 100) as users:
        run = await town.start(wanted)
        ended = await town.over(run)
        await users.flows(before)
    assert (ended.phase, ended.quarantine) == (Phase.ROLLED_BACK, True), await town.story(run)
    assert kept.read_bytes() == was
    kinds = [kind for kind, _ in await steps(town, run)]
    assert kinds.index(PullFlags) < kinds.index(SetWeight) < kinds.index(ConfirmFlags) < kinds.index(Drain)
    assert kinds.index(Drain) < kinds.index(RestoreFlags)
    assert town.failed(users.counts, wanted.version) == []


async def test_a_flag_that_somebody_moves_by_hand_stops_the_advance(town: Town, kept: Path) -> None:
    run = await town.start(wish(town, kept, bake=2 * SECOND))
    await up(town, run)
    ours = kept.read_text()
    by_hand = json.loads(ours)
    by_hand["flags"]["new_feature"]["targeting"]["fractional"] = [["on", 90], ["off", 10]]
    kept.write_text(json.dumps(by_hand))
    held = await town.until(run, lambda one: "somebody else" in one.reason, "the advance to be held")
    assert held.phase is Phase.WAITING
    assert "it is enabled at 90% where the rollout has put enabled at 20%" in held.reason
    kept.write_text(ours)
    ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)


@pytest.mark.parametrize("number", (1, 3, 5))
async def test_a_keeper_killed_on_the_way_back_leaves_the_flags_as_they_were(
    town: Town, kept: Path, number: int
) -> None:
    was = kept.read_bytes()
    run = await town.start(wish(town, kept, bake=30 * SECOND))
    await up(town, run)
    town.fate.write_text(f"{number} amid")
    await town.abort(run)
    ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK, await town.story(run)
    assert not town.fate.exists()
    assert kept.read_bytes() == was
    kinds = [kind for kind, _ in await steps(town, run)]
    assert kinds.index(PullFlags) < kinds.index(SetWeight) < kinds.index(RestoreFlags)


async def test_a_frozen_flag_file_holds_up_the_way_back_by_a_quarter_of_a_second_at_most(
    town: Town, kept: Path
) -> None:
    run = await town.start(wish(town, kept, bake=30 * SECOND))
    await up(town, run)
    whole = kept.read_text()
    kept.write_text("no flags at all")
    await town.abort(run)
    route = town.state.envoy / f"rds-{ENVIRONMENT}.json"
    back = lambda: "weight=0 " in json.loads(route.read_text())["version_info"]  # noqa: E731
    await eventually(back, "the traffic is back", 10)
    held = await town.until(run, lambda one: isinstance(one.next_step, ConfirmFlags), "it waits for the flag")
    assert not held.over
    kept.write_text(whole)
    ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK, await town.story(run)
    assert stands(kept) == ("ENABLED", 10)
    pulled = next(one for one in await town.entries(run) if "not confirmed off" in one.text)
    assert pulled.kind == "done"
