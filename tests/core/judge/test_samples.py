"""Does the judge read raw counters rightly: resets, replaced sources, gaps, torn readings?"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from interlock.core.criteria import Criteria
from interlock.core.judge import Evidence, Verdict, begin, decide, decode, encode, observe
from interlock.core.sample import Counters, Reading, Sample, difference

CANARY, STABLE = "new", "old"


def reading(at: float, canary: dict[str, Counters] | None, stable: dict[str, Counters] | None = None) -> Reading:
    sides = {CANARY: canary, STABLE: stable}
    return Reading(at, "boot", {name: sources for name, sources in sides.items() if sources is not None})


def counters(requests: float, failed: float, pending: float = 0) -> Counters:
    return Counters(requests + pending, requests, failed)


def increments(*raw: tuple[float, float]) -> list[tuple[float, float]]:
    """Canary's (requests, failed) between readings of one source, as the judge counts them."""
    evidence, counted = begin(Criteria(), 90), []
    before = None
    for i, (requests, failed) in enumerate(raw):
        after = reading(10.0 * i, {"proxy": counters(requests, failed)})
        sample = difference(before, after, CANARY, None)
        if sample is not None:
            seen = evidence.errors.total
            evidence = observe(evidence, sample, concurrent=False)
            total = evidence.errors.total
            counted.append((total.requests - seen.requests, total.bad - seen.bad))
        before = after
    return counted


def test_a_counter_that_fell_was_reset_and_a_torn_reading_is_carried_over() -> None:
    assert increments((1000, 5), (1100, 5), (40, 0), (240, 1), (250, 15), (300, 15)) == [
        (100, 0),
        (40, 0),
        (200, 1),
        (10, 10),
        (50, 4),
    ]


def test_a_replaced_source_does_not_look_like_a_reset_of_the_sum() -> None:
    before = reading(0, {"a": counters(10000, 50), "b": counters(10000, 50)})
    after = reading(10, {"b": counters(10100, 50), "c": counters(30, 0)})
    sample = difference(before, after, CANARY, None)
    assert sample is not None and sample.canary is not None
    assert (sample.canary.completed, sample.canary.failed) == (100, 0)


def test_one_sample_covers_a_gap_exactly_once() -> None:
    evidence: Evidence = begin(Criteria(), 90)
    last = reading(0, {"proxy": counters(0, 0)})
    for at, missed in ((10.0, False), (20.0, True), (30.0, True), (40.0, False)):
        if missed:
            sample: Sample | None = Sample(at, timedelta(seconds=10), None, None, "boot")
        else:
            now = reading(at, {"proxy": counters(at * 10, 0)})
            sample, last = difference(last, now, CANARY, None), now
        assert sample is not None
        evidence = observe(evidence, sample, concurrent=False)
    assert evidence.errors.total.requests == 400
    assert evidence.sight.now == 40


def test_a_crash_between_two_readings_changes_nothing() -> None:
    """The engine stores the evidence together with the last raw counters, and goes on from both."""
    readings = [
        reading(10.0 * i, {"p": counters(100 * i, 2 * i)}, {"p": counters(900 * i, 4 * i)}) for i in range(1, 30)
    ]
    straight = resumed = begin(Criteria(), 90)
    for before, after in pairwise(readings):
        sample = difference(before, after, CANARY, STABLE)
        assert sample is not None
        straight = observe(straight, sample, concurrent=True)
        resumed = observe(decode(encode(resumed)), sample, concurrent=True)
        resumed = observe(decode(encode(resumed)), sample, concurrent=True)  # told again after the crash
        assert resumed == straight and decide(resumed) is decide(straight)
    assert decide(straight) is Verdict.FAIL


def test_requests_in_flight_across_readings_make_a_hang() -> None:
    evidence, before = begin(Criteria(), 90), None
    verdicts = []
    for i in range(6):
        hung = Counters(started=50.0 * i, completed=0)
        after = reading(5.0 * i, {"p": hung}, {"p": counters(950 * i, 0)})
        sample = difference(before, after, CANARY, STABLE)
        before = after
        if sample is not None:
            evidence = observe(evidence, sample, concurrent=True)
            verdicts.append(decide(evidence))
    assert verdicts.index(Verdict.FAIL) * 5.0 <= 10.0
