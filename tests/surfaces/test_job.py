"""Does a job of GitHub Actions show the report of what it deployed?"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.worlds import seen

from interlock.app.report import report
from interlock.app.view import View
from interlock.core.plan import Plan
from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.deploy import carry_out
from interlock.surfaces.cli.exits import Exit


class Started:
    """Stands in for the verbs over a run that was started just now, and stands as it was seen."""

    def __init__(self, name: str, secrets: Path) -> None:
        self.seen, self._secrets = seen(name), secrets

    async def start(self, plan: Plan, *, supersede: bool = False, **more: Any) -> str:
        return self.seen[0].run

    async def view(self, run: str | None = None) -> View:
        return self.seen[0]

    async def report(self, run: str) -> str:
        return report(self.seen[0], self._secrets, self.seen[1])


def deploy(name: str, where: Path, **more: Any) -> Exit:
    usual = {"supersede": False, "detach": False, "timeout": None, "output": "text", "no_color": True}
    call = Call(Namespace(**{**usual, **more}))
    vars(call)["app"], vars(call)["live"] = Started(name, where), False
    return asyncio.run(carry_out(call, seen(name)[0].plan))


@pytest.mark.parametrize(("name", "status"), [("succeeded", Exit.OK), ("rolled back", Exit.ROLLED_BACK)])
def test_the_report_is_appended_to_the_job_s_summary_at_the_end(
    name: str, status: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert deploy(name, tmp_path / "none") == status
    text = summary.read_text()
    assert text.startswith("# Before\n\n## Deployment Report\n") and text.endswith("\n\n")
    assert "Status: SUCCESS" in text if status is Exit.OK else "Status: ROLLBACK" in text


@pytest.mark.parametrize("more", [{"detach": True}, {"timeout": timedelta(0)}])
def test_a_run_that_goes_on_has_no_report_yet(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    deploy("watched", tmp_path, **more)
    assert not (tmp_path / "summary.md").exists()


def test_a_summary_that_cannot_be_written_changes_no_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "not there" / "summary.md"))
    assert deploy("succeeded", tmp_path) is Exit.OK
    assert "interlock report shop-2" in capsys.readouterr().err


def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert deploy("succeeded", tmp_path) is Exit.OK
    assert list(tmp_path.iterdir()) == []
