"""Does the evaluator of judges draw, count and tell rightly?"""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from bench.evaluator.__main__ import FULL, PAGE, QUICK, Size, main, series, tell, wanted
from bench.evaluator.bound import bound
from bench.evaluator.counters import Counters
from bench.evaluator.goals import OVERHEADS, THRICE, TWICE, Goal
from bench.evaluator.latency import FINE, USUAL, histogram_quantile, quantile, shares, upto
from bench.evaluator.measure import Task, interval, work
from bench.evaluator.play import JUDGES, OURS, End, play, setting
from bench.evaluator.reference import Oracle, Reference
from bench.evaluator.scenarios import SCENARIOS, bursts, steps
from bench.evaluator.table import WIDTH, Table, number, percent
from bench.evaluator.traffic import record

README = Path(__file__).parent.parent.parent / "README.md"


def same(a: object, b: object) -> bool:
    return repr(a) == repr(b)


# Traffic


def test_the_same_seed_makes_the_same_rollout_and_another_seed_another() -> None:
    scenario = SCENARIOS["gaps+reset 0.5%"]
    assert same(record(scenario, 1, 3, 5.0), record(scenario, 1, 3, 5.0))
    assert not same(record(scenario, 1, 3, 5.0), record(scenario, 2, 3, 5.0))
    assert not same(record(scenario, 1, 3, 5.0), record(scenario, 1, 4, 5.0))


def test_judges_end_the_same_rollouts_in_the_same_way() -> None:
    task = Task("0.1->5%", 5.0, 7, 0, 3, dict.fromkeys(JUDGES, 3))
    assert work(task) == work(task)


def test_traffic_has_the_rates_it_should_have() -> None:
    polls = [p for run in range(10) for p in record(SCENARIOS["0.5->2%"], 1, run, 5.0).polls]
    canary = [p["canary"] for p in polls if p["canary"] is not None]
    requests, errors = sum(c["requests"] for c in canary), sum(c["errors"] for c in canary)
    assert requests / len(polls) == pytest.approx(50, rel=0.02)
    assert errors / requests == pytest.approx(0.02, rel=0.1)
    assert all(c["buckets"][-1] == c["requests"] for c in canary)


def test_a_canary_that_hangs_starts_requests_and_answers_none() -> None:
    recording = record(SCENARIOS["hangs, late"], 1, 0, 5.0)
    late = [p["canary"] for p in recording.polls if p["t"] > 450]
    assert all(c is not None and c["requests"] == 0 < c["started"] for c in late)
    assert late[-1] is not None and late[-1]["pending"] == recording.asked[90:].sum()


def test_answers_that_take_their_time_are_pending_until_then() -> None:
    recording = record(SCENARIOS["answers after 5 s"], 1, 0, 5.0)
    for before, now in zip(recording.polls, recording.polls[1:], strict=False):
        assert before["canary"] is not None and now["canary"] is not None
        assert now["canary"]["requests"] == before["canary"]["started"]
        assert now["canary"]["pending"] == now["canary"]["started"]


def test_sides_that_report_in_turns_lose_nothing() -> None:
    recording = record(SCENARIOS["sides in turns 0.5%"], 1, 0, 5.0)
    assert all((p["canary"] is None) is not (p["baseline"] is None) for p in recording.polls)
    told = sum(p["canary"]["requests"] for p in recording.polls if p["canary"] is not None)
    assert told == recording.asked[: len(recording.polls) - 1].sum()


def test_bursts_come_at_the_end_of_each_period() -> None:
    rate = bursts(0.0, 0.3, lasting=10, every=60, until=120)
    assert [t for t in range(5, 301, 5) if rate(t)] == [55, 60, 115, 120]


def test_a_step_takes_effect_after_its_second() -> None:
    rate = steps((0, 0.1), (450, 0.3))
    assert [rate(t) for t in (5, 450, 455)] == [0.1, 0.1, 0.3]


# Latency


