"""Does the bench of real rollouts say what the evaluator expects, and take no words that it does not know?"""

from __future__ import annotations

import pytest
from bench import judged
from bench.judged import CASES, QUICK, Ended, expected, main, row


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "RUNS", 3)


def test_every_case_has_a_name_of_its_own_and_is_expected_to_end_as_it_should() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.name for case in CASES} >= set(QUICK)
    for case in CASES:
        delay, requests = expected(case, 10_000)
        assert delay.endswith(" s") if case.goes_back else delay.startswith("of 3: 0 taken back"), case.name
        assert bool(requests) is case.goes_back


def test_a_row_has_a_cell_for_each_heading() -> None:
    case = next(case for case in CASES if case.name == "hang")
    for ended in (Ended(case, "taken back", "", 1.5, 1.0, 0.01, 9), Ended(case, "held", "wrongly", 30.0, requests=9)):
        assert row(ended).count("|") == 11
    assert "missed" in row(ended)


def test_an_unknown_case_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nonsense"])
    assert "errors, hang, tail" in capsys.readouterr().err
