"""Is a recording read as it was written, also when its last line is torn, and is anything else refused by its line?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.core.examples import canary_stage

from interlock.core.criteria import Criteria
from interlock.core.judge import Baseline
from interlock.core.phase import Phase
from interlock.core.recording import (
    FORMAT,
    Begun,
    Line,
    Loaded,
    Moved,
    RecordingError,
    Resumed,
    Sampled,
    Voided,
    Weighted,
    read,
    write,
)
from interlock.core.sample import Sample, Side
from interlock.core.weight import Weight

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIVE = Weight(500)
BEGUN = Begun(
    FORMAT,
    "shop-1-production",
    "shop-1",
    "shop",
    "v2",
    "production",
    "v1",
    AT,
    canary_stage().steps,
    Criteria(latency_p99=timedelta(milliseconds=250)),
    Baseline(3, 100.0, 1.0, {float("inf"): 2.0, 10.0: 98.0}),
    300,
)


def sampled(monotonic: float, boot: str = "b") -> Sampled:
    side = Side(9, 9, 1, {10.0: 8.0, float("inf"): 1.0})
    return Sampled(AT, 6, FIVE, True, Sample(monotonic, timedelta(seconds=5), side, None, boot))


def loaded(monotonic: float) -> Loaded:
    return Loaded(AT, 4, False, sampled(monotonic).sample)


def text(*lines: Line) -> str:
    return "".join(f"{write(line)}\n" for line in (BEGUN, *lines))


def test_every_line_comes_back_as_it_was_written() -> None:
    lines = (
        Weighted(AT, 100.0, "b", 5, FIVE),
        Moved(AT, 100.5, "b", 6, Phase.PROGRESSING, False, "done", "weight 5 %: observed"),
        sampled(105.0),
        Resumed(AT, 107.0, "b", 6, timedelta(seconds=4), FIVE, 105.0, 90.0),
        sampled(110.0),
        loaded(115.0),
        Voided(AT, 116.0, "b", 6),
    )
    recording = read("r", text(*lines))
    assert recording.begun == BEGUN
    assert tuple(line for _, line in recording.lines) == lines
    assert [seconds for seconds, _ in recording.lines] == [0.0, 0.5, 5.0, 7.0, 10.0, 15.0, 16.0]
    assert recording.notes == ()


def test_a_torn_last_line_is_left_out_and_said() -> None:
    whole = text(sampled(5.0), sampled(10.0))
    for length in range(len(text(sampled(5.0))) + 1, len(whole) - 1):
        recording = read("r", whole[:length])
        assert len(recording.lines) == 1
        assert recording.notes == ("line 3, the last one, is torn and was left out",)


def test_samples_that_the_next_owner_did_not_know_are_left_out_as_the_next_one_covers_them() -> None:
    resumed = Resumed(AT, 17.0, "b", 6, timedelta(0), FIVE, 5.0)
    recording = read("r", text(sampled(5.0), sampled(10.0), sampled(15.0), resumed, sampled(20.0)))
    assert [line.sample.monotonic for _, line in recording.sampled] == [5.0, 20.0]


def test_of_a_load_too_samples_are_left_out_that_the_next_owner_did_not_know() -> None:
    resumed = Resumed(AT, 17.0, "b", 6, timedelta(0), FIVE, 5.0, 11.0)
    lines = (sampled(5.0), sampled(10.0), loaded(11.0), loaded(12.0), resumed, loaded(18.0), sampled(20.0))
    recording = read("r", text(*lines))
    assert [line for _, line in recording.judged] == [lines[0], lines[2], lines[5], lines[6]]
    assert [line for _, line in recording.sampled] == [lines[0], lines[6]]


def test_another_boot_goes_on_where_the_last_one_ended() -> None:
    recording = read(
        "r", text(sampled(1005.0, "one"), sampled(1010.0, "one"), sampled(25.0, "two"), sampled(30.0, "two"))
    )
    assert [seconds for seconds, _ in recording.lines] == [0.0, 5.0, 10.0, 15.0]


def test_what_happens_in_one_instant_keeps_its_order() -> None:
    recording = read("r", text(sampled(5.0), Weighted(AT, 5.0, "b", 5, FIVE), sampled(6.0)))
    first, second, third = (seconds for seconds, _ in recording.lines)
    assert first < second < third == 1.0


def test_a_judge_that_began_anew_forgets_what_came_before() -> None:
    recording = read("r", text(sampled(5.0)) + text(sampled(50.0)))
    assert len(recording.lines) == 1
    assert "the judge began anew" in recording.notes[0]


def test_a_field_of_a_later_version_takes_its_default_in_an_old_recording() -> None:
    old = write(sampled(5.0)).replace('"abandoned":0,', "").replace('"pending":0,', "")
    (line,) = (line for _, line in read("r", text() + old + "\n").lines)
    assert isinstance(line, Sampled) and line.sample.canary is not None
    assert line.sample.canary.abandoned == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", 'line 1: expected the beginning of a recording \\("kind":"Begun"\\), found none'),
        (text(sampled(5.0)).split("\n", 1)[1], "line 1: expected the beginning"),
        (text() + "[]\n", "line 2: expected a kind of line .*found None"),
        (text() + "nonsense\n" + write(sampled(5.0)) + "\n", "line 2: expected a JSON document, found 'nonsense'"),
        (text() + '{"kind":"Sampled"}\n', "line 2: Sampled: Sampled lacks 'at'"),
        (
            text() + write(sampled(5.0)).replace("index", "idnex") + "\n",
            "line 2: Sampled: Sampled has no field 'idnex'",
        ),
        (text().replace('"format":1', '"format":9'), "line 1: expected format 1, found 9: another version"),
    ],
)
def test_anything_else_is_refused_by_its_line(content: str, said: str) -> None:
    with pytest.raises(RecordingError, match=f"^r, {said}"):
        read("r", content)
