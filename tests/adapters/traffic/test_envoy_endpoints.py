"""Do instances come and go without a request lost, and is what is lost named?"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.adapters.traffic.town import SOON, Instance, Load, Town, a_town, eventually, revision

from interlock.adapters.http import HttpError, ask
from interlock.core.health import Probe, ProbeKind
from interlock.core.release import Entrance
from interlock.core.route import Route
from interlock.core.weight import Weight
from interlock.ports.traffic import TrafficError


async def holding(town: Town, instance: Instance, requests: int = 1) -> list[asyncio.Task[object]]:
    """Have requests under way that are answered when the instance is told to."""
    held = [asyncio.ensure_future(_outcome(town, f"/hold?secret={n}")) for n in range(requests)]

    async def all_there() -> bool:
        return (await town.envoy.in_flight(instance.name))[instance.address] == requests

    await eventually(all_there)
    return held


async def _outcome(town: Town, path: str) -> object:
    try:
        return (await town.get(path)).status
    except HttpError as error:
        return str(error)


async def test_no_request_fails_while_weights_change_and_instances_are_replaced_under_load() -> None:
    async with a_town(retries=False) as town:
        await town.open()
        running = {name: (await town.admit(name))[0] for name in ("old", "new")}
        await town.envoy.steer(Route("production", "old", "new", Weight(0), 9_000))
        load = Load(town.port)
        for turn in range(20):
            weight = Weight((0, 100, 2500, 5000, 10_000)[turn % 5])
            await town.envoy.steer(Route("production", "old", "new", weight, 9_000))
            if turn % 2:
                name = ("old", "new")[turn // 2 % 2]
                running[name] = await replace(town, name, running[name])
        await load.end()
        assert not load.failed
        assert load.answered["old"] and load.answered["new"]


async def replace(town: Town, name: str, leaving: Instance) -> Instance:
    """Replace an instance in the order that the port names."""
    fresh = await town.instance(name)
    await town.serve(revision(name), leaving, fresh)
    await town.envoy.drain(name, (leaving.address,))

    async def quiet() -> bool:
        for _ in range(5):
            if (await town.envoy.in_flight(name))[leaving.address]:
                return False
            await asyncio.sleep(0.01)
        return True

    await eventually(quiet)
    assert await town.envoy.dismiss(name, (leaving.address,)) == ()
    await leaving.die()
    return fresh


async def test_a_revision_carries_traffic_the_moment_it_is_said_to_be_healthy() -> None:
    async with a_town(retries=False) as town:
        await town.open()
        await town.admit("r0")
        await town.envoy.steer(Route("production", "r0"))
        load = Load(town.port, users=4)
        for n in range(1, 6):
            await town.admit(f"r{n}", instances=2)
            await town.envoy.steer(Route("production", f"r{n}"))
            await eventually(partial(_answers, load, f"r{n}"))
        await load.end()
        assert not load.failed


async def _answers(load: Load, revision: str) -> bool:
    return load.answered[revision] > 0


async def test_an_instance_that_is_not_ready_is_not_healthy_until_it_is() -> None:
    async with a_town() as town:
        await town.open()
        assert await town.envoy.healthy("new") == frozenset()
        one = await town.instance("new")
        one.ready = False
        await town.envoy.admit(revision("new"), (one.address, "127.0.0.1:1"))
        assert await town.envoy.healthy("new") == frozenset()
        one.ready = True
        await eventually(lambda: _is(town, {one.address}))
        one.ready = False
        await eventually(lambda: _is(town, set()))


async def _is(town: Town, healthy: set[str]) -> bool:
    return await town.envoy.healthy("new") == healthy


@pytest.mark.parametrize("kind", [ProbeKind.TCP, ProbeKind.COMMAND])
async def test_a_service_without_an_http_readiness_is_healthy_when_it_accepts_connections(kind: ProbeKind) -> None:
    async with a_town() as town:
        await town.open()
        (one,) = await town.admit("new", readiness=Probe(kind, command=("true",)))
        await town.envoy.steer(Route("production", "new"))
        assert (await town.envoy.verify(Route("production", "new"))).ok
        await one.die()
        await eventually(lambda: _is(town, set()))


async def test_admit_says_exactly_which_endpoints_serve_and_leaves_those_that_drain() -> None:
    async with a_town() as town:
        await town.open()
        first, second, third = await town.admit("new", instances=3)
        await town.envoy.drain("new", (first.address,))
        await town.envoy.drain("new", (first.address, "127.0.0.1:1"))
        await eventually(lambda: _is(town, {second.address, third.address}))
        await town.envoy.admit(revision("new"), (third.address,))
        await eventually(lambda: _is(town, {third.address}))
        assert set(await town.envoy.in_flight("new")) == {first.address, third.address}
        await town.serve(revision("new"), first, third)
        assert await town.envoy.dismiss("new", (second.address,)) == ()


async def test_a_draining_instance_finishes_what_it_has_and_gets_nothing_new() -> None:
    async with a_town() as town:
        await town.open()
        leaving, staying = await town.admit("new", instances=2)
        await town.envoy.steer(Route("production", "new"))
        leaving_held = [asyncio.ensure_future(_outcome(town, "/hold")) for _ in range(8)]

        async def some_there() -> bool:
            return sum((await town.envoy.in_flight("new")).values()) == 8

        await eventually(some_there)
        await town.envoy.drain("new", (leaving.address,))
        served = leaving.served
        assert served and all([await _outcome(town, "/") == 200 for _ in range(20)])
        assert leaving.served == served
        for one in (leaving, staying):
            one.release()
        assert await asyncio.gather(*leaving_held) == [200] * 8
        assert not any((await town.envoy.in_flight("new")).values())


async def test_requests_that_are_cut_are_counted_when_dismissed_and_named_once_their_instance_is_gone() -> None:
    async with a_town() as town:
        await town.open()
        leaving, staying = await town.admit("new", instances=2)
        await town.envoy.drain("new", (staying.address,))
        await town.envoy.steer(Route("production", "new"))
        held = await holding(town, leaving, requests=3)
        await town.envoy.admit(revision("new"), (staying.address, leaving.address))
        await town.envoy.drain("new", (leaving.address,))
        mark = town.clock.now()
        assert await town.envoy.dismiss("new", (leaving.address,)) == (f"a request at {leaving.address}",) * 3
        assert await town.envoy.dismiss("new", (leaving.address,)) == ()
        assert not any(task.done() for task in held)
        assert await town.envoy.cut_since("new", mark) == ()
        await leaving.die()
        assert await asyncio.gather(*held) == [503] * 3
        assert await town.envoy.cut_since("new", mark) == ("GET /hold",) * 3
        assert await town.envoy.cut_since("new", town.clock.now()) == ()


async def test_the_log_of_cut_requests_holds_no_query_and_no_plain_request_and_stays_small() -> None:
    async with a_town() as town:
        await town.open()
        await town.admit("new")
        await town.envoy.steer(Route("production", "new"))
        log = town.place / "envoy" / "cut.log"
        mark = town.clock.now()
        for path in ("/?token=a", "/500?token=b", "/break?token=c"):
            await town.get(path)
        assert await town.envoy.cut_since("new", mark) == ("GET /break",)
        assert "token" not in log.read_text() and len(log.read_text().splitlines()) == 1
        with log.open("a") as full:
            full.write("x" * 9 * 1024 * 1024)
        keeper = asyncio.ensure_future(town.envoy.supervise())
        await eventually(lambda: _small(log))
        keeper.cancel()
        await town.get("/break?token=c")
        assert await town.envoy.cut_since("new", mark) == ("GET /break",) * 2


async def _small(log: Path) -> bool:
    return log.stat().st_size < 1024 if log.exists() else False


async def test_the_preview_reaches_only_its_revision_whatever_the_route() -> None:
    async with a_town() as town:
        await town.open()
        for name in ("old", "new"):
            await town.admit(name)
        await town.envoy.steer(Route("production", "old"))
        for name in ("old", "new"):
            answers = [await ask(town.envoy.preview(name).removeprefix("http://"), timeout=SOON) for _ in range(5)]
            assert {answer.body.decode() for answer in answers} == {name}


async def test_a_request_that_hangs_is_given_up_and_one_that_keeps_sending_is_not() -> None:
    async with a_town() as town:
        entrance = Entrance(await town.host.free_port(), request_timeout=timedelta(milliseconds=500))
        await town.open(entrance)
        await town.admit("new")
        await town.envoy.steer(Route("production", "new"))
        assert (await town.get("/hang")).status == 504
        stream = await town.get("/stream")  # takes 1.2 s
        assert (stream.status, stream.body) == (200, b"hi" * 12)
        counted = await town.counters("new")
        assert (counted.started, counted.completed, counted.failed) == (2, 2, 1)


async def test_a_web_socket_may_be_silent_and_an_upload_slow() -> None:
    async with a_town() as town:
        await town.open(Entrance(await town.host.free_port(), request_timeout=timedelta(milliseconds=500)))
        await town.admit("new")
        await town.envoy.steer(Route("production", "new"))
        upgrade = b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        assert (await _raw(town, upgrade)).endswith(b"hi")
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n"
        assert (await _raw(town, head, *[b"x"] * 10)).startswith(b"HTTP/1.1 200")


async def _raw(town: Town, *pieces: bytes) -> bytes:
    """Send these pieces slowly; return all that comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", town.port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.1)
    async with asyncio.timeout(SOON.total_seconds()):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_stream_without_a_byte_for_the_idle_time_out_is_closed() -> None:
    async with a_town() as town:
        await town.open(Entrance(await town.host.free_port(), idle_timeout=timedelta(milliseconds=700)))
        await town.admit("new")
        await town.envoy.steer(Route("production", "new"))
        assert (await town.get("/stream")).status == 200
        assert await _outcome(town, "/hold") == 504


