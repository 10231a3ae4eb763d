"""Is a native histogram, as a real Prometheus stores it, counted as exactly as a classic one?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from math import inf, log2

import pytest
from tests.adapters.metrics.exposition import COUNTER, HISTOGRAM, counter, family, native
from tests.adapters.metrics.scene import DEADLINE, Needs, Scene, scene

from interlock.adapters.clock import SystemClock
from interlock.adapters.metrics.prometheus import NotUnderstood, PrometheusMetrics
from interlock.adapters.metrics.prometheus.native import Native, Unusable, coarsest, edges, grid, nearest, slower
from interlock.core.metric import Counted, Metric, Ratio, Series, Slower
from interlock.core.sample import Events, Reading, difference

SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
FEATURES = "native-histograms"
EVERY = "300ms"


def told(schema: int, buckets: Mapping[int, float], zero: float = 0.0) -> Native:
    """Return what Prometheus tells of buckets by their index."""
    step = 2.0**-schema
    filled = [(2.0 ** ((i - 1) * step), 2.0 ** (i * step), count) for i, count in sorted(buckets.items())]
    near = [(-(2.0**-128), 2.0**-128, zero)] if zero else []
    return Native(zero + sum(buckets.values()), (*near, *filled))


# The layout that the judge takes


@pytest.mark.parametrize("schema", range(-4, 9))
def test_the_resolution_is_seen_by_any_filled_bucket(schema: int) -> None:
    for index in (-40, -3, 0, 1, 7):
        if abs(index * 2.0**-schema) < 200:
            assert told(schema, {index: 5}, zero=3).schema == schema
    assert told(schema, {}, zero=3).schema is None and Native(0).schema is None


def test_a_layout_lists_all_its_edges_whatever_is_filled_and_has_twice_each_of_them() -> None:
    empty, filled = edges([Native(0)], SECOND), edges([told(3, {-27: 10, -20: 1}, zero=2)], SECOND)
    assert list(empty) == list(filled) == [*grid(3, SECOND), inf]
    assert set(empty.values()) == {0.0}
    finite = [edge for edge in filled if edge < inf]
    assert min(finite) == 2.0**-9.875 > 0.001 > min(finite) / 2 ** (1 / 8) and 480 <= max(finite) <= 520
    assert all(2 * edge in filled for edge in finite if 2 * edge <= max(finite))
    assert next(iter(edges([Native(0)], MILLISECOND))) == 1.0


@pytest.mark.parametrize("schema", [3, 4, 8])
def test_a_finer_histogram_is_brought_to_the_layout_exactly(schema: int) -> None:
    """Each bucket lies whole within one of ours, so nothing is guessed."""
    many = 2 ** (schema - 3)
    counts = {index: index % 7 + 1.0 for index in range(-60 * many, 10 * many)}
    found, below = edges([told(schema, counts)], SECOND), 0.0
    for edge in [one for one in found if one < inf]:
        exact = sum(count for i, count in counts.items() if i * 2.0**-schema <= log2(edge) + 1e-9)
        assert found[edge] == exact >= below
        below = exact
    assert found[inf] == sum(counts.values())


def test_several_are_told_in_the_coarsest_resolution_of_them() -> None:
    """Series of one instance, one of which has grown too large for its resolution."""
    fine, coarse = told(5, {-100: 3, 4: 1}), told(1, {-6: 10, 2: 4})
    assert coarsest([fine, coarse, Native(0)]) == 1
    found = edges([fine, coarse], SECOND)
    assert [*found] == [*grid(1, SECOND), inf] and found[inf] == 18
    assert found[2.0**-3] == 13 and found[1.0] == 13 and found[2**0.5] == 14 and found[2.0] == 18


def test_what_lies_outside_of_the_layout_is_counted_at_its_ends() -> None:
    found = edges([told(3, {-200: 4, 100: 2}, zero=5)], SECOND)
    assert found[min(found)] == 9 and found[inf] == 11
    assert {value for edge, value in found.items() if edge < inf} == {9}
    assert found[max(edge for edge in found if edge < inf)] == 9


@pytest.mark.parametrize(
    ("histogram", "said"),
    [
        (Native(3, ((0.1, 0.2, 4.0),)), "do not fit together"),
        (Native(3, ((0.1, 0.2, -1.0),)), "do not fit together"),
        (Native(inf, ((0.1, 0.2, 1.0),)), "do not fit together"),
        (Native(3, ((0.1, 0.25, 3.0),)), "from 0.1 to 0.25, which is none of an exponential layout"),
        (Native(3, ((-inf, 0.25, 3.0),)), "stored as a classic histogram"),
        (Native(3, ((0.25, inf, 3.0),)), "stored as a classic histogram"),
    ],
)
def test_buckets_that_cannot_be_used_are_no_evidence(histogram: Native, said: str) -> None:
    with pytest.raises(Unusable, match=said):
        edges([histogram], SECOND)


def test_slow_begins_at_the_nearest_edge_and_never_at_one_that_is_far_away() -> None:
    some = [told(3, {-27: 90, -26: 9, -20: 1})]
    assert nearest(some, 0.1) == 2.0 ** (-27 / 8) == pytest.approx(0.0964, rel=1e-3)
    assert slower(some, nearest(some, 0.1)) == (100, 10)
    assert nearest([told(2, {1: 1})], 0.1) == 2.0 ** (-13 / 4) and nearest([told(0, {1: 1})], 0.25) == 0.25
    assert nearest([Native(0)], 0.1) == nearest(some, 0.1) == nearest([told(8, {1: 1})], 0.1)
    with pytest.raises(Unusable, match=r"no edge near 0.1: its buckets are too wide, the nearest ends at 0.0883883"):
        nearest([told(1, {1: 1})], 0.1)


# As a real Prometheus has it


def page(requests: int, slow: int = 0, schema: int = 3, twice: bool = True) -> bytes:
    """Show so many requests: the slow ones took about 0.5 s, the others about 0.09 s; half of them on another path."""
    quick, index = requests - slow, {3: (-27, -8), 2: (-13, -4)}[schema]
    parts = {"/a": quick - quick // 2, "/b": quick // 2}
    buckets = [native({index[0]: parts["/a"], index[1]: slow}, schema, {"path": "/a"}, sum=0.1 * requests)]
    buckets += [native({index[0]: parts["/b"]} if parts["/b"] else {}, schema, {"path": "/b"})]
    return b"".join(
        (
            family("requests_total", COUNTER, [counter(requests, {"code": "200"}), counter(0, {"code": "500"})]),
            family("request_seconds", HISTOGRAM, buckets),
            family("other_seconds", HISTOGRAM, [native({4: 7}, schema, {"path": "/a"})]),
        )
    )


def metric(here: Scene, histogram: str, than: timedelta) -> Metric:
    return Metric("slow", 0.01, Slower(Series.parse(histogram), than), path="", source=here.source)


def counted(here: Scene, latency: str = "request_seconds") -> Counted:
    failures = Series.parse('requests_total{code=~"5.."}')
    return Counted(here.source, Series("requests_total"), failures, Series.parse(latency))


async def read(here: Scene, *revisions: str) -> Reading:
    async with asyncio.timeout(DEADLINE):
        while True:
            reading = await here.metrics.requests(revisions, counted(here))
            if all(name in reading.revisions for name in revisions):
                return reading
            await asyncio.sleep(0.1)


async def test_a_native_histogram_is_read_bucket_by_bucket_of_each_instance_and_revision(needs: Needs) -> None:
    pages = (("new", page(100, 7)), ("new", page(0)), ("old", page(900, 9, schema=2)))
    async with scene(needs, *pages, every=EVERY, features=FEATURES) as here:
        for one in here.instances:
            await one.again()
        reading = await read(here, "new", "old")
        idle, busy = sorted(reading.revisions["new"].values(), key=lambda one: one.completed)
        (old,) = reading.revisions["old"].values()

        assert (busy.started, busy.completed, busy.failed) == (100, 100, 0)
        filled = {round(edge, 3): count for edge, count in busy.latency.items() if count}
        assert filled == {96.388: 93, 500.0: 7}, "the upper edges in milliseconds, both paths together"
        assert idle.latency.keys() == busy.latency.keys() and set(idle.latency.values()) == {0.0}
        assert {round(edge, 3): n for edge, n in old.latency.items() if n} == {105.112: 891, 500.0: 9}
        assert inf in old.latency and len(old.latency) < len(busy.latency)

        # Several histograms in one question, whose labels are alike but for their names, and parts of one.
        for histogram, than, expected in (
            ("request_seconds", 250, [Events(0, 0), Events(100, 7)]),
            ('request_seconds{path="/b"}', 250, [Events(0, 0), Events(46, 0)]),
            ("request_seconds", 100, [Events(0, 0), Events(100, 7)]),
            ("other_seconds", 1000, [Events(7, 7), Events(7, 7)]),
            ("other_seconds", 2000, [Events(7, 0), Events(7, 0)]),
        ):
            named = metric(here, histogram, timedelta(milliseconds=than))
            assert await here.events(named) == expected, (histogram, than)
        both = (metric(here, "request_seconds", SECOND / 4), replace(metric(here, "other_seconds", SECOND), name="b"))
        shown = await PrometheusMetrics(lambda _: "", SystemClock()).show("new", both)
        totals = sorted(one.total for by in shown.events.values() for one in by.values())
        assert (totals, shown.unseen) == ([0, 7, 7, 100], {})

        # A library halves the resolution when there are too many buckets: what happened since is told by what is left.
        here.instances[0].page = page(250, 27, schema=2)
        async with asyncio.timeout(DEADLINE):
            while (after := await read(here, "new", "old")).revisions["new"] == reading.revisions["new"]:
                await asyncio.sleep(0.1)
        sample = difference(reading, after, "new", "old")
        assert sample is not None and sample.canary is not None and sample.stable is not None
        assert (sample.canary.completed, sum(sample.canary.latency.values())) == (150, 150)
        assert {round(edge, 3): n for edge, n in sample.canary.latency.items() if n} == {105.112: 130, 500.0: 20}
        assert not any(sample.stable.latency.values()), "nothing is counted twice"

        # A plan looks at what is there.
        await here.metrics.check((metric(here, "request_seconds", SECOND),), counted(here))
        await here.metrics.check((metric(here, "not_yet_seconds", SECOND),), None)
        with pytest.raises(NotUnderstood, match=r"metrics\.prometheus\.latency: .* has requests_total as numbers"):
            await here.metrics.check((), counted(here, "requests_total"))
        ratio = Metric("mine", 0.1, Ratio(Series("request_seconds"), Series("requests_total")), source=here.source)
        with pytest.raises(NotUnderstood, match=r"criteria\.metrics\.mine: .* as a native histogram: expected a count"):
            await here.metrics.check((ratio,), None)

        # An instance that is not collected any more, and one that has none, are not silent but unseen.
        here.instances[0].page = here.instances[1].page = None
        assert "no request_seconds of this revision" in await here.unseen(metric(here, "request_seconds", SECOND))
        assert "new" not in (await here.metrics.requests(("new",), counted(here))).revisions
