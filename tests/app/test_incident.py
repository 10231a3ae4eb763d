"""Is what is outside the journal found for an incident's report, without secrets, and does nothing missing break it?"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.surfaces.worlds import seen

from interlock.app.incident import LOG_LINES, find, seek
from interlock.app.report import document, report
from interlock.app.state import StateDirectory
from interlock.app.view import NoSuchRollout
from interlock.core.suspects import Found


def found(state: StateDirectory, name: str = "rolled back") -> Found:
    return asyncio.run(seek(state, seen(name)[0], None))


def written(tmp_path: Path, text: str) -> StateDirectory:
    state = StateDirectory(tmp_path)
    (state.instances / "logs").mkdir(parents=True)
    (state.instances / "logs" / "production-2-0.log").write_text(text)
    state.secrets.mkdir()
    (state.secrets / ("0" * 32)).write_text("correct horse battery")
    return state


def test_the_last_lines_of_what_failed_are_in_the_report_without_secrets(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(80)] + ["login with correct horse battery", "<script>boom</script>"]
    state = written(tmp_path, "\n".join(lines) + "\n")
    it = found(state)
    assert len(it.log) == LOG_LINES and it.log[-1] == "<script>boom</script>"
    view, now = seen("rolled back")
    text = report(view, state.secrets, now, incident=True, found=it)
    assert "login with [secret]" in text and "horse" not in text and "line 79" in text and "line 31\n" not in text
    told = document(view, state.secrets, now, incident=True, found=it)
    assert told["suspects"]["log"][-2] == "login with [secret]"


def test_where_nothing_was_kept_the_report_says_so(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    view, now = seen("rolled back")
    assert "- nothing is kept of them" in report(view, state.secrets, now, incident=True, found=found(state))


def test_of_a_run_that_ended_well_nothing_is_sought(tmp_path: Path) -> None:
    assert found(StateDirectory(tmp_path), "succeeded") == Found()


def test_an_incident_is_named_by_its_rollout_or_its_run() -> None:
    rollouts = seen("rolled back")[0].rollouts
    for name in ("shop-2", "shop-2-production"):
        assert find(rollouts, name).id == "shop-2-production"
    for name in ("shop-2-staging", "shop-9"):
        with pytest.raises(NoSuchRollout, match="there is no incident"):
            find(rollouts, name)
