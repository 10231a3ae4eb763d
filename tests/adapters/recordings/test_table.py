"""Is a table read as it was meant, and does what cannot be understood name its line?"""

from __future__ import annotations

from datetime import timedelta
from math import inf

import pytest

from interlock.adapters.recordings.table import read
from interlock.core.recording import RecordingError
from interlock.core.weight import Weight

HEADER = "time,canary_requests,canary_failed,stable_requests,stable_failed"


def test_a_row_is_what_happened_since_the_row_before() -> None:
    recording = read("t.csv", f"{HEADER}\n0,,,,\n5,50,1,950,2\n10,40,0,960,0\n\n")
    (first_at, first), (second_at, second) = recording.sampled
    assert (first_at, second_at) == (5.0, 10.0)
    assert first.sample.covers == second.sample.covers == timedelta(seconds=5)
    assert first.sample.canary is not None and first.sample.stable is not None
    assert (first.sample.canary.completed, first.sample.canary.failed) == (50, 1)
    assert (first.sample.stable.completed, first.sample.stable.failed) == (950, 2)
    assert first.concurrent and recording.begun.criteria.sample_every == timedelta(seconds=5)


def test_moments_may_be_dates_and_weights_are_kept() -> None:
    text = f"{HEADER},weight\n2026-03-01T12:00:00Z,,,,,5%\n2026-03-01T12:00:10Z,50,1,950,2,5%\n"
    ((seconds, line),) = read("t.csv", text).sampled
    assert seconds == 10 and line.weight == Weight(500)
    assert line.at.isoformat() == "2026-03-01T12:00:10+00:00"


def test_an_empty_cell_is_blindness_and_no_stable_column_is_no_stable_side() -> None:
    ((_, line),) = read("t.csv", f"{HEADER}\n0,,,,\n5,,,950,2\n").sampled
    assert line.sample.canary is None and line.sample.stable is not None
    ((_, alone),) = read("t.csv", "time,canary_requests,canary_failed\n0,,\n5,3,0\n").sampled
    assert alone.sample.stable is None and not alone.concurrent


def test_latency_is_counted_up_to_each_edge() -> None:
    header = f"{HEADER},canary_le_250,canary_le_100"
    ((_, line),) = read("t.csv", f"{header}\n0,,,,,,\n5,50,0,9,0,48,40\n").sampled
    assert line.sample.canary is not None
    assert line.sample.canary.latency == {100.0: 40.0, 250.0: 8.0, inf: 2.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected the columns time, canary_requests"),
        ("time,canary_requests,canary_failed,colour\n", 'line 1: .*found "colour"'),
        ("time,canary_requests\n", "line 1: .*canary_failed is missing"),
        (f"{HEADER}\n0,0,0,0,0\n", "at least two rows"),
        (f"{HEADER}\n0,0,0,0,0\n5,1,x,0,0\n", 'line 3: expected a count of 0 or more in canary_failed, found "x"'),
        (f"{HEADER}\n0,0,0,0,0\n5,1,2,0,0\n", "line 3: expected at most 1 in canary_failed, found 2"),
        (f"{HEADER}\n0,0,0,0,0\n5,-1,0,0,0\n", 'line 3: expected a count of 0 or more in canary_requests, found "-1"'),
        (f"{HEADER}\n0,0,0,0,0\n5,nan,0,0,0\n", "line 3: expected a count"),
        (f"{HEADER}\nnoon,0,0,0,0\n", 'line 2: expected time in seconds or ISO 8601, .*found "noon"'),
        (f"{HEADER}\n5,0,0,0,0\n5,1,0,0,0\n", "line 3: expected a time after 5 s, found 5 s"),
        (f"{HEADER}\n5,0,0\n", "line 2: expected 5 cells as in the first line, found 3"),
        (f"{HEADER},weight\n0,0,0,0,0,\n5,1,0,0,0,5\n", "line 3: column weight: expected a percentage"),
        (f"{HEADER},canary_le_1,canary_le_2\n0,,,,,,\n5,9,0,9,0,8,7\n", "line 3: expected at least 8 in canary_le_2"),
    ],
)
def test_what_cannot_be_understood_names_its_line(text: str, said: str) -> None:
    with pytest.raises(RecordingError, match=f"^t.csv.*{said}"):
        read("t.csv", text)
