"""Do the pages of real instances become counts, and whatever else they show a reason, and never a zero?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.adapters.metrics.exposed import ExposedMetrics, Page, Unseen
from interlock.adapters.metrics.together import MetricsTogether
from interlock.core.metric import Metric, Ratio, Series, Slower
from interlock.core.release import Instance
from interlock.core.sample import Counters, Events, Reading
from interlock.ports.metrics import MetricsError, Shown
from interlock.ports.workload import WorkloadError

PAGE = """\
# HELP checkouts_total Checkouts.
# TYPE checkouts_total counter
checkouts_total{kind="card",result="ok"} 90
checkouts_total{kind="card",result="failed"} 10 1700000000000
checkouts_total{kind="cash \\"till\\"",result="ok"} 1e2
# TYPE other_total counter
other_total 7
# TYPE nothing_total counter
nothing_total NaN
# TYPE payment_seconds histogram
payment_seconds_bucket{le="0.25"} 60
payment_seconds_bucket{le="0.5"} 90
payment_seconds_bucket{le="+Inf"} 100
payment_seconds_sum 30
payment_seconds_count 100
# TYPE odd_seconds histogram
odd_seconds_bucket{a="1",le="0.5"} 1
odd_seconds_bucket{a="1",le="+Inf"} 2
odd_seconds_bucket{a="2",le="+Inf"} 2
"""
OPENMETRICS = """\
# TYPE checkouts counter
# HELP checkouts Checkouts.
checkouts_total{result="ok"} 90 # {trace_id="x"} 1.0
checkouts_created{result="ok"} 1.7e9
checkouts_total{result="failed"} 10
# TYPE payment_seconds histogram
# UNIT payment_seconds seconds
payment_seconds_bucket{le="0.5"} 90
payment_seconds_bucket{le="+Inf"} 100
payment_seconds_count 100
payment_seconds_sum 30
# EOF
"""


def ratio(bad: str, of: str = "checkouts_total") -> Metric:
    return Metric("mine", 0.01, Ratio(Series.parse(bad), Series.parse(of)))


def slower(milliseconds: int, histogram: str = "payment_seconds") -> Metric:
    return Metric("mine", 0.01, Slower(Series.parse(histogram), timedelta(milliseconds=milliseconds)))


def seen(metric: Metric, page: str = PAGE, content_type: str = "text/plain; version=0.0.4") -> Events:
    return Page(page, content_type, [metric]).events(metric)


# One page


@pytest.mark.parametrize(
    ("metric", "events"),
    [
        (ratio('checkouts_total{result="failed"}'), Events(200, 10)),
        (ratio('checkouts_total{result=~"fail.*"}', 'checkouts_total{kind="card"}'), Events(100, 10)),
        (ratio("other_total"), Events(200, 7)),
        (ratio('checkouts_total{kind="cash \\"till\\""}'), Events(200, 100)),
        (slower(250), Events(100, 40)),
        (slower(500), Events(100, 10)),
    ],
    ids=str,
)
def test_series_are_selected_and_summed(metric: Metric, events: Events) -> None:
    assert seen(metric) == events


def test_a_part_of_a_counter_that_has_not_occurred_yet_is_none_of_it() -> None:
    assert seen(ratio('checkouts_total{result="refused"}')) == Events(200, 0)


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        (ratio("failures_total"), "it has no failures_total; let it begin at 0"),
        (
            ratio('checkouts_total{reslut="failed"}'),
            'it has no checkouts_total{reslut="failed"}, only checkouts_total{',
        ),
        (ratio("other_total", "missing_total"), "it has no missing_total"),
        (ratio('other_total{a="b"}'), 'it has no other_total{a="b"}, only other_total'),
        (ratio("nothing_total"), "nothing_total is no number"),
        (slower(300), "payment_seconds has no edge at 0.3; the nearest are 0.25 and 0.5"),
        (slower(300, "missing_seconds"), "it has no missing_seconds with buckets"),
        (slower(500, "odd_seconds"), "do not fit together"),
    ],
    ids=str,
)
def test_what_is_not_shown_is_unseen_with_its_reason_and_never_zero(metric: Metric, why: str) -> None:
    with pytest.raises(Unseen) as unseen:
        seen(metric)
    assert why in str(unseen.value)


def test_openmetrics_are_read_too() -> None:
    kind = "application/openmetrics-text; version=1.0.0"
    assert seen(ratio('checkouts_total{result="failed"}'), OPENMETRICS, kind) == Events(100, 10)
    assert seen(slower(500), OPENMETRICS, kind) == Events(100, 10)


def test_a_page_that_is_none_is_unseen() -> None:
    for page in ("<html>checkouts_total</html>", "", 'checkouts_total{a="b} 7', "checkouts_total seven"):
        with pytest.raises(Unseen):
            seen(ratio("other_total"), page)


def test_only_the_lines_that_are_wanted_cost_time() -> None:
    long = PAGE + "".join(f'series_{i}_total{{a="{i}"}} {i}\n' for i in range(20_000))
    began = time.process_time()
    assert seen(ratio("other_total"), long) == Events(200, 7)
    assert time.process_time() - began < 1.0


# Real instances


class Town:
    """A workload whose instances are small servers, each with a page of its own; None is a page that never comes."""

    def __init__(self, *pages: str | None, status: str = "200 OK") -> None:
        self.pages, self.status, self.standing = list(pages), status, list[Instance]()
        self.asked: list[str] = []

    async def instances(self, revision: str) -> tuple[Instance, ...]:
        return tuple(self.standing)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Town]:
        servers = [await asyncio.start_server(self._answer(slot), "127.0.0.1", 0) for slot in range(len(self.pages))]
        for slot, server in enumerate(servers):
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.standing.append(Instance("new", slot, address, True, True, 0, "", f"pid {1000 + slot}"))
        try:
            yield self
        finally:
            for server in servers:
                server.close()

    def _answer(self, slot: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            page = self.pages[slot]
            if page is not None:
                head = f"HTTP/1.1 {self.status}\r\nContent-Type: text/plain\r\nContent-Length: {len(page)}\r\n\r\n"
                writer.write(f"{head}{page}".encode())
                await writer.drain()
            else:
                await reader.read()  # until whoever asked has had enough
            writer.close()

        return answer


def shows(events: int, bad: int) -> str:
    return f"checkouts_total {events}\nfailures_total {bad}\n"


FAILED = ratio("failures_total")


async def test_each_instance_is_asked_for_itself_and_counted_for_itself() -> None:
    async with Town(shows(100, 1), shows(50, 2)).open() as town:
        shown = await ExposedMetrics(town).show("new", (FAILED,))
    assert list(shown.events.values()) == [{"mine": Events(100, 1)}, {"mine": Events(50, 2)}]
    assert shown.unseen == {}
    assert all(head.startswith("GET /metrics HTTP/1.1") for head in town.asked)


async def test_an_instance_that_was_started_again_is_another_source() -> None:
    async with Town(shows(100, 1)).open() as town:
        first = await ExposedMetrics(town).show("new", (FAILED,))
        town.standing = [replace(town.standing[0], process="pid 2000", restarts=1)]
        second = await ExposedMetrics(town).show("new", (FAILED,))
    assert first.events.keys().isdisjoint(second.events)


async def test_the_instances_that_do_not_show_a_metric_make_it_unseen_and_the_others_are_counted() -> None:
    async with Town(shows(100, 1), "something_else 1\n", None).open() as town:
        shown = await ExposedMetrics(town, within=timedelta(milliseconds=200)).show("new", (FAILED,))
    assert shown.unseen["mine"].startswith("instance 1: /metrics: it has no checkouts_total")
    assert next(iter(shown.events.values())) == {"mine": Events(100, 1)}


async def test_an_instance_whose_page_never_comes_is_not_waited_for() -> None:
    async with Town(None).open() as town:
        shown = await ExposedMetrics(town, within=timedelta(milliseconds=200)).show("new", (FAILED,))
    assert "no complete answer within 0.2 s" in shown.unseen["mine"]


async def test_an_instance_that_starts_does_not_hide_the_others() -> None:
    async with Town(shows(100, 1), "").open() as town:
        town.standing[1] = replace(town.standing[1], ready=False)
        shown = await ExposedMetrics(town).show("new", (FAILED,))
    assert shown.unseen == {}


async def test_without_a_ready_instance_everything_is_unseen() -> None:
    for town in (Town(), Town(shows(1, 0))):
        async with town.open():
            town.standing = [replace(one, ready=False) for one in town.standing]
            shown = await ExposedMetrics(town).show("new", (FAILED,))
        assert shown == Shown({}, {"mine": "no instance of new is ready"})


async def test_an_answer_that_is_not_200_is_unseen() -> None:
    async with Town(shows(1, 0), status="404 Not Found").open() as town:
        shown = await ExposedMetrics(town).show("new", (FAILED,))
    assert shown.unseen == {"mine": "instance 0: /metrics: status 404 instead of 200"}


# Together with the proxy


class Proxy:
    """Counts what it is told to."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    async def read(self, revisions: tuple[str, ...]) -> Reading:
        if self.broken:
            raise MetricsError("the proxy does not answer")
        return Reading(7.0, "boot", {name: {"proxy": Counters(5, 5)} for name in revisions})

    async def read_previews(self, revisions: tuple[str, ...]) -> Reading:
        return await self.read(revisions)


