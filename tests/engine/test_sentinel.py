from interlock.core.sample import Counters, Reading, difference
from interlock.engine.sentinel import _kept


def reading(at: float, **requests: float) -> Reading:
    return Reading(at, "boot", {name: {"proxy": Counters(n, n)} for name, n in requests.items()})


def test_a_revision_that_was_not_counted_once_is_counted_from_where_it_was() -> None:
    kept = _kept(reading(1, new=100, old=900), reading(2, old=990))
    sample = difference(kept, reading(3, new=120, old=1080), "new", "old")
    assert sample is not None and sample.canary is not None and sample.stable is not None
    assert (sample.canary.completed, sample.stable.completed) == (20, 90)


def test_another_boot_begins_anew() -> None:
    after = Reading(1, "another", {})
    assert _kept(reading(5, new=100), after) == after
