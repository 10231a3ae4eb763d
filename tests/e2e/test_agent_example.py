"""Does an agent without a model play the specification's whole workflow, as its README says it is typed?"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.test_examples import typed
from tests.surfaces.mcp.desk import earlier_client

from interlock.adapters.host.local import LocalHost
from interlock.app.state import StateDirectory
from interlock.app.verbs import App
from interlock.core.agents import is_agent
from interlock.core.phase import Phase

pytestmark = pytest.mark.timeout(210)


def test_an_agent_starts_a_person_approves_and_a_bad_flag_takes_everything_back(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    needs("git")
    needs("ssh-keygen")
    earlier = earlier_client()
    output, state = typed("09-agent", tmp_path, variables={"PLAYER": str(earlier)} if earlier else {})
    assert "plan_deployment" in output and "next: start_deployment" in output and "twice" not in output
    assert "approved by ada@shop.example (proven by a signature)" in output and "refused: a name proves" in output
    assert "enabled at 5%" in output and "enabled at 25%" in output and "TOO MANY FAIL AT 25 %" in output
    assert "TOO MANY FAIL AT 5 %" not in output and "disabled" in output
    assert "- Status: ROLLBACK" in output and "## Incident Report" in output.replace("# Incident", "## Incident")
    assert re.search(r"'s agent \S+.* asked for start_deployment", output)
    assert "rows are what was written" in output
    newest, *_ = asyncio.run(App(StateDirectory(state)).history(1))
    assert newest.phase is Phase.ROLLED_BACK and newest.stage.revision.release.version == "v2"
    assert [one.by for one in newest.approvals] == ["ada@shop.example"] and is_agent(newest.by)
    flag = json.loads((tmp_path / "project" / "flags" / "production.json").read_text())["flags"]["new_feature"]
    assert flag["state"] == "DISABLED"
    assert asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()