class Source:
    """A source that takes its time, or breaks."""

    def __init__(self, seconds: float = 0, problem: Exception | None = None) -> None:
        self.seconds, self.problem = seconds, problem

    def knows(self, metric: Metric) -> bool:
        return metric.name != "unknown"

    async def show(self, revision: str, metrics: tuple[Metric, ...]) -> Shown:
        await asyncio.sleep(self.seconds)
        if self.problem is not None:
            raise self.problem
        return Shown({"a life": {one.name: Events(9, 1) for one in metrics}}, {})


async def test_both_are_in_one_reading_whose_time_is_the_proxys() -> None:
    reading = await MetricsTogether(Proxy(), Source()).read(("new", "old"), (FAILED,))
    assert reading.monotonic == 7.0 and set(reading.revisions) == {"new", "old"}
    assert reading.named == {name: {"a life": {"mine": Events(9, 1)}} for name in ("new", "old")}
    assert reading.unseen == {"new": {}, "old": {}}


async def test_a_source_that_is_late_costs_the_proxys_sample_no_more_than_its_limit() -> None:
    together = MetricsTogether(Proxy(), Source(seconds=60), within=timedelta(milliseconds=100))
    reading = await asyncio.wait_for(together.read(("new",), (FAILED,)), 10)
    assert reading.unseen == {"new": {"mine": "not shown within 0.1 s"}} and reading.revisions["new"]


async def test_a_source_that_breaks_is_blindness_of_its_metrics_only() -> None:
    reading = await MetricsTogether(Proxy(), Source(problem=WorkloadError("gone"))).read(("new",), (FAILED,))
    assert "gone" in reading.unseen["new"]["mine"] and reading.revisions["new"]


async def test_a_metric_that_no_source_knows_is_unseen() -> None:
    unknown = replace(FAILED, name="unknown")
    reading = await MetricsTogether(Proxy(), Source()).read(("new",), (FAILED, unknown))
    assert reading.unseen == {"new": {"unknown": "no source on this machine counts it"}}


async def test_a_proxy_that_does_not_answer_is_an_error_whatever_the_sources_say() -> None:
    with pytest.raises(MetricsError):
        await MetricsTogether(Proxy(broken=True), Source(seconds=60)).read(("new",), (FAILED,))


async def test_without_named_metrics_no_instance_is_asked() -> None:
    together = MetricsTogether(Proxy(), Source(problem=AssertionError("asked")))
    assert (await together.read(("new",))).named == {}
