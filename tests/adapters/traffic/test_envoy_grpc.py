"""Is a service that speaks HTTP/2 or gRPC carried, checked and counted? gRPC's failures travel as HTTP 200."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adapters.traffic.grpc_instance import GrpcInstance
from tests.adapters.traffic.town import BY_USER, SOON, Town, a_town, eventually, revision

from interlock.adapters.http import HttpError, Response, ask
from interlock.adapters.load import LoopbackLoader
from interlock.adapters.probe.network import NetworkProber, grpc, h2c
from interlock.core.health import Identify, Probe, ProbeKind, SmokeTest
from interlock.core.load import GRPC
from interlock.core.release import Entrance, Protocol, Revision
from interlock.core.route import Route
from interlock.core.sample import Counters
from interlock.core.steps import Load
from interlock.core.weight import Weight

BY_GRPC = Probe(ProbeKind.GRPC, path="")
HALF = Weight(5000)


def speaking(name: str, protocol: Protocol = Protocol.GRPC, readiness: Probe = BY_GRPC, **more: object) -> Revision:
    """Return a revision whose instances speak so."""
    one = revision(name, readiness)
    configuration = replace(one.release.configuration, protocol=protocol, **more)  # type: ignore[arg-type]
    return replace(one, release=replace(one.release, version=name, configuration=configuration))


async def serve(town: Town, one: Revision, instances: int = 1) -> list[GrpcInstance]:
    """Begin a revision's instances, admit them and wait until Envoy finds them healthy."""
    begun = [GrpcInstance(one.name) for _ in range(instances)]
    for instance in begun:
        await instance.begin()
    town.others += begun
    addresses = tuple(instance.address for instance in begun)
    await town.envoy.admit(one, addresses)
    await eventually(lambda: _healthy(town, one.name, addresses))
    return begun


async def call(town: Town, path: str, timeout: timedelta = SOON) -> Response:
    """Call a method as a user does."""
    return await grpc.call(f"127.0.0.1:{town.port}", path, b"", timeout)


async def status_of(town: Town, path: str) -> str | None:
    return (await call(town, path)).header("grpc-status")


def counts(counters: Counters) -> tuple[float, float, float]:
    return counters.started, counters.completed, counters.failed


async def _healthy(town: Town, name: str, addresses: tuple[str, ...]) -> bool:
    return frozenset(addresses) <= await town.envoy.healthy(name)


OUTCOMES = (
    ("/t/unary-0", "0", 0),
    ("/t/stream-0", "0", 0),
    ("/t/unary-14", "14", 1),  # UNAVAILABLE in a trailer
    ("/t/only-14", "14", 1),  # and in an answer that is nothing but trailers
    ("/t/stream-14", "14", 1),  # and after three messages
    ("/t/unary-13", "13", 1),
    ("/t/unary-5", "5", 0),  # NOT_FOUND is no fault of the server
    ("/t/only-16", "16", 0),  # neither is UNAUTHENTICATED
)


async def test_a_call_is_counted_once_and_fails_by_its_grpc_status() -> None:
    async with a_town() as town:
        await town.open()
        await serve(town, speaking("new"))
        await serve(town, speaking("old"))
        await town.envoy.steer(Route("production", "old", "new", Weight(10_000)))
        calls = failures = 0
        for path, status, failed in OUTCOMES:
            assert await status_of(town, path) == status
            calls, failures = calls + 1, failures + failed
            assert counts(await town.counters("new")) == (calls, calls, failures), path
        assert counts(await town.counters("old")) == (0, 0, 0)


