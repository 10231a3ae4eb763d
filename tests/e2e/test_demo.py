"""Does the demo show what it claims? It runs for real, and its claims are checked against the records it leaves."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from interlock.adapters.host.local import LocalHost
from interlock.app.state import StateDirectory
from interlock.app.verbs import App
from interlock.app.view import View
from interlock.core.account import Account
from interlock.core.criteria import Criteria
from interlock.core.judge import Verdict
from interlock.core.phase import Phase
from interlock.core.steps import SetWeight, Until, Watch
from interlock.core.weight import Weight

ROOT = Path(__file__).parents[2]
DEADLINE = 150


@dataclass(frozen=True)
class Shown:
    """The demo's output, and the records it left."""

    status: int
    text: str
    place: Path

    def view(self, run: str) -> View:
        return asyncio.run(App(StateDirectory(self.place / "state")).view(run))

    def production(self, run: str) -> Account:
        view = self.view(run)
        last = view.current
        assert last.stage.environment == "production"
        return Account.of(last, view.entries[last.id], view.checkpoints[last.id])


def started(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "interlock", "demo", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left(state: Path) -> list[str]:
    """What still runs of this state directory."""
    return [one.label for one in asyncio.run(LocalHost().find(StateDirectory(state).label))]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    place = tmp_path_factory.mktemp("demo") / "kept"
    demo = started("--keep", str(place))
    try:
        text, _ = demo.communicate(timeout=DEADLINE)
        yield Shown(demo.returncode, text, place)
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(30)


pytestmark = pytest.mark.timeout(DEADLINE + 60)


def test_the_demo_ends_well_and_leaves_nothing_running(shown: Shown) -> None:
    assert shown.status == 0, shown.text
    assert left(shown.place / "state") == []
    assert not StateDirectory(shown.place / "state").runtime.exists()


def test_no_request_was_lost_by_the_moving_and_enough_came(shown: Shown) -> None:
    assert "\nLost by the moving  0\n" in shown.text
    sent = re.search(r"Requests sent +([\d,]+) in (\d+) s, (\d+) a second", shown.text)
    assert sent is not None
    assert int(sent[3]) >= 300
    for run in ("shop-2", "shop-3"):
        tally = shown.production(run).tally
        assert tally is not None and tally.stable.failed == 0 and shown.production(run).cut == ()


def test_the_good_release_went_through_staging_and_every_weight_by_a_pass(shown: Shown) -> None:
    view = shown.view("shop-2")
    assert [(one.stage.environment, one.phase) for one in view.rollouts] == [
        ("staging", Phase.SUCCEEDED),
        ("production", Phase.SUCCEEDED),
    ]
    assert [one.unproven for one in view.rollouts] == [(), ()]
    steps = view.current.stage.steps
    assert [s.weight for s in steps if isinstance(s, SetWeight)] == [Weight(1000), Weight(5000), Weight(10_000)]
    account = shown.production("shop-2")
    watched = [one for one in account.of_kind("done") if isinstance(one.step, Watch) and one.step.until is Until.PROVEN]
    assert len(watched) == 2
    assert [one.judgement and one.judgement.verdict for one in watched] == [Verdict.PASS, Verdict.PASS]
    assert account.tally is not None and account.tally.canary.completed > 0 and account.tally.canary.failed == 0


def test_it_was_judged_by_the_defaults(shown: Shown) -> None:
    criteria = shown.view("shop-2").current.stage.criteria
    assert criteria is not None
    own = replace(criteria, sample_every=Criteria().sample_every, hold_at_most=Criteria().hold_at_most)
    assert own == Criteria()


def test_the_bad_release_was_caught_by_the_judge_and_taken_back_by_itself(shown: Shown) -> None:
    account = shown.production("shop-3")
    assert account.rollout.phase is Phase.ROLLED_BACK and account.rollout.quarantine
    assert account.of_kind("order") == ()
    cause = account.cause
    assert cause is not None and cause.kind == "unsafe"
    assert cause.judgement is not None and cause.judgement.verdict is Verdict.FAIL
    assert account.tally is not None and account.tally.canary.failed > 0
    zero = account.moved(back=True)
    assert len(zero) == 1 and zero[0].at > cause.at
    failed = re.search(r"Failed by v3 +(\d+), ", shown.text)
    assert failed is not None
    assert int(failed[1]) == account.tally.canary.failed, "users and proxy count the same failures"


def test_both_reports_are_shown(shown: Shown) -> None:
    deployment, incident = ((shown.place / name).read_text().strip() for name in ("deployment.md", "incident.md"))
    assert deployment in shown.text and "- Version: v1 → v2" in deployment and "- Status: SUCCESS" in deployment
    assert incident in shown.text and "taken back and verified: production runs v2 again" in incident


def test_it_says_which_of_its_settings_are_its_own(shown: Shown) -> None:
    assert "Its own are the times" in shown.text and "are the defaults" in " ".join(shown.text.split())


@pytest.mark.parametrize("whom", ["everybody at the terminal", "the demo alone"])
def test_an_interrupted_demo_leaves_nothing(whom: str) -> None:
    demo = started()
    assert demo.stdout is not None
    place, deadline = Path(), time.monotonic() + 60
    for line in demo.stdout:
        assert time.monotonic() < deadline
        if line.startswith("Everything is in "):
            place = Path(line.split()[3])
        if "smoke tests" in line:
            break
    state = StateDirectory(place / "state")
    runtime, label = state.runtime, state.label
    assert runtime.exists()
    if whom == "the demo alone":
        demo.send_signal(signal.SIGTERM)
    else:
        os.killpg(demo.pid, signal.SIGINT)
    text, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, text
    assert asyncio.run(LocalHost().find(label)) == ()
    assert not place.exists() and not runtime.exists()


def test_a_directory_that_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    demo = started("--keep", str(tmp_path))
    text, _ = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert text.startswith("error: ") and "File exists" in text
