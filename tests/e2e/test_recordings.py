"""Does a rollout on a real Envoy leave a recording that is judged again to the same verdict?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from bench.traffic import ROOT
from tests.e2e.town import Town, Wish

from interlock.core.phase import Phase
from interlock.core.recording import read
from interlock.core.weight import ALL, Weight

HALF = (Weight(5000), ALL)


def judged_again(town: Town, run: str, *arguments: str) -> dict[str, Any]:
    """Return what `interlock backtest` says of the run's rollout."""
    argv = [sys.executable, "-m", "interlock", "--state", str(town.state.path), "backtest", run, "-o", "json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([*argv, *arguments], env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["recordings"]
    found: dict[str, Any] = one
    return found


async def released(town: Town, wish: Wish) -> tuple[str, Phase]:
    async with town.traffic(150, 40) as users:
        run = await town.start(wish)
        ended = await town.over(run)
        await users.flows(await town.stable())
    return run, ended.phase


@pytest.mark.timeout(180)
async def test_a_good_and_a_bad_rollout_are_judged_again_as_they_were(town: Town) -> None:
    wish = town.wish(proven=True, weights=HALF, bake=timedelta(seconds=3), keep=timedelta(seconds=3))
    run, phase = await released(town, wish)
    assert phase is Phase.SUCCEEDED, await town.story(run)
    good = judged_again(town, run)
    assert (good["then"][-1]["what"], good["now"][-1]["what"]) == ("goes through", "goes through"), good
    assert good["own"] and good["same"], good

    bad = town.wish(manners={"errors": 0.4}, weights=HALF, bake=timedelta(seconds=20))
    run, phase = await released(town, bad)
    assert phase is Phase.ROLLED_BACK, await town.story(run)
    again = judged_again(town, run)
    assert again["now"][-1]["what"] == "rolled back" and again["same"], again
    assert again["now"][-1]["judgement"]["verdict"] == "fail"
    assert again["version"] == bad.version
    lenient = judged_again(town, run, "--criteria", "error_rate=90%", "--criteria", "catastrophe_rate=95%")
    assert lenient["now"][-1]["what"] == "undecided" and not lenient["same"], lenient


@pytest.mark.timeout(180)
async def test_a_keeper_that_is_killed_goes_on_with_the_same_recording(town: Town) -> None:
    wish = town.wish(proven=True, weights=HALF, bake=timedelta(seconds=12), keep=timedelta(seconds=2))
    async with town.traffic(100, 40):
        run = await town.start(wish)
        path = town.state.recordings / f"{run}-production.jsonl"
        await town.until(run, lambda _: path.exists() and path.read_text().count('"Sampled"') >= 5, "five samples")
        town.kill("keeper")
        await town.well()
        ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    text = path.read_text()
    assert text.count('"kind":"Begun"') == 1 and '"kind":"Resumed"' in text
    recording = read("r", text)
    ends = [(s.sample.monotonic - s.sample.covers.total_seconds(), s.sample.monotonic) for _, s in recording.sampled]
    assert all(begin >= end - 1e-3 for (_, end), (begin, _) in pairwise(ends)), ends
    again = judged_again(town, run)
    assert again["now"][-1]["what"] == again["then"][-1]["what"] == "goes through", again