async def test_each_side_has_its_own_calls_and_verification_is_in_nobodys_counters() -> None:
    async with a_town() as town:
        await town.open()
        (old,), (new,) = await serve(town, speaking("old")), await serve(town, speaking("new"))
        route = Route("production", "old", "new", HALF)
        await town.envoy.steer(route)
        verified = await town.envoy.verify(route)
        assert verified.ok, verified.reason
        assert verified.probes == 200 and 50 < verified.on_canary < 150
        for number in range(40):
            headers = (("te", "trailers"), ("content-type", "application/grpc"), ("x-user", f"{number}"))
            await h2c.ask(f"127.0.0.1:{town.port}", "POST", "/t/only-14", headers, b"\0\0\0\0\0", timeout=SOON)
        for name, instance in (("old", old), ("new", new)):
            assert instance.called > 0
            assert counts(await town.counters(name)) == (instance.called,) * 3
        assert old.called + new.called == 40


@pytest.mark.parametrize("readiness", [Probe(path="/ready"), Probe(ProbeKind.TCP), BY_GRPC], ids=lambda p: p.kind)
@pytest.mark.parametrize("protocol", [Protocol.H2C, Protocol.GRPC])
async def test_whatever_readiness_asks_the_route_to_an_http2_service_is_verified(
    protocol: Protocol, readiness: Probe
) -> None:
    async with a_town() as town:
        await town.open()
        (one,) = await serve(town, speaking("new", protocol, readiness))
        await town.envoy.steer(Route("production", "new"))
        verified = await town.envoy.verify(Route("production", "new"))
        assert verified.ok, verified.reason
        assert (await town.get("/SIDE")).body == b"new"  # a user of HTTP/1.1
        over_http2 = await h2c.ask(f"127.0.0.1:{town.port}", "GET", "/SIDE", timeout=SOON)
        assert over_http2.body == b"new"
        one.ready = False
        if readiness.kind is ProbeKind.HTTP:
            await eventually(lambda: _nobody(town))


async def _nobody(town: Town) -> bool:
    return not await town.envoy.healthy("new")


async def test_a_release_may_change_what_its_service_speaks() -> None:
    async with a_town() as town:
        await town.open()
        await town.admit("old")
        await serve(town, speaking("new", Protocol.H2C, Probe(path="/ready")))
        route = Route("production", "old", "new", HALF)
        await town.envoy.steer(route)
        verified = await town.envoy.verify(route)
        assert verified.ok, verified.reason
        answered = [(await town.get("/SIDE", user=f"{n}")).body.decode() for n in range(40)]
        assert set(answered) == {"old", "new"}


async def test_what_envoy_answers_itself_is_a_failed_call_once() -> None:
    async with a_town() as town:
        await town.open(Entrance(await town.host.free_port(), request_timeout=timedelta(milliseconds=300)))
        (one,) = await serve(town, speaking("new"))
        await town.envoy.steer(Route("production", "new"))
        response = await call(town, "/t/hang")
        assert (response.status, response.header("grpc-status")) == (200, "14")
        assert counts(await town.counters("new")) == (1, 1, 1)
        assert await status_of(town, "/t/long") == "0"  # an answer that has begun may take its time
        await one.die()
        await eventually(lambda: _nobody(town))
        assert await status_of(town, "/t/unary-0") == "14"
        assert counts(await town.counters("new")) == (3, 3, 2)


async def test_a_refused_stream_that_a_retry_has_hidden_is_a_failure() -> None:
    async with a_town() as town:
        await town.open()
        await serve(town, speaking("new"), instances=2)
        await town.envoy.steer(Route("production", "new"))
        for _ in range(4):
            assert await status_of(town, "/t/refused") == "0"
        assert counts(await town.counters("new")) == (6, 6, 2)


async def test_a_call_that_its_user_gave_up_is_neither_good_nor_bad() -> None:
    async with a_town() as town:
        await town.open()
        await serve(town, speaking("new"))
        await town.envoy.steer(Route("production", "new"))
        with pytest.raises(HttpError):
            await call(town, "/t/hang", timedelta(milliseconds=300))
        await eventually(lambda: _abandoned(town))
        assert counts(await town.counters("new")) == (1, 0, 0)


