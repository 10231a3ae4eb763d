"""Is what a real Prometheus has counted once, by instance and revision, and what it has not never taken for zero?"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.adapters.incidents.server import serving
from tests.adapters.metrics.scene import DEADLINE, TOKEN, Needs, Scene, scene

from interlock.adapters.clock import SystemClock
from interlock.adapters.metrics.prometheus import NotUnderstood, PrometheusMetrics
from interlock.adapters.metrics.together import MetricsTogether
from interlock.core.metric import Counted, Metric, Prometheus, Ratio, Series, Slower
from interlock.core.sample import Events, Reading, Sample, difference
from interlock.ports.metrics import MetricsError, Shown


def page(requests: int, failed: int | None = 0, slow: int = 0, checkouts: str = "") -> str:
    lines = [f'http_requests_total{{code="200"}} {requests - (failed or 0)}']
    lines += [f'http_requests_total{{code="500"}} {failed}'] if failed is not None else []
    for le, count in (("0.1", requests - slow), ("0.5", requests), ("+Inf", requests)):
        lines.append(f'http_request_duration_seconds_bucket{{le="{le}"}} {count}')
    return "\n".join([*lines, checkouts, ""])


def ratio(bad: str, of: str = "http_requests_total") -> Metric:
    return Metric("mine", 0.01, Ratio(Series.parse(bad), Series.parse(of)))


FAILED = ratio('http_requests_total{code=~"5.."}')
SLOW = Metric("slow", 0.01, Slower(Series("http_request_duration_seconds"), timedelta(milliseconds=100)))


# Metrics that the user names


async def test_each_instance_is_counted_for_itself_and_other_revisions_are_not(needs: Needs) -> None:
    async with scene(needs, ("new", page(100, 1, 7)), ("new", page(50, 2)), ("old", page(900, 9))) as here:
        for one in here.instances:
            await one.again()
        assert await here.events(FAILED) == [Events(50, 2), Events(100, 1)]
        assert await here.events(SLOW) == [Events(50, 0), Events(100, 7)]
        assert await here.events(FAILED, "old") == [Events(900, 9)]


async def test_what_was_collected_once_is_shown_once_and_in_between_nothing_is_known(needs: Needs) -> None:
    """Asked far more often than it is collected: no count twice, and no silence where nobody has looked."""
    async with scene(needs, ("new", page(100)), every="3s") as here:
        await here.events(FAILED)
        shown, began = list[Shown](), time.monotonic()
        while here.instances[0].scraped < 4:
            requests = 100 * (here.instances[0].scraped + 1)
            here.instances[0].page = page(requests, requests // 10)
            shown.append(await here.show(FAILED))
            await asyncio.sleep(0.1)
            assert time.monotonic() - began < DEADLINE
        told = [one for one in shown if one.events]
        assert 1 <= len(told) <= 4 < len(shown), "told as often as it was collected"
        assert all(one.unseen == {} for one in shown), "in between it is neither shown nor unseen"
        totals = [next(iter(one.events.values()))["mine"].total for one in told]
        assert totals == sorted(set(totals))


async def test_a_part_of_a_counter_that_never_occurred_is_none_and_a_counter_that_is_missing_is_not_zero(
    needs: Needs,
) -> None:
    async with scene(needs, ("new", page(100, 0, checkouts='jobs_total{kind="a"} 5'))) as here:
        assert await here.events(ratio('http_requests_total{code="404"}')) == [Events(100, 0)]
        assert "no failures_total" in await here.unseen(ratio("failures_total"))
        assert "no http_requests_total{status=" in await here.unseen(ratio('http_requests_total{status="500"}'))
        assert "no nothing_total" in await here.unseen(ratio("jobs_total", "nothing_total"))
        slower = replace(SLOW, events=Slower(Series("http_request_duration_seconds"), timedelta(milliseconds=300)))
        assert "no edge at 0.3; the nearest are 0.1 and 0.5" in await here.unseen(slower)
        none = replace(SLOW, events=Slower(Series("jobs_seconds"), timedelta(seconds=1)))
        assert "native (which it stores with --enable-feature" in await here.unseen(none)


async def test_a_revision_that_nobody_collects_is_unseen_and_never_zero(needs: Needs) -> None:
    async with scene(needs, ("new", page(100))) as here:
        assert "no http_requests_total" in await here.unseen(FAILED, "never")


async def test_an_instance_that_is_not_collected_any_more_becomes_unseen(needs: Needs) -> None:
    async with scene(needs, ("new", page(100))) as here:
        await here.events(FAILED)
        here.instances[0].page = None
        assert "no http_requests_total" in await here.unseen(FAILED)


async def test_what_was_collected_too_long_ago_is_unseen_with_its_age(needs: Needs) -> None:
    async with scene(needs, ("new", page(100)), every="5s") as here:
        await here.events(FAILED)
        metric = replace(FAILED, path="", source=replace(here.source, stale_after=timedelta(seconds=1)))
        async with asyncio.timeout(DEADLINE):
            while not (unseen := (await here.metrics.show("new", (metric,))).unseen):
                await asyncio.sleep(0.2)
        assert "was last collected" in unseen["mine"]


# Users' requests


def counted(here: Scene) -> Counted:
    failures = Series.parse('http_requests_total{code=~"5.."}')
    return Counted(here.source, Series("http_requests_total"), failures, Series("http_request_duration_seconds"))


async def read(here: Scene, *revisions: str) -> Reading:
    """Return a reading in which they all are."""
    async with asyncio.timeout(DEADLINE):
        while True:
            reading = await here.metrics.requests(revisions, counted(here))
            if all(name in reading.revisions for name in revisions):
                return reading
            await asyncio.sleep(0.1)


async def test_requests_failures_and_latency_are_counters_as_the_proxys_are(needs: Needs) -> None:
    async with scene(needs, ("new", page(100, 3, 7)), ("old", page(900, 9)), ("old", page(100))) as here:
        for one in here.instances:
            await one.again()
        reading = await read(here, "new", "old")
    (new,) = reading.revisions["new"].values()
    assert (new.started, new.completed, new.failed, new.abandoned) == (100, 100, 3, 0)
    assert new.latency == {100.0: 93.0, 500.0: 7.0, float("inf"): 0.0}
    assert sorted(one.completed for one in reading.revisions["old"].values()) == [100, 900]


async def test_a_sample_covers_the_time_between_collections_and_counts_everything_once(needs: Needs) -> None:
    async with scene(needs, ("new", page(0)), ("old", page(0)), every="2s") as here:
        before = await read(here, "new", "old")
        began, samples, requests = time.monotonic(), list[Sample](), 0
        while len(samples) < 3:
            requests += 10
            for one in here.instances:
                one.page = page(requests)
            after = await here.metrics.requests(("new", "old"), counted(here))
            sample = difference(before, after, "new", "old")
            before = after
            samples += [sample] if sample else []
            await asyncio.sleep(0.1)
            assert time.monotonic() - began < DEADLINE
        last = before.revisions
    assert all(timedelta(seconds=1) < one.covers < timedelta(seconds=5) for one in samples), samples
    canary, stable = [one.canary for one in samples], [one.stable for one in samples]
    for sides, name in ((canary, "new"), (stable, "old")):
        completed = [one.completed for one in sides if one is not None]
        assert len(completed) == len(samples) and all(completed), "never silence where nobody has looked"
        (counters,) = last[name].values()
        assert sum(completed) <= counters.completed


async def test_a_revision_that_is_collected_no_more_is_missing_which_is_blindness(needs: Needs) -> None:
    async with scene(needs, ("new", page(100)), ("old", page(100))) as here:
        await read(here, "new", "old")
        here.instances[0].page = None
        async with asyncio.timeout(DEADLINE):
            while "new" in (await here.metrics.requests(("new", "old"), counted(here))).revisions:
                await asyncio.sleep(0.1)
        assert "new" not in (await here.metrics.requests(("new",), counted(here))).revisions


async def test_requests_and_named_metrics_come_in_one_reading_and_nothing_between_two_is_lost(needs: Needs) -> None:
    class NoProxy:
        async def read(self, revisions: tuple[str, ...]) -> Reading:
            raise AssertionError("one stream uses one source")

        async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
            raise AssertionError("not asked")

    async with scene(needs, ("new", page(0)), every="2s") as here:
        together = MetricsTogether(NoProxy(), here.metrics, elsewhere=here.metrics)
        metric = replace(FAILED, path="", source=here.source)
        await read(here, "new")
        before, seen, total, began = None, 0.0, 0.0, time.monotonic()
        while seen < 3:
            here.instances[0].page = page(50 * (here.instances[0].scraped + 1), 5 * (here.instances[0].scraped + 1))
            after = await together.read(("new",), (metric,), counted(here))
            sample = difference(before, after, "new", None)
            if sample is not None and sample.canary is not None and before is not None:
                seen, total = seen + 1, total + sample.canary.named["mine"].total
                assert sample.canary.completed == sample.canary.named["mine"].total
            before = after
            await asyncio.sleep(0.1)
            assert time.monotonic() - began < DEADLINE
    assert total > 0


# Whatever else it answers


@pytest.mark.parametrize("manners", ["hang", "cut", "rubbish", "page", "500", "401", "302"])
async def test_a_server_that_does_not_answer_is_blindness_with_its_reason(manners: str) -> None:
    asks = PrometheusMetrics(lambda _: TOKEN, SystemClock(), within=timedelta(seconds=0.5))
    async with serving(lambda path, query: {}, manners) as served:
        source = Prometheus(served.url, token_secret="f")
        shown = await asks.show("new", (replace(FAILED, source=source, path=""),))
        with pytest.raises(MetricsError) as caught:
            await asks.requests(("new",), Counted(source, Series("a"), Series("b"), Series("c")))
        assert served.asked[0][2]["authorization"] == f"Bearer {TOKEN}"
    for said in (shown.unseen["mine"], str(caught.value)):
        assert served.url in said and TOKEN not in said


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"data": {"resultType": "matrix", "result": []}},
        {"data": {"resultType": "vector", "result": [{}]}},
        {"data": {"resultType": "vector", "result": [{"metric": {"interlock": "v0"}, "value": ["x", "y"]}]}},
    ],
)
async def test_an_answer_of_another_shape_is_blindness(answer: Any) -> None:
    asks = PrometheusMetrics(lambda _: TOKEN, SystemClock())
    async with serving(lambda path, query: answer) as served:
        shown = await asks.show("new", (replace(FAILED, source=Prometheus(served.url), path=""),))
    assert "is no Prometheus" in shown.unseen["mine"]


async def test_a_query_that_the_server_does_not_understand_is_found_before_the_release(needs: Needs) -> None:
    async with scene(needs, ("new", page(1))) as here:
        wrong = replace(ratio('http_requests_total{code=~"(?=5).."}'), source=here.source, path="")
        with pytest.raises(
            NotUnderstood, match=r"criteria\.metrics\.mine: http.* does not understand .*: .*parse error"
        ):
            await here.metrics.check((wrong,), None)
        with pytest.raises(NotUnderstood, match=r"metrics\.prometheus\.failures"):
            await here.metrics.check((), replace(counted(here), failures=Series.parse('a{b=~"(?!x)"}')))
        await here.metrics.check((replace(FAILED, source=here.source, path=""), SLOW), counted(here))
        with pytest.raises(MetricsError, match="cannot be reached"):
            await here.metrics.check((replace(FAILED, source=Prometheus("http://127.0.0.1:1"), path=""),), None)
