"""With the real keeper: is what a person decides on record, and does a lock hold for every command?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.surfaces.worlds import keep, seen

SOURCE = Path(__file__).parents[2] / "src"
FILE = """\
service: shop
artefact: {directory: app}
command: [python, app.py]
environments:
  staging: {port: 24831}
  production: {port: 24830}
"""


@dataclass(frozen=True)
class Project:
    """A project with a run on record that was taken back, of which nothing runs."""

    root: Path
    runtime: Path

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end; return what it wrote."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
        done = subprocess.run(
            [sys.executable, "-m", "interlock", "--state", str(self.root / "state"), *arguments],
            cwd=self.root,
            env={**inherited, "PYTHONPATH": str(SOURCE), "TMPDIR": str(self.runtime)},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text("print('hello')\n")
    (tmp_path / "interlock.yaml").write_text(FILE)
    keep(seen("rolled back")[0], tmp_path / "state")
    with tempfile.TemporaryDirectory(prefix="il-") as short:  # the path of a socket has at most 107 bytes
        project = Project(tmp_path, Path(short))
        yield project
        project.run("down", "--force")


def test_what_a_person_decides_is_on_record_in_a_record_that_is_whole(project: Project) -> None:
    assert "shop is locked by" in project.run("lock", "-m", "the database moves")
    said = project.run("deploy", ".", "--first", status=4)
    assert said.count("error: ") == 1 and "the database moves" in said and "interlock unlock" in said
    assert "the database moves" in project.run("status", status=3)
    assert "is unlocked; it was locked by" in project.run("unlock")
    assert "was not locked" in project.run("unlock")
    assert "is resolved: no bounds" in project.run("incident", "close", "shop-2", "--cause", "no bounds")
    assert "no incident is unresolved" in project.run("incident", "list", "--open")
    report = project.run("report", "--incident")
    (project.root / "kept.md").write_text(report)
    assert "- **no bounds**" in report
    project.run("down")
    rows = json.loads(project.run("audit", "-o", "json"))["rows"]
    newest = [(row["kind"], row["channel"], bool(row["by"])) for row in rows[-4:]]
    assert newest == [
        ("locked", "command line", True),
        ("unlocked", "command line", True),
        ("resolved", "command line", True),
        ("down", "command line", True),
    ]
    assert "agree with the published head" in project.run("audit", "verify", "kept.md")