async def _abandoned(town: Town) -> bool:
    return (await town.metrics.read(("new",))).revisions["new"]["envoy"].abandoned == 1


async def test_a_long_stream_is_waited_for_by_a_drain_and_named_when_it_is_cut() -> None:
    async with a_town() as town:
        await town.open()
        one = speaking("new")
        first, second = await serve(town, one, instances=2)
        await town.envoy.steer(Route("production", "new"))
        streams = [asyncio.ensure_future(call(town, "/t/long")) for _ in range(6)]
        await eventually(lambda: _flying(town, 6))
        mark = datetime.now(UTC)
        await town.envoy.drain("new", (first.address,))
        flight = await town.envoy.in_flight("new")
        assert flight[first.address] > 0 and sum(flight.values()) == 6
        assert await status_of(town, "/t/unary-0") == "0"
        assert first.called == flight[first.address]
        await asyncio.wait_for(_all(streams), SOON.total_seconds())
        await eventually(lambda: _flying(town, 0))
        assert await town.envoy.dismiss("new", (first.address,)) == ()
        assert await town.envoy.cut_since("new", mark) == ()
        late = asyncio.ensure_future(call(town, "/t/long"))
        await eventually(lambda: _flying(town, 1))
        await town.envoy.drain("new", (second.address,))
        await second.die()
        with pytest.raises(HttpError):
            await late
        assert await town.envoy.cut_since("new", mark) == ("POST /t/long",)


async def _all(streams: list[asyncio.Task[Response]]) -> None:
    assert [(await one).header("grpc-status") for one in streams] == ["0"] * len(streams)


async def _flying(town: Town, calls: int) -> bool:
    return sum((await town.envoy.in_flight("new")).values()) == calls


async def test_smoke_tests_and_identification_ask_a_grpc_service_through_its_preview() -> None:
    async with a_town() as town:
        await town.open()
        one = speaking("new", identify=Identify(header="x-version"))
        await serve(town, one)
        prober, preview = NetworkProber(Path("/")), town.envoy.preview("new")
        assert (await prober.smoke(SmokeTest("t", grpc=""), one, preview)).ok
        assert (await prober.smoke(SmokeTest("t", "/SIDE", matches="new"), one, preview)).ok
        answer = await prober.smoke(SmokeTest("t", "/SIDE", status=204), one, preview)
        assert "expected 204; a gRPC service is tested by `grpc` or by a `command`" in answer.reason
        other = replace(one, release=replace(one.release, version="v9"))
        answer = await prober.identify(other, preview)
        assert answer.reason == "/grpc.health.v1.Health/Check was answered by version new (x-version), expected v9"
        assert counts(await town.counters("new")) == (0, 0, 0)


async def test_synthetic_load_calls_a_grpc_service_through_its_preview_and_its_failures_are_counted() -> None:
    async with a_town() as town:
        await town.open()
        (one,) = await serve(town, speaking("new"))
        load = Load("new", "old", 200, 40, SOON, ("/t/unary-0", "/t/only-14"), GRPC)
        await LoopbackLoader().send(town.envoy.preview("new"), load, load.requests, SOON)
        assert one.called == 40
        previewed = (await town.metrics.read_previews(("new",))).revisions["new"]["envoy"]
        assert counts(previewed) == (40, 40, 20)
        assert counts(await town.counters("new")) == (0, 0, 0)


async def test_a_kept_connection_of_http1_carries_users_to_http2() -> None:
    async with a_town() as town:
        await town.open(Entrance(await town.host.free_port(), sticky=BY_USER))
        await serve(town, speaking("new", Protocol.H2C, Probe(path="/ready")))
        await town.envoy.steer(Route("production", "new"))
        for _ in range(3):
            assert (await ask(f"127.0.0.1:{town.port}", path="/x", timeout=SOON)).status == 200
        assert counts(await town.counters("new")) == (3, 3, 0)
