"""Does the bench of real rollouts say what the evaluator expects, and take no words that it does not know?"""

from __future__ import annotations

import pytest
from bench.judged import CASES, QUICK, Ended, expected, main, row


def test_every_case_has_a_name_of_its_own_and_an_expectation_or_none_taken_back() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.name for case in CASES} >= set(QUICK)
    hang, outage = (next(case for case in CASES if case.name == name) for name in ("hang", "outage"))
    assert expected(hang, 10_000)[0] == "15 (15–15) s"
    assert expected(outage, 10_000)[0].startswith("of 100: 0 taken back")


def test_a_row_has_a_cell_for_each_heading() -> None:
    case = next(case for case in CASES if case.name == "hang")
    for ended in (Ended(case, "taken back", "", 1.5, 1.0, 0.01, 9), Ended(case, "held", "wrongly", 30.0, requests=9)):
        assert row(ended).count("|") == 11
    assert "missed" in row(ended)


def test_an_unknown_case_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nonsense"])
    assert "errors, hang, tail" in capsys.readouterr().err