async def test_users_cannot_set_time_outs_or_retries_by_header() -> None:
    async with a_town() as town:
        await town.open()
        await town.admit("new")
        await town.envoy.steer(Route("production", "new"))
        headers = (("x-envoy-upstream-rq-timeout-ms", "1"), ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "5"))
        assert (await town.get("/stream", headers=headers)).status == 200
        assert (await town.get("/500", headers=headers)).status == 500
        assert (await town.counters("new")).started == 2


async def test_without_a_running_proxy_each_verb_says_so() -> None:
    async with a_town() as town:
        await town.open()
        await town.admit("new")
        await town.envoy.close(timedelta(0))
        with pytest.raises(TrafficError, match="Envoy does not answer"):
            await town.envoy.admit(revision("new"), ())
        with pytest.raises(TrafficError, match="Envoy does not answer"):
            await town.envoy.healthy("new")
        with pytest.raises(TrafficError, match="Envoy does not answer"):
            await town.envoy.steer(Route("production", "new"))


async def test_every_instance_has_its_share_as_soon_as_it_is_healthy_even_of_a_little_traffic() -> None:
    async with a_town() as town:
        await town.open()
        await town.admit("new")
        await town.envoy.steer(Route("production", "new"))
        await town.instance("new")
        await town.serve(revision("new"), *town.instances)
        for _ in range(20):
            await town.get()
        assert all(one.served >= 5 for one in town.instances)


async def test_a_revision_whose_admission_was_broken_off_has_a_preview_or_is_not_healthy() -> None:
    async with a_town() as town:
        await town.open()
        names = [f"broken-{milliseconds}" for milliseconds in range(0, 40, 4)]
        for name in names:
            instance = await town.instance(name)
            admission = asyncio.ensure_future(town.envoy.admit(revision(name), (instance.address,)))
            await asyncio.sleep(float(name.partition("-")[2]) / 1000)
            admission.cancel()
            await asyncio.wait({admission})
        await asyncio.sleep(1.5)  # time enough to be found healthy
        healthy = [name for name in names if await town.envoy.healthy(name)]
        assert healthy, "all were broken off before their instances were known"
        for name in healthy:
            assert town.envoy.preview(name).startswith("http://127.0.0.1:")
