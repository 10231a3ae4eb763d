"""Does taking the traffic back work when nothing else does?"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests import parts
from tests.adapters.traffic.town import Town, a_town

from interlock.core.route import Route
from interlock.core.weight import Weight
from interlock.ports.traffic import TrafficError

BACK = Route("production", "old", "new", Weight(0), 4_000)
FORWARD = Route("production", "old", "new", Weight(5000), 4_000)


async def under_way(town: Town) -> None:
    """Have a canary at 50 % and the way back prepared."""
    await town.open()
    for name in ("old", "new"):
        await town.admit(name)
    await town.envoy.steer(BACK)
    await town.envoy.prepare(BACK)
    await town.envoy.steer(FORWARD)
    assert (await town.envoy.verify(FORWARD)).ok


async def test_falling_back_puts_the_prepared_route_in_force_and_twice_is_once() -> None:
    async with a_town() as town:
        await under_way(town)
        for _ in range(3):
            assert await town.envoy.fall_back("production") == BACK
            assert await town.envoy.route("production") == BACK
        assert (await town.envoy.verify(BACK)).ok
        await town.envoy.steer(FORWARD)
        assert (await town.envoy.verify(FORWARD)).ok
        assert await town.envoy.fall_back("production") == BACK
        assert (await town.envoy.verify(BACK)).ok


async def test_a_fall_back_interrupted_after_its_rename_is_finished_by_a_successor() -> None:
    async with a_town() as town:
        await under_way(town)
        directory = town.place / "envoy"
        (directory / "prepared-production.json").rename(directory / "rds-production.json")
        assert await town.successor().fall_back("production") == BACK
        assert (await town.envoy.verify(BACK)).ok


async def test_without_a_prepared_route_there_is_nothing_to_fall_back_to() -> None:
    async with a_town() as town:
        await town.open()
        with pytest.raises(TrafficError, match="no route of production was prepared"):
            await town.envoy.fall_back("production")


async def test_the_way_back_is_taken_while_envoy_is_down_and_holds_when_it_returns() -> None:
    async with a_town() as town:
        await under_way(town)
        await town.envoy._process.stop()
        with pytest.raises(TrafficError, match="Envoy does not answer"):
            await town.envoy.fall_back("production")
        await town.envoy._ensure_running()
        assert await town.envoy.fall_back("production") == BACK


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, of 2 MB, that a test may fill to the brim."""
    place = Path(tempfile.mkdtemp(prefix="interlock-"))
    parts.small_disk(place, "2m")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    with suppress(OSError):
        place.rmdir()


async def test_the_way_back_needs_no_space_on_a_full_disk_and_going_forward_is_refused(small_disk: Path) -> None:
    async with a_town(place=small_disk) as town:
        await under_way(town)
        fill(small_disk)
        with pytest.raises(TrafficError, match="make room on that disk"):
            await town.envoy.steer(Route("production", "old", "new", Weight(10_000), 4_000))
        assert (await town.envoy.verify(FORWARD)).ok
        for _ in range(2):
            assert await town.envoy.fall_back("production") == BACK
        assert (await town.envoy.verify(BACK)).ok
        assert {await town.side_of(f"user-{n}") for n in range(20)} == {"old"}
        (small_disk / "filler").unlink()
        assert await town.envoy.fall_back("production") == BACK


def fill(place: Path) -> None:
    """Leave not one block."""
    with (place / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
