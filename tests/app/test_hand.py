"""Does a machine do what its leader says, and nothing that an earlier or another one does?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interlock.adapters.host.fleet import Far, Member
from interlock.adapters.host.fleet.member import FarError
from interlock.app.hand import Hand, Led, member, place
from interlock.app.road import be_home, home
from interlock.app.state import StateDirectory
from interlock.core.route import Route
from interlock.ports.traffic import TrafficError


class Recorder:
    """A proxy that only remembers what it was told; a call may be held up."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def steer(self, route: Route) -> None:
        await self.gate.wait()
        self.told.append(str(route.stable))

    async def route(self, environment: str) -> Route | None:
        return Route(environment, self.told[-1] if self.told else None)


def a_hand(place: Path) -> tuple[Hand, Recorder]:
    state = StateDirectory(place)
    place.mkdir(exist_ok=True)
    proxy: Any = Recorder()
    return Hand(state, Member("ssh://b", proxy, proxy, proxy, proxy)), proxy


class Driver:
    """Whoever leads, or believes so: a keeper on another machine, with the line between left out."""

    def __init__(self, hand: Hand, name: str) -> None:
        self._hand, self._name, self.epoch = hand, name, 0
        self.traffic = Far("ssh://b", self).member().traffic

    async def lead(self) -> None:
        self.epoch = await self._hand.lead(self._name, f"laptop of {self._name}")

    async def __call__(self, name: str, arguments: Any, within: object) -> Any:
        try:
            return await self._hand.call(name, dict(arguments), self._name, self.epoch)
        except (Led, KeyError) as no:
            raise FarError(str(no)) from no


async def test_of_two_drivers_only_the_one_that_took_the_lead_last_changes_anything(tmp_path: Path) -> None:
    hand, proxy = a_hand(tmp_path / "s")
    old, new = Driver(hand, "shop"), Driver(hand, "shop")
    await old.lead()
    await old.traffic.steer(Route("production", "one"))
    await new.lead()
    with pytest.raises(TrafficError, match=r"ssh://b: epoch 1 is over: laptop of shop leads with epoch 2"):
        await old.traffic.steer(Route("production", "stale"))
    await new.traffic.steer(Route("production", "two"))
    assert proxy.told == ["one", "two"]
    route = await old.traffic.route("production")
    assert route is not None and route.stable == "two", "to look, nobody needs to lead"


async def test_who_takes_the_lead_waits_for_what_the_former_has_begun(tmp_path: Path) -> None:
    hand, proxy = a_hand(tmp_path / "s")
    old, new = Driver(hand, "shop"), Driver(hand, "shop")
    await old.lead()
    proxy.gate.clear()
    steering = asyncio.ensure_future(old.traffic.steer(Route("production", "one")))
    await asyncio.sleep(0.05)
    leading = asyncio.ensure_future(new.lead())
    await asyncio.sleep(0.1)
    assert not leading.done()
    proxy.gate.set()
    await asyncio.gather(steering, leading)
    await new.traffic.steer(Route("production", "two"))
    assert proxy.told == ["one", "two"]


async def test_another_project_does_not_get_the_lead_and_is_told_who_has_it(tmp_path: Path) -> None:
    hand, _ = a_hand(tmp_path / "s")
    await Driver(hand, "shop").lead()
    with pytest.raises(Led, match=r"is led by laptop of shop. If that is gone for good"):
        await Driver(hand, "till").lead()


async def test_the_epoch_outlives_the_process_that_kept_it(tmp_path: Path) -> None:
    hand, _ = a_hand(tmp_path / "s")
    old, new = Driver(hand, "shop"), Driver(a_hand(tmp_path / "s")[0], "shop")
    await old.lead()
    await new.lead()
    assert (old.epoch, new.epoch) == (1, 2)


@pytest.mark.parametrize("name", ["traffic.close", "store.write", "traffic.__init__", "workload"])
async def test_nothing_can_be_called_from_afar_but_what_the_table_names(name: str, tmp_path: Path) -> None:
    hand, _ = a_hand(tmp_path / "s")
    with pytest.raises(KeyError, match="cannot be called"):
        await hand.call(name, {}, "shop", 1)


def test_a_home_is_never_led_and_is_known_whole_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    state = place("shop")
    state.make()
    be_home(state, "ssh://a")
    be_home(state, "ssh://a")
    assert home(state) == "ssh://a" and [*state.path.glob(".home*")] == []
    with pytest.raises(Led, match="is the home of shop itself"):
        member("shop")
    assert not (state.path / "led").exists()
