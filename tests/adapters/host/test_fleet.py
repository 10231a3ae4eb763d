"""Are several machines one to the engine, and is each of them as safe as one alone?"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock.adapters.host.fleet import Far, Fleet, ManyMetrics, ManyTraffic, ManyWorkload, Member, answer
from interlock.adapters.host.fleet.member import Lost
from interlock.adapters.host.fleet.wire import PORTS, answered, moves, question
from interlock.adapters.host.local import LocalHost
from interlock.core.record import plain
from interlock.core.release import Artefact, Configuration, Entrance, Instance, Release, Revision
from interlock.core.route import Route
from interlock.core.sample import Counters, Reading
from interlock.core.weight import Weight
from interlock.ports.traffic import TrafficError, Verified
from interlock.ports.workload import WorkloadError

ON_THEIR_OWN = {"traffic.close"}
HOSTS = ("ssh://a", "ssh://b")
SHOP = Revision("shop-1", "production", Release("shop", "v1", Artefact("sha256:1", "x"), Configuration(()), ""))


class Machine:
    """One machine in memory: its instances, its route, its counters; it may fail."""

    def __init__(self, name: str) -> None:
        self.name, self.broken, self.route_now = name, "", Route("production", None)
        self.running: dict[int, Instance] = {}
        self.admitted: tuple[str, ...] = ()
        self.drained: tuple[str, ...] = ()
        self.counted = Counters()
        self.steered: list[Route] = []

    def member(self) -> Member:
        one: Any = self
        return Member(f"ssh://{self.name}", one, one, one, one)

    async def open(self, environment: str, entrance: Entrance) -> None:
        self._works(TrafficError)

    async def ensure(self, revision: Revision, instances: int) -> None:
        self._works(WorkloadError)
        for slot in range(instances):
            port = 1000 * (1 + ord(self.name) - ord("a")) + slot
            self.running.setdefault(slot, Instance(revision.name, slot, f"127.0.0.1:{port}", True, True))

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        self._works(WorkloadError)
        return tuple(self.running.values())

    async def admit(self, revision: Revision, addresses: tuple[str, ...]) -> None:
        self._works(TrafficError)
        self.admitted = addresses

    async def healthy(self, revision: str) -> frozenset[str]:
        self._works(TrafficError)
        return frozenset(self.admitted)

    async def drain(self, revision: str, addresses: tuple[str, ...]) -> None:
        self.drained = addresses

    async def in_flight(self, revision: str) -> dict[str, int]:
        return dict.fromkeys(self.admitted, 2)

    async def prepare(self, route: Route) -> None:
        self._works(TrafficError)

    async def environments(self) -> tuple[str, ...]:
        return ("production",)

    async def steer(self, route: Route) -> None:
        self._works(TrafficError)
        self.steered.append(route)
        self.route_now = route

    async def fall_back(self, environment: str) -> Route:
        self._works(TrafficError)
        self.route_now = Route(environment, "old")
        return self.route_now

    async def route(self, environment: str) -> Route | None:
        return self.route_now

    async def verify(self, route: Route) -> Verified:
        ok = route == self.route_now
        return Verified(ok, "" if ok else "differs", 200, 100)

    async def read(self, revisions: tuple[str, ...], metrics: object = (), counted: object = None) -> Reading:
        return Reading(
            1.0 if self.name == "a" else 77.0, self.name, {name: {"envoy": self.counted} for name in revisions}
        )

    def _works(self, error: type[Exception]) -> None:
        if self.broken:
            raise error(self.broken)


class Lan:
    def __init__(self, place: Path) -> None:
        self.a, self.b, self.place = Machine("a"), Machine("b"), place
        self.fleet = self.successor()
        self.traffic, self.workload = ManyTraffic(self.fleet), ManyWorkload(self.fleet)

    def successor(self) -> Fleet:
        there = self.b.member()
        return Fleet(LocalHost(), self.place / "fleet.json", self.a.member(), lambda: "ssh://a", lambda name: there)

    async def serve(self) -> tuple[Instance, ...]:
        await self.traffic.open("production", Entrance(80, hosts=HOSTS))
        await self.workload.ensure(SHOP, 2)
        running = await self.workload.instances("shop-1")
        await self.traffic.admit(SHOP, tuple(one.address for one in running))
        return running


@pytest.fixture
def lan(tmp_path: Path) -> Lan:
    return Lan(tmp_path)


async def test_an_instance_is_that_slot_on_every_machine_and_ready_when_all_are(lan: Lan) -> None:
    first, second = await lan.serve()
    assert first.address == "127.0.0.1:1000 at ssh://a + 127.0.0.1:2000 at ssh://b"
    assert (lan.a.admitted, lan.b.admitted) == (
        ("127.0.0.1:1000", "127.0.0.1:1001"),
        ("127.0.0.1:2000", "127.0.0.1:2001"),
    )
    assert await lan.traffic.healthy("shop-1") == {first.address, second.address}
    lan.b.running[1] = Instance("shop-1", 1, "127.0.0.1:2001", True, False, reason="no database")
    one, other = await lan.workload.instances("shop-1")
    assert one.ready and not other.ready and other.reason == "ssh://b: no database"
    del lan.b.running[0]
    one, _ = await lan.workload.instances("shop-1")
    assert not one.alive and not one.ready and one.reason == "ssh://b: not there"
    lan.b.admitted = ()
    assert await lan.traffic.healthy("shop-1") == frozenset()


async def test_a_step_that_fails_on_one_machine_fails_for_all_and_is_said_to_be_that_ones(lan: Lan) -> None:
    await lan.serve()
    lan.b.broken = "its disk is full"
    with pytest.raises(TrafficError, match=r"^ssh://b: its disk is full$"):
        await lan.traffic.steer(Route("production", "old", "new", Weight(500)))
    lan.b.broken, lan.a.broken = "", "it hangs"
    with pytest.raises(TrafficError, match="ssh://a: it hangs"):
        await lan.traffic.fall_back("production")
    assert lan.b.route_now == Route("production", "old"), "the others go back whatever becomes of the one"


async def test_machines_that_differ_are_found_and_the_highest_weight_is_believed(lan: Lan) -> None:
    await lan.serve()
    lan.a.route_now = Route("production", "old", "new", Weight(500))
    lan.b.route_now = wanted = Route("production", "old", "new", Weight(2500))
    assert await lan.traffic.route("production") == wanted
    found = await lan.traffic.verify(wanted)
    assert not found.ok and found.reason == "ssh://a: differs" and (found.probes, found.on_canary) == (400, 200)


async def test_requests_are_counted_by_machine_and_under_way_by_instance(lan: Lan) -> None:
    first, _ = await lan.serve()
    assert (await lan.traffic.in_flight("shop-1"))[first.address] == 4
    await lan.traffic.drain("shop-1", (first.address,))
    assert (lan.a.drained, lan.b.drained) == (("127.0.0.1:1000",), ("127.0.0.1:2000",))
    lan.a.counted, lan.b.counted = Counters(10, 10, 1), Counters(20, 20, 2)
    reading = await ManyMetrics(lan.fleet).read(("shop-1",))
    assert (reading.monotonic, reading.boot) == (1.0, "a"), "the clock is this machine's"
    assert reading.revisions["shop-1"] == {"envoy at ssh://a": lan.a.counted, "envoy at ssh://b": lan.b.counted}


async def test_whoever_comes_after_us_knows_the_machines_from_the_file(lan: Lan) -> None:
    await lan.serve()
    later = ManyWorkload(lan.successor())
    assert [one.address.count(" at ") for one in await later.instances("shop-1")] == [2, 2]


async def test_without_hosts_nothing_is_different_from_one_machine(lan: Lan) -> None:
    await lan.traffic.open("staging", Entrance(80))
    await lan.workload.ensure(SHOP, 1)
    (one,) = await lan.workload.instances("shop-1")
    assert one.address == "127.0.0.1:1000" and lan.b.running == {}


def test_every_verb_of_the_ports_travels_or_is_a_machines_own() -> None:
    names = {
        f"{port}.{verb}" for port, kind in PORTS.items() for verb, _ in inspect.getmembers(kind, inspect.isfunction)
    }
    verbs = {name for name in names if not name.split(".")[1].startswith("_")}
    assert {name for name in verbs if not _travels(name)} == ON_THEIR_OWN


def _travels(name: str) -> bool:
    try:
        moves(name)
    except KeyError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("traffic.healthy", frozenset({"127.0.0.1:1"})),
        ("traffic.route", Route("production", "a", "b", Weight(5))),
        ("traffic.route", None),
        ("traffic.steer", None),
        ("traffic.in_flight", {"127.0.0.1:1": 3}),
        ("workload.instances", (Instance("r", 0, "127.0.0.1:1", True, False, 2, "why"),)),
        ("workload.revisions", (SHOP,)),
        ("metrics.read", Reading(1.5, "boot", {"r": {"envoy": Counters(1, 1, 0, {5.0: 1.0, float("inf"): 0.0})}})),
    ],
)
def test_answers_come_back_as_they_were(name: str, value: object) -> None:
    assert answered(name, plain(value)) == value


def test_questions_carry_the_names_that_the_port_gives() -> None:
    assert question("traffic.drain", ("shop-1", ("a", "b"))) == {"revision": "shop-1", "addresses": ["a", "b"]}


class Silent:
    """A line that can be cut."""

    def __init__(self, machine: Machine) -> None:
        self.cut, self._machine = False, machine

    async def __call__(self, name: str, arguments: Any, within: object) -> Any:
        if self.cut:
            raise Lost("nobody answers")
        port: Any = self._machine
        ports = dict.fromkeys(("traffic", "workload", "metrics", "prober"), port)
        return await answer(name, dict(arguments), ports)


async def test_a_lost_machine_keeps_nothing_from_going_back_and_everything_from_going_on(
    tmp_path: Path,
) -> None:
    a, b = Machine("a"), Machine("b")
    line = Silent(b)
    far = Far("ssh://b", line).member()
    fleet = Fleet(LocalHost(), tmp_path / "fleet.json", a.member(), lambda: "ssh://a", lambda name: far)
    traffic, workload = ManyTraffic(fleet), ManyWorkload(fleet)
    await traffic.open("production", Entrance(80, hosts=HOSTS))
    await traffic.prepare(Route("production", "shop-1"))
    canary = replace(SHOP, name="shop-2")
    for one in (SHOP, canary):
        await workload.ensure(one, 1)
    line.cut = True
    with pytest.raises(WorkloadError, match="ssh://b: nobody answers"):
        await workload.ensure(canary, 2)
    assert far.lost
    with pytest.raises(WorkloadError, match="ssh://b: nobody answers"):
        await workload.instances("shop-2")
    await workload.ensure(SHOP, 1)
    (row,) = (one for one in await workload.instances("shop-1") if one.slot == 0)
    assert row.address == "127.0.0.1:1000 at ssh://a" and row.ready
    with pytest.raises(TrafficError, match="ssh://b: nobody answers"):
        await traffic.fall_back("production")
    assert a.route_now == Route("production", "old"), "it went back here, and is not proven for the lost one"
    line.cut = False
    async with asyncio.timeout(20):
        while far.lost:
            await asyncio.sleep(0.05)
    assert (await workload.instances("shop-1"))[0].address.endswith("ssh://b")
