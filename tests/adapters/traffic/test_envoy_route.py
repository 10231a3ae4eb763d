"""Does the proxy send users where the route says?"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from tests.adapters.traffic.town import BY_USER, SOON, Town, a_town, eventually, revision

from interlock.adapters.http import Headers, ask
from interlock.adapters.traffic.envoy.probes import within_bound
from interlock.core.release import Entrance, Sticky, StickyBy
from interlock.core.route import Route
from interlock.core.weight import ALL, Weight
from interlock.ports.traffic import TrafficError


def to_new(points: int, offset: int = 0) -> Route:
    return Route("production", "old", "new", Weight(points), offset)


async def two_sides(town: Town, sticky: Sticky | None = None) -> None:
    if sticky is None:
        await town.open()
    else:
        await town.open(Entrance(await town.host.free_port(), sticky=sticky))
    await town.admit("old")
    await town.admit("new")


async def test_before_the_first_release_the_proxy_itself_answers_503() -> None:
    async with a_town() as town:
        assert await town.envoy.route("production") is None
        await town.open()
        assert await town.envoy.route("production") == Route("production", None)
        response = await town.get()
        assert (response.status, response.body) == (503, b"no release has traffic here yet\n")
        assert (await town.envoy.verify(Route("production", None))).ok


async def test_a_share_without_a_stable_side_is_answered_503_for_the_same_users() -> None:
    async with a_town() as town:
        await town.open()
        await town.admit("new")
        route = Route("production", None, "new", Weight(5000), 700)
        await town.envoy.steer(route)
        assert (await town.envoy.verify(route)).ok
        answers = [{(await town.get(user=f"user-{n}")).status for _ in range(3)} for n in range(40)]
        assert Counter(map(tuple, answers)).keys() == {(200,), (503,)}


@pytest.mark.parametrize("offset", [0, 3_000, 9_000, 9_990])
async def test_the_users_of_a_small_step_are_among_those_of_the_next_also_when_the_interval_wraps(offset: int) -> None:
    async with a_town() as town:
        await two_sides(town)
        sets = []
        for points in (0, 500, 2500, 5000, 10_000):
            await town.envoy.steer(to_new(points, offset))
            assert (await town.envoy.verify(to_new(points, offset))).ok
            sets.append(await town.users_of("new", 400))
            assert within_bound(400, len(sets[-1]), points / 10_000, 1e-6)
        assert sets[0] == frozenset() and len(sets[-1]) == 400
        assert all(smaller < larger for smaller, larger in pairwise(sets))


async def test_two_releases_do_not_have_the_same_guinea_pigs() -> None:
    async with a_town() as town:
        await two_sides(town)
        sets = []
        for offset in (1_000, 7_000):
            await town.envoy.steer(to_new(1000, offset))
            sets.append(await town.users_of("new", 400))
        assert sets[0] and sets[1] and not sets[0] & sets[1]


@pytest.mark.parametrize(
    ("sticky", "key"),
    [
        (Sticky(StickyBy.COOKIE, "session"), lambda n: (("Cookie", f"theme=dark; session={n}"),)),
        (Sticky(StickyBy.SOURCE_ADDRESS, trusted_hops=1), lambda n: (("X-Forwarded-For", f"6.6.6.6, 198.51.100.{n}"),)),
    ],
    ids=["cookie", "source address"],
)
async def test_a_user_stays_on_one_side_by(sticky: Sticky, key: object) -> None:
    assert callable(key)
    async with a_town() as town:
        await two_sides(town, sticky)
        await town.envoy.steer(to_new(5000))
        assert (await town.envoy.verify(to_new(5000))).ok
        sides = [{await town.side_of("x", key(n)) for _ in range(3)} for n in range(30)]
        assert all(len(seen) == 1 for seen in sides)
        assert set.union(*sides) == {"old", "new"}


@pytest.mark.parametrize(
    ("sticky", "key"),
    [
        (Sticky(StickyBy.HEADER, "X-User"), lambda n: (("X-User", f"u{n}"),)),
        (Sticky(StickyBy.COOKIE, "session"), lambda n: (("Cookie", f"theme=dark; session={n}"),)),
        (Sticky(StickyBy.SOURCE_ADDRESS, trusted_hops=1), lambda n: (("X-Forwarded-For", f"6.6.6.6, 198.51.100.{n}"),)),
    ],
    ids=["header", "cookie", "source address"],
)
async def test_users_are_counted_by_their_key_whatever_they_ask_for(sticky: Sticky, key: object) -> None:
    assert callable(key)
    async with a_town() as town:
        await two_sides(town, sticky)
        await town.envoy.steer(to_new(5000))
        counting = asyncio.create_task(town.envoy.keys("production", timedelta(seconds=3)))
        while not counting.done():
            for n in range(7):
                await ask(f"127.0.0.1:{town.port}", path="/", headers=key(n), timeout=SOON)
        assert len(await counting) == 7
        assert not any(b"session" in file.read_bytes() for file in (town.place / "envoy").rglob("*.log"))


async def test_requests_without_a_key_are_nobodys() -> None:
    async with a_town() as town:
        await two_sides(town, BY_USER)
        await town.envoy.steer(to_new(5000))
        counting = asyncio.create_task(town.envoy.keys("production", timedelta(seconds=1)))
        while not counting.done():
            await ask(f"127.0.0.1:{town.port}", path="/", timeout=SOON)
        assert await counting == frozenset()
        assert await town.envoy.keys("production", timedelta(seconds=0.2)) == frozenset()


async def test_without_a_key_every_request_is_assigned_anew() -> None:
    async with a_town() as town:
        await two_sides(town, Sticky())
        await town.envoy.steer(to_new(5000))
        assert {await town.side_of("one user") for _ in range(60)} == {"old", "new"}


async def test_our_headers_do_nothing_without_the_secret_and_reach_one_preview_with_it() -> None:
    async with a_town() as town:
        await two_sides(town)
        await town.envoy.steer(to_new(0))
        wanted: Headers = (("x-interlock-preview", "new~preview"),)
        for guess in ("", "wrong"):
            assert await town.side_of("x", (*wanted, ("x-interlock-secret", guess))) == "old"
        assert (town.place / "envoy" / "secret").stat().st_mode & 0o077 == 0
        secret, other = (town.secret(names) for names in (("old", "new"), ("old", "newer")))
        assert await town.side_of("x", (*wanted, ("x-interlock-secret", other))) == "old"
        assert await town.side_of("x", (*wanted, ("x-interlock-secret", secret))) == "new"


async def test_probes_and_previews_are_in_no_users_counters() -> None:
    async with a_town() as town:
        await two_sides(town)
        await town.envoy.steer(to_new(5000))
        assert (await town.envoy.verify(to_new(5000))).probes == 200
        for name in ("old", "new"):
            assert (await town.counters(name)).started == 0


async def test_a_proxy_that_says_one_thing_and_does_another_is_not_verified() -> None:
    async with a_town() as town:
        await two_sides(town)
        await town.envoy.steer(to_new(5000))
        assert "asked for 10 % to new" in (await town.envoy.verify(to_new(1000))).reason

        file = town.place / "envoy" / "rds-production.json"
        forged = file.read_text().replace("weight=5000", "weight=1000")  # says 10 %, still gives 50 %
        forged = forged.replace(_content(forged), _content_of(town, to_new(1000)))
        town.host.write(file, forged.encode())
        await _until_reported(town, to_new(1000))
        verified = await town.envoy.verify(to_new(1000))
        assert not verified.ok and "its weight is 10 %" in verified.reason


async def test_a_route_that_names_an_unknown_revision_is_refused_and_nothing_is_written() -> None:
    async with a_town() as town:
        await two_sides(town)
        await town.envoy.steer(to_new(100))
        file = town.place / "envoy" / "rds-production.json"
        before = file.read_bytes()
        for route in (Route("production", "old", "newer", ALL), Route("staging", "old")):
            with pytest.raises(TrafficError, match=r"newer, which was never admitted|staging was never opened"):
                await town.envoy.steer(route)
            with pytest.raises(TrafficError):
                await town.envoy.prepare(route)
        assert file.read_bytes() == before
        assert await town.envoy.route("production") == to_new(100)


async def test_what_envoy_refuses_is_said_with_its_reason_and_the_old_route_stays() -> None:
    async with a_town() as town:
        await two_sides(town)
        await town.envoy.steer(to_new(0))
        for sticky in (Sticky(StickyBy.HEADER, "not a\nheader"), Sticky(StickyBy.COOKIE, "")):
            with pytest.raises(TrafficError, match="production cannot be opened: Envoy refused"):
                await town.envoy.open("production", Entrance(town.port, sticky=sticky))
        assert await town.side_of("x") == "old"
        assert (await town.envoy.verify(to_new(0))).ok


async def test_a_changed_entrance_takes_effect_without_a_change_of_the_route() -> None:
    async with a_town() as town:
        await two_sides(town, Sticky())
        await town.envoy.steer(to_new(5000))
        await town.envoy.prepare(to_new(0))
        await town.envoy.open("production", Entrance(town.port, sticky=Sticky(StickyBy.HEADER, "x-user")))
        assert (await town.envoy.verify(to_new(5000))).ok
        assert len({await town.side_of("one user") for _ in range(30)}) == 1
        assert await town.envoy.fall_back("production") == to_new(0)
        assert (await town.envoy.verify(to_new(0))).ok


async def test_a_revision_is_forgotten_only_when_no_route_names_it() -> None:
    async with a_town() as town:
        await two_sides(town)
        await town.envoy.steer(to_new(100))
        await town.envoy.prepare(Route("production", "old"))
        with pytest.raises(TrafficError, match="old cannot be removed: the route of production names it"):
            await town.envoy.forget("old")
        await town.envoy.steer(Route("production", "new"))
        await town.envoy.forget("old")
        assert await town.envoy.healthy("old") == frozenset()
        with pytest.raises(TrafficError, match="never admitted"):
            town.envoy.preview("old")
        with pytest.raises(TrafficError, match="no route of production was prepared"):
            await town.envoy.fall_back("production")
        await town.envoy.forget("old")
        assert await town.side_of("x") == "new"
        await town.admit("old")
        await town.envoy.steer(Route("production", "new", "old", ALL))
        assert await town.side_of("x") == "old"


@pytest.mark.parametrize("name", ["two.words", "", "a/b", "a~b", "-a"])
async def test_a_name_that_would_split_envoys_counters_is_refused(name: str) -> None:
    async with a_town() as town:
        with pytest.raises(TrafficError, match="cannot be one of Envoy's names"):
            await town.envoy.admit(revision(name), ())
        with pytest.raises(TrafficError, match="cannot be one of Envoy's names"):
            await town.envoy.open(name, Entrance(1))


def test_the_bound_is_exact_and_two_sided() -> None:
    assert within_bound(200, 0, 0.0, 1e-6) and not within_bound(200, 1, 0.0, 1e-6)
    assert within_bound(200, 200, 1.0, 1e-6) and not within_bound(200, 199, 1.0, 1e-6)
    assert within_bound(200, 10, 0.05, 1e-6)
    assert not within_bound(200, 0, 0.10, 1e-6) and not within_bound(200, 60, 0.10, 1e-6)
    # 0.9^200 = 7.06e-10, twice that is the two-sided probability of no hit at 10 %.
    assert within_bound(200, 0, 0.10, 1.41e-9) and not within_bound(200, 0, 0.10, 1.42e-9)


def _content(document: str) -> str:
    return document.partition("content=")[2][:16]


def _content_of(town: Town, route: Route) -> str:
    _, version = town.envoy._routes._table(route)
    return _content(version)


async def _until_reported(town: Town, route: Route) -> None:
    async def reported() -> bool:
        return await town.envoy.route("production") == route

    await eventually(reported)
