"""Does what Envoy counts become what happened?"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from signal import Signals

import pytest
from tests.adapters.traffic.town import SOON, Load, Town, a_town, eventually, revision

from interlock.adapters.clock import SystemClock
from interlock.adapters.http import HttpError, ask
from interlock.adapters.metrics.envoy import EnvoyMetrics
from interlock.core.route import Route
from interlock.core.sample import Counters, Reading, Side, difference
from interlock.core.weight import Weight
from interlock.ports.metrics import MetricsError


async def serving(town: Town) -> None:
    await town.open()
    await town.admit("new")
    await town.envoy.steer(Route("production", "new"))


async def test_answers_failures_and_latency_are_counted_by_revision() -> None:
    async with a_town() as town:
        await town.open()
        for name in ("old", "new"):
            await town.admit(name)
        await town.envoy.steer(Route("production", "old", "new", Weight(10_000)))
        for path in ("/", "/", "/500", "/break", "/stream"):
            await town.get(path)
        counted = await town.counters("new")
        assert (counted.started, counted.completed, counted.failed) == (5, 5, 2)
        assert sum(counted.latency.values()) == 4  # the one without an answer has no latency
        assert all(float(f"{edge:.2g}") == edge for edge in counted.latency)
        assert len([edge for edge in counted.latency if 1200 <= edge <= 1400]) == 1  # the answer after 1.2 s
        assert (await town.counters("old")).started == 0


async def test_a_revision_that_envoy_does_not_know_is_missing_and_not_zero() -> None:
    async with a_town() as town:
        await serving(town)
        assert set((await town.metrics.read(("new", "never"))).revisions) == {"new"}


async def test_a_request_that_is_not_answered_yet_is_started_and_not_completed() -> None:
    async with a_town() as town:
        await serving(town)
        held = asyncio.ensure_future(town.get("/hold"))
        await eventually(lambda: _started(town, 1))
        counted = await town.counters("new")
        assert (counted.started, counted.completed) == (1, 0)
        town.instances[0].release()
        assert (await held).status == 200
        assert (await town.counters("new")).completed == 1


async def test_a_stream_is_completed_when_its_answer_has_begun() -> None:
    async with a_town() as town:
        await serving(town)
        stream = asyncio.ensure_future(town.get("/stream"))
        await eventually(lambda: _started(town, 1))
        await eventually(lambda: _completed(town, 1))
        assert not stream.done()
        await stream


async def test_a_request_that_its_user_gave_up_is_over_and_neither_good_nor_bad() -> None:
    async with a_town() as town:
        await serving(town)
        with pytest.raises(HttpError):
            await ask(f"127.0.0.1:{town.port}", path="/hang", timeout=timedelta(milliseconds=200))
        await eventually(lambda: _abandoned(town, 1))
        counted = await town.counters("new")
        assert (counted.started, counted.completed, counted.failed, counted.abandoned) == (1, 0, 0, 1)


async def test_what_came_to_no_instance_is_a_failure_of_the_side_that_was_chosen() -> None:
    async with a_town() as town:
        await serving(town)
        await town.instances[0].die()
        await eventually(lambda: _unhealthy(town))
        assert (await town.get()).body == b"no healthy upstream"
        counted = await town.counters("new")
        assert (counted.started, counted.completed, counted.failed) == (1, 1, 1)


async def test_no_503_of_a_dead_canary_is_counted_against_the_stable_side() -> None:
    """Refused, with retries that help nobody, until its death is noticed; then with nobody left to ask."""
    async with a_town() as town:
        await town.open()
        for name in ("old", "new"):
            await town.admit(name)
        await town.envoy.steer(Route("production", "old", "new", Weight(5000)))
        await town.instances[1].die()
        refused = Counter([(await town.get(user=f"{n}")).status for n in range(20)])
        await eventually(lambda: _unhealthy(town))
        nobody = Counter([(await town.get(user=f"{n}")).status for n in range(20)])
        assert set(refused) == set(nobody) == {200, 503} and refused == nobody
        old, new = await town.counters("old"), await town.counters("new")
        assert (old.started, old.completed, old.failed) == (refused[200] * 2, refused[200] * 2, 0)
        tries = new.started - 2 * refused[503]  # each first try that was refused may have been followed by two more
        assert 0 <= tries <= 2 * refused[503]
        assert new.completed == new.failed == new.started


async def test_a_try_that_a_retry_has_hidden_is_a_failure() -> None:
    async with a_town() as town:
        await serving(town)
        dead = await town.instance("new")
        await town.serve(revision("new"), *town.instances)
        await dead.die()  # until a health check or two refused connections say so, Envoy still tries it
        answers = [(await town.get(user=f"{n}")).status for n in range(40)]
        assert set(answers) == {200}
        counted = await town.counters("new")
        assert counted.failed >= 1
        assert counted.started == counted.completed == 40 + counted.failed


async def test_without_retries_the_same_try_is_one_failed_request() -> None:
    async with a_town(retries=False) as town:
        await serving(town)
        dead = await town.instance("new")
        await town.serve(revision("new"), *town.instances)
        await dead.die()
        failed = [(await town.get(user=f"{n}")).status for n in range(40)].count(503)
        counted = await town.counters("new")
        assert failed >= 1
        assert (counted.started, counted.completed, counted.failed) == (40, 40, failed)


async def test_counters_never_fall_and_never_contradict_themselves_under_load() -> None:
    async with a_town() as town:
        await serving(town)
        load = Load(town.port)
        before = Counters()
        for _ in range(60):
            now = (await town.metrics.read(("new",))).revisions["new"]["envoy"]
            assert now.started >= now.completed >= now.failed
            assert now.started >= before.started and now.completed >= before.completed
            before = now
            await asyncio.sleep(0.01)
        await load.end()
        counted = await town.counters("new")
        assert counted.started == counted.completed == sum(load.answered.values()) == sum(counted.latency.values())


async def test_an_envoy_that_began_anew_is_seen_as_such_and_nothing_is_counted_twice() -> None:
    async with a_town() as town:
        await serving(town)
        for _ in range(30):
            await town.get()
        await asyncio.sleep(3.2)  # Envoy knows its age to a second or two
        before = await _reading(town)
        (process,) = await town.host.find(town.label)
        await town.host.signal(process, Signals.SIGKILL)
        await town.host.gone(process, SOON)
        await town.envoy._ensure_running()
        for _ in range(20):
            await town.get()
        sample = difference(before, await _reading(town), "new", None)
        assert sample is not None and sample.canary is not None
        assert _counts(sample.canary) == (20, 20, 0)


async def test_an_envoy_that_does_not_answer_is_blindness_within_two_seconds() -> None:
    with pytest.raises(MetricsError, match="Envoy's counters cannot be read"):
        await EnvoyMetrics(Path("/nowhere/envoy.sock"), SystemClock()).read(("new",))
    async with a_town() as town:
        await serving(town)
        (process,) = await town.host.find(town.label)
        await town.host.signal(process, Signals.SIGSTOP)
        async with asyncio.timeout(SOON.total_seconds()):
            with pytest.raises(MetricsError, match="no complete answer within 2 s"):
                await town.metrics.read(("new",))
        await town.host.signal(process, Signals.SIGCONT)


async def _reading(town: Town) -> Reading:
    await asyncio.sleep(1.2)
    return await town.metrics.read(("new",))


async def _started(town: Town, requests: int) -> bool:
    return (await town.metrics.read(("new",))).revisions["new"]["envoy"].started == requests


async def _abandoned(town: Town, requests: int) -> bool:
    return (await town.metrics.read(("new",))).revisions["new"]["envoy"].abandoned == requests


async def _completed(town: Town, requests: int) -> bool:
    return (await town.metrics.read(("new",))).revisions["new"]["envoy"].completed == requests


async def _unhealthy(town: Town) -> bool:
    return not await town.envoy.healthy("new")


def _counts(side: Side) -> tuple[float, float, float]:
    return side.started, side.completed, side.failed


async def test_what_comes_by_a_preview_is_counted_apart_and_there_4xx_is_a_failure() -> None:
    async with a_town() as town:
        await serving(town)
        for path in ("/", "/404", "/500"):
            await town.get(path)
            await ask(town.envoy.preview("new").removeprefix("http://"), path=path, timeout=SOON)
        await ask(town.envoy.preview("new").removeprefix("http://"), timeout=SOON)
        users = await town.counters("new")
        assert (users.started, users.failed) == (3, 1)
        reading = await town.metrics.read_previews(("new", "never"))
        assert set(reading.revisions) == {"new"}
        ours = reading.revisions["new"]["envoy"]
        assert (ours.started, ours.completed, ours.failed) == (4, 4, 2)
        assert sum(ours.latency.values()) > 0
