"""Do `interlock backtest` and `interlock simulate` say what happened, what would, and what they cannot understand?

The real command as a process of its own.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.app.test_simulate import USERS, stage
from tests.engine.test_recordings import NAME, Recorded, Tale, bad, bad_under_load, good
from tests.surfaces.test_commands import FILE, SOURCE, Project

from interlock.adapters.recordings.files import RecordingFiles
from interlock.adapters.recordings.memory import MemoryRecordings
from interlock.app.simulate import Ended, Result, Simulation, usual
from interlock.core.criteria import Criteria
from interlock.core.trial import What
from interlock.surfaces.cli.show.simulation import lines

EXAMPLE = SOURCE.parent / "examples" / "04-backtest"
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def kept(tale: Tale) -> str:
    """Return the recording of a story, as it is stored."""
    from tests.engine.stories import Story, play

    recordings = MemoryRecordings()

    async def told(story: Story) -> None:
        await tale(Recorded(story.world, story.store, recordings=recordings))

    play(told)
    return recordings.read(NAME)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "shop"
    root.mkdir()
    project = Project(root)
    project.write(FILE)
    return project


def put(project: Project, rollout: str, tale: Tale) -> None:
    files = RecordingFiles(project.state / "recordings")
    text = kept(tale).replace(NAME, rollout)
    files.add(rollout, tuple(text.splitlines()))


def document(project: Project, *arguments: str) -> dict[str, Any]:
    done = project.run(*arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_a_rollout_stands_beside_what_would_happen_again(project: Project) -> None:
    put(project, "shop-1-production", good)
    put(project, "shop-2-production", bad)
    done = project.run("backtest", "shop-1", "shop-2-production")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the same decisions") == 2
    assert "THEN" in done.stdout and "goes through" in done.stdout and "rolled back" in done.stdout
    assert "canary requests failed (4 %" in " ".join(done.stdout.split())
    assert "odds against" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_a_load_that_found_what_is_bad_before_users_is_counted_and_judged_again(project: Project) -> None:
    put(project, "shop-1-production", bad_under_load)
    said = " ".join(project.run("backtest", "shop-1").stdout.split())
    assert re.search(r"(\d+) samples, \1 of synthetic load, in \d+ s", said), said
    assert "rolled back" in said and "of synthetic requests:" in said and "the same decisions" in said


def test_other_criteria_are_named_with_what_they_were(project: Project) -> None:
    put(project, "shop-2-production", bad)
    done = project.run("backtest", "shop-2", "--criteria", "error_rate=20%", "--criteria", "margin=3x")
    assert "judged by error_rate 20 % (then 1 %), margin 3 (then 2)" in done.stdout
    assert "other decisions" in done.stdout and "undecided" in done.stdout


def test_programs_get_both_with_their_judgements(project: Project) -> None:
    put(project, "shop-2-production", bad)
    (one,) = document(project, "backtest", "shop-2")["recordings"]
    assert one["same"] is True and one["own"] is True
    assert [happening["what"] for happening in one["now"]] == ["weight", "rolled back"]
    assert one["then"][-1]["seconds"] == pytest.approx(one["now"][-1]["seconds"], abs=1.0)
    assert one["now"][-1]["judgement"]["verdict"] == "fail"
    assert one["criteria"]["error_rate"] == 0.01


def test_the_file_gives_steps_and_criteria(project: Project) -> None:
    put(project, "shop-1-production", good)
    strategy = "    strategy: {canary: {weights: [10%, 50%, 100%], first_bake: 30s, bake: 30s, keep: 30s}}\n"
    project.write(FILE.replace("  production: {port: 24810}", f"  production:\n    port: 24810\n{strategy}"))
    (one,) = document(project, "backtest", "shop-1", "--environment", "production")["recordings"]
    ends = [happening["seconds"] for happening in one["now"] if happening["what"] != "weight"]
    assert ends[0] == pytest.approx(31, abs=5) and one["own"] is False


def test_a_file_needs_no_project(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    project = Project(tmp_path / "here")
    (project.root / "r.jsonl").write_text(kept(bad))
    (project.root / "t.csv").write_text(
        "time,canary_requests,canary_failed,stable_requests,stable_failed\n0,,,,\n"
        + "".join(f"{5 * i},50,{5 if i > 10 else 0},950,1\n" for i in range(1, 30))
    )
    done = project.run("backtest", "r.jsonl", "./t.csv")
    assert done.returncode == 0, done.stderr
    assert "samples of no rollout" in done.stdout and done.stdout.count("rolled back") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("backtest", "shop-9"), "there is no recording shop-9: nothing was recorded here yet"),
        (("backtest", "gone.csv"), "there is no file gone.csv"),
        (("backtest", "torn.jsonl"), "torn.jsonl, line 1: expected a JSON document, found 'nonsense'"),
        (("backtest", "torn.jsonl", "--from", "csv"), "torn.jsonl, line 1: expected the columns time"),
        (("backtest", "torn.jsonl", "--from", "prometheus"), "torn.jsonl: expected the answer of /api/v1/query_range"),
        (("simulate",), "the traffic of production is not measured yet: say how much there is with --rate N"),
        (("simulate", "--rate", "9", "--environment", "staging"), "staging in interlock.yaml has no criteria"),
        (("simulate", "--rate", "9", "--environment", "qa"), "interlock.yaml has no environment qa; it has staging"),
        (("simulate", "--rate", "9", "--criteria", "alpha=2"), "--criteria alpha=2: expected a percentage between"),
        (("simulate", "--rate", "9", "--criteria", "alhpa=2%"), 'found "alhpa=2%"; did you mean "alpha"?'),
        (("simulate", "--rate", "9", "--criteria", "alpha"), 'found "alpha"; there are error_rate'),
    ],
)
def test_what_cannot_be_done_is_one_paragraph(project: Project, arguments: tuple[str, ...], said: str) -> None:
    (project.root / "torn.jsonl").write_text("nonsense\nmore\n")
    assert said in project.fails(*arguments)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--rate", "-1", 'expected a number above 0 such as "50" or "0.5", found "-1"'),
        ("--error-rate", "0.01", 'expected a percentage such as "0.5%", found "0.01"'),
        ("--canary-error-rate", "101%", "expected a percentage from 0% to 100%"),
        ("--runs", "0", 'expected a number from 1 on, found "0"'),
    ],
)
def test_a_wrong_option_says_what_is_expected(project: Project, option: str, value: str, said: str) -> None:
    assert said in project.fails("simulate", f"{option}={value}", status=2)


def test_a_simulation_is_the_same_with_the_same_seed_and_says_what_was_simulated(project: Project) -> None:
    asked = ("simulate", "--rate", "50", "--runs", "10", "--canary-error-rate", "10%", "--processes", "1")
    first, again = document(project, *asked), document(project, *asked)
    assert first == again
    (one,) = first["scenarios"]
    assert first["type"] == "simulation" and one["bad"] and one["missed_regressions"] == 0 and one["rolled_back"] == 1
    assert one["seconds"]["median"] <= one["seconds"]["p95"]
    assert document(project, *asked, "--seed", "2") != first
    text = project.run(*asked).stdout
    assert "50 requests/s (as given), stable fails 0.1 %\n10 rollouts of each release, seed 1\n" in text
    assert "as given: missed 0 %, undecided 0 %" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_table_of_long_times_and_large_numbers_fits_a_terminal_of_80_columns() -> None:
    simulation = Simulation(stage(), usual(USERS, Criteria()))
    ends = (
        Ended(What.THROUGH, 35_940.0, 1_234_567_890.0, 35_940.0),
        Ended(What.NO_PROOF, 863_000.0, 9_999_999.0, None),
        Ended(What.ROLLED_BACK, 3_599.0, 1.0, 3_599.0),
    )
    found = [*lines(simulation, [Result(one, ends * 3 + ends[:1]) for one in simulation.scenarios], measured=True)]
    assert max(map(len, found)) <= 80, found
    assert any("9h59m" in line and "30.0 %" in line for line in found)
    many = [*lines(simulation, [Result(simulation.scenarios[0], ends[:1])], measured=True)]
    assert any("1,235 M" in line for line in many)


def test_a_progress_bar_is_drawn_beside_the_answer_and_only_for_a_person(project: Project) -> None:
    argv = [sys.executable, "-m", "interlock", "simulate", "--rate", "50", "--runs", "10", "--canary-error-rate", "50%"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "XDG_STATE_HOME": str(project.state)}
    with subprocess.Popen(
        argv, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                drawn += os.read(ours, 4096)
            except OSError:  # the other end was closed
                break
        assert process.stdout is not None
        said = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"rollouts" in drawn and "rollouts  " not in said and "RELEASE" in said
    assert project.run(*argv[3:]).stderr == ""


def test_the_examples_recordings_are_judged_as_its_page_says(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "example")
    project = Project(tmp_path / "example")
    typed = BLOCK.findall((project.root / "README.md").read_text())
    said = []
    for line in (line for block in typed for line in block.splitlines()):
        command, *arguments = line.split()
        done = project.run(*arguments)
        assert command == "interlock" and done.returncode == 0, done.stderr
        said.append(done.stdout)
    failing, lenient, healthy, simulated = said
    assert "✖ 3 min 45 s" in failing and "rolled back" in failing
    assert "rolled back" not in lenient and "undecided" in lenient
    assert "goes through" in healthy
    assert "as given: missed 0 %" in simulated