def test_the_usual_service_has_a_p99_of_160_milliseconds() -> None:
    assert quantile(USUAL, 0.99) == pytest.approx(160, abs=0.1)
    assert upto(USUAL, 50) == pytest.approx(0.5)
    assert shares(USUAL, FINE).sum() == pytest.approx(1)


def test_a_quantile_of_a_histogram_is_interpolated_as_prometheus_does() -> None:
    assert histogram_quantile(0.5, (10, 20), (50, 100, 100)) == 10
    assert histogram_quantile(0.75, (10, 20), (50, 100, 100)) == 15
    assert histogram_quantile(0.25, (10, 20), (50, 100, 100)) == 5
    assert histogram_quantile(0.99, (10, 20), (50, 80, 100)) == 20
    assert histogram_quantile(0.5, (10, 20), (0, 0, 0)) != histogram_quantile(0.5, (10, 20), (0, 0, 0))


# Counters


def test_an_excess_of_errors_is_carried_on_and_forgotten_with_a_restart() -> None:
    counters = Counters()
    empty = shares(USUAL, FINE).astype("int64")
    told = [counters.push({"requests": n, "errors": k, "buckets": empty}) for n, k in ((0, 0), (5, 9), (10, 9), (2, 1))]
    assert [None if t is None else (t["requests"], t["errors"]) for t in told] == [None, (5, 5), (5, 4), (2, 1)]


# What theory allows


@pytest.mark.parametrize(
    ("scenario", "requests", "seconds"),
    [("0.5->2%", 1177, 120), ("0.1->5%", 112, 15), ("latency x2.5", 348, 35), ("late 450s 0.5->3%", 350, 35)],
)
def test_the_bound_is_walds(scenario: str, requests: float, seconds: float) -> None:
    least = bound(SCENARIOS[scenario], 5.0)
    assert (round(least.requests), least.seconds) == (requests, seconds)


def test_what_both_sides_share_tells_nothing_of_the_canary() -> None:
    assert bound(SCENARIOS["poisons both 6%"], 5.0).requests == inf


def test_intervals_are_those_of_clopper_and_pearson() -> None:
    assert interval(0, 1000) == pytest.approx((0, 0.003682), abs=1e-5)
    assert interval(5, 100) == pytest.approx((0.016432, 0.112835), abs=1e-5)
    assert interval(100, 100)[1] == 1


# How a rollout ends


class Says:
    """A judge with fixed answers."""

    name = "fixed"

    def __init__(self, **at: str) -> None:
        self._at = at

    def reset(self, ctx: object) -> None:
        pass

    def update(self, poll: dict[str, float]) -> str:
        return self._at.get(f"t{poll['t']:g}", "continue")


def ended(scenario: str, **at: str) -> tuple[End, float | None]:
    recording = record(SCENARIOS[scenario], 1, 0, 5.0)
    run = play(Says(**at), SCENARIOS[scenario], recording, 5.0, bound(SCENARIOS[scenario], 5.0))  # type: ignore[arg-type]
    return run.end, run.advanced


def test_a_healthy_canary_is_watched_on_after_an_advance() -> None:
    assert ended("ok base 0.5%", t60="advance", t800="rollback") == (End.ROLLED_BACK, 60)


def test_a_bad_canary_that_is_advanced_is_missed() -> None:
    assert ended("0.5->2%", t60="advance", t65="rollback") == (End.ADVANCED, 60)


def test_before_the_onset_an_advance_is_right_and_a_rollback_too_early() -> None:
    assert ended("late 450s 0.5->3%", t60="advance", t500="rollback") == (End.ROLLED_BACK, None)
    assert ended("late 450s 0.5->3%", t490="advance", t500="rollback") == (End.ROLLED_BACK, 490)
    assert ended("late 450s 0.5->3%", t440="rollback") == (End.TOO_EARLY, None)


