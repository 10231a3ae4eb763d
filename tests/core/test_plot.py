"""Can a person read from plain text how the evidence grew towards either decision?"""

from __future__ import annotations

from dataclasses import replace

from tests.engine.test_recordings import Recorded, good, record

from interlock.adapters.memory import Behaviour, World
from interlock.core.curves import Curves, curves_of
from interlock.core.plot import COLUMNS, LABELS, evidence_plot

PLAIN = Curves((), (), (), (), (), (), (), (), 100.0, 20.0)


async def bad(story: Recorded) -> None:
    story.world.behaviours["production-v2"] = Behaviour(error_rate=0.04)
    await story.ends(await story.deploys())


def panels(lines: list[str]) -> tuple[list[str], list[str]]:
    """Return the rows of both panels, from the top."""
    rows = [line.partition("┤")[2].ljust(COLUMNS) for line in lines if "┤" in line]
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]


def test_a_release_that_is_proven_fills_its_panel_at_each_weight_and_never_the_other() -> None:
    lines = evidence_plot(curves_of(record(good, World(requests_per_second=200))))
    against, proof = panels(lines)
    assert lines[0].startswith("odds against the release, taken back at 100 to 1; at the end 0.")
    assert set("".join(against[:-1])) == {" "}
    assert "█" in proof[0] and " " in proof[0].strip(), "at each weight the proof begins anew"
    weights = next(line for line in lines if line.strip().startswith("weight")).split()
    assert weights == ["weight", "10", "%", "50", "%", "100", "%"]
    ruler = next(line for line in lines if "└" in line)
    assert ruler.count("┬") == 3


def test_a_release_that_is_taken_back_fills_its_panel_at_the_end() -> None:
    lines = evidence_plot(curves_of(record(bad, World(requests_per_second=200))))
    against, proof = panels(lines)
    assert "█" in against[0] and not against[0].startswith("█")
    assert set("".join(proof[:-1])) == {" "}


def test_a_plot_is_narrow_and_every_axis_has_its_unit() -> None:
    lines = evidence_plot(curves_of(record(good, World(requests_per_second=200))))
    assert max(len(line) for line in lines) <= COLUMNS + LABELS + 4
    text = "\n".join(lines)
    for said in ("100 to 1", "20 to 1", "1 to 1", "0 s", "min", "weight", "a column is", "logarithmic"):
        assert said in text


def test_a_full_column_is_a_decision_and_nothing_else() -> None:
    curve = tuple((float(at), odds) for at, odds in enumerate((0.5, 1.0, 99.99, 100.0, 1e9)))
    (top, *_), _ = panels(evidence_plot(replace(PLAIN, against=curve)))
    fifth = COLUMNS // 4
    assert "█" not in top[: 3 * fifth - 1] and "▇" in top and set(top[3 * fifth :]) == {"█"}


def test_where_nothing_was_judged_for_long_there_is_a_dot_and_without_samples_no_plot() -> None:
    times = (0.0, 1.0, 2.0, 3.0, 50.0, 51.0, 52.0)
    _, (*_, bottom) = panels(evidence_plot(replace(PLAIN, in_favour=tuple((at, 2.0) for at in times),
                                                   against=tuple((at, None) for at in times))))  # fmt: skip
    assert bottom[0] == bottom.rstrip()[-1] != "·" and bottom.count("·") > COLUMNS / 2
    assert evidence_plot(PLAIN) == []