def test_only_the_oracle_is_told_the_truth() -> None:
    scenario = SCENARIOS["latency x2.5"]
    recording = record(scenario, 1, 0, 5.0)
    assert "oracle" not in setting(scenario, recording, 5.0)
    truth = setting(scenario, recording, 5.0, oracle=True)["oracle"]
    assert truth["v"] is not None and truth["theta"] <= 0.01 < truth["p1"]


@pytest.mark.parametrize("judge", [Oracle, Reference, JUDGES[OURS]])
def test_total_failure_is_seen_in_one_sample(judge: type[Reference]) -> None:
    scenario = SCENARIOS["0->100%"]
    run = play(judge(), scenario, record(scenario, 1, 0, 5.0), 5.0, bound(scenario, 5.0))
    assert (run.end, run.seconds) == (End.ROLLED_BACK, 5)


# What is told


def test_a_goal_is_met_missed_or_not_measured() -> None:
    said = [Goal("g", 2.0, 1.0, measured).verdict for measured in (None, 0.9, 1.5, 2.1)]
    assert said == ["not measured", "stretch met", "met", "NOT MET"]


def test_goals_name_scenarios_that_are_there() -> None:
    named = {*TWICE, *THRICE, *(name for name, _, _ in OVERHEADS)}
    assert named <= {n for n, s in SCENARIOS.items() if s.bad}


def test_numbers_are_short() -> None:
    assert [percent(x) for x in (0, 0.0034, 0.46, 1)] == ["0", "0.3", "46", "100"]
    assert [number(x, 1) for x in (None, inf, 1234.56)] == ["-", "-", "1,234.6"]


def test_a_table_reads_in_a_terminal_and_on_a_page() -> None:
    table = Table(("what", "n"), [("one", "1"), ("twelve", "12")])
    assert table.text() == "what     n\n------  --\none      1\ntwelve  12\n"
    assert table.markdown().splitlines()[1:3] == ["| --- | ---: |", "| one | 1 |"]


def test_healthy_scenarios_come_first_and_full_runs_have_a_thousand_each() -> None:
    kinds = [s.bad for s in SCENARIOS.values()]
    assert kinds == sorted(kinds)
    parts = series(1, SCENARIOS, FULL)
    for name, scenario in SCENARIOS.items():
        runs = sum(p.runs[name][OURS] for p in parts if p.every == 5.0 and name in p.runs)
        assert runs >= (400 if scenario.bad else 1000)


def test_a_small_run_prints_every_part_within_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = wanted("ok base 0.9,0.1->5%,latency x2.5 envoy")
    tell(1, names, Size(2, 2, 3, 1, 1), write=False)
    printed = capsys.readouterr().out
    for heading in ("Goals", "In short", "Healthy", "Bad", "Interlock: healthy", "Interlock: bad", "CPU", "Traps"):
        assert f"\n{heading}" in printed
    assert max(map(len, printed.splitlines())) <= WIDTH


@pytest.mark.parametrize("wrong", [["--only", "nothing like it"], ["--write", "--quick"], ["--write", "--only", "ok"]])
def test_wrong_arguments_are_refused_with_what_to_do(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(wrong)
    assert refused.value.code == 2
    assert "there are:" in (said := capsys.readouterr().err) or "leave out" in said


def test_a_quick_run_is_much_smaller_than_a_full_one() -> None:
    assert QUICK.healthy * 10 <= FULL.healthy


def test_a_quick_run_fails_by_its_traps_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(1, wanted("0.1->5%"), QUICK, write=False) == 0
    assert "decided by chance" in capsys.readouterr().out


def test_the_readme_quotes_the_table_that_was_measured() -> None:
    measured = PAGE.read_text().partition("\n## In short\n")[2].partition("\n## ")[0]
    table = [line for line in measured.splitlines() if line.startswith("|")]
    assert len(table) > 5
    assert "\n".join(table) in README.read_text(), f"copy the table 'In short' of {PAGE.name} into README.md"


def test_a_scenario_is_named_once() -> None:
    assert all(name == scenario.name for name, scenario in SCENARIOS.items())
