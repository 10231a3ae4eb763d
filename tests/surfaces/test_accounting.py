"""Do audit, incident, report, lock, explain and schema say what is on record, and refuse in one clear sentence?"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from tests.surfaces.worlds import keep, overridden, seen

from interlock.adapters.store.sqlite import SQLite
from interlock.core.audit import published_in
from interlock.core.lock import Lock
from interlock.engine.journal import resolved
from interlock.surfaces.cli import main
from interlock.surfaces.cli.exits import Exit

Said = pytest.CaptureFixture[str]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with a run that was taken back; no keeper, and no file."""
    monkeypatch.chdir(tmp_path)
    keep(seen("rolled back")[0], tmp_path / "state")
    (tmp_path / "state" / "runtime").write_text(str(tmp_path))
    return tmp_path / "state"


def interlock(state: Path, *arguments: str) -> int:
    return main(["--state", str(state), *arguments])


def told(capsys: Said, state: Path, *arguments: str, status: int = Exit.OK) -> str:
    """Run a command; return what it wrote."""
    assert interlock(state, *arguments) == status
    return capsys.readouterr().out


def tampered(state: Path, script: str) -> None:
    with closing(sqlite3.connect(state / "interlock.db")) as db:
        db.executescript(f"DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut; {script}")


# --- report


def on_a_terminal(state: Path, *arguments: str) -> str:
    """Run a command on a terminal of its own; return what it wrote there."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    argv = [sys.executable, "-m", "interlock", "--state", str(state), *arguments]
    with subprocess.Popen(argv, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = b""
        with suppress(OSError):  # how a terminal ends whose last writer has gone
            while some := os.read(ours, 65536):
                written += some
        assert process.wait(60) == Exit.OK, written.decode()
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def test_on_a_terminal_a_report_says_in_red_what_somebody_let_pass_and_is_the_same_text(
    tmp_path: Path, capsys: Said
) -> None:
    keep(overridden(seen("succeeded")[0]), tmp_path / "state")
    (tmp_path / "state" / "runtime").write_text(str(tmp_path))
    shown = on_a_terminal(tmp_path / "state", "report")
    red = [line for line in shown.splitlines() if "BREAK-GLASS" in line]
    assert len(red) == 1 and "\x1b[1;31m" in shown[shown.index("### EXCEPTIONS") - 10 : shown.index("BREAK-GLASS")]
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == told(capsys, tmp_path / "state", "report")
    assert "\x1b" not in on_a_terminal(tmp_path / "state", "--no-color", "report")


# --- audit


def test_the_audit_lists_everything_and_who_did_it(state: Path, capsys: Said) -> None:
    lines = told(capsys, state, "audit").splitlines()
    assert "began" in lines[0] and "shop-2-staging" in lines[0] and "[ada]" in lines[0]
    assert lines[-1].startswith("head ")
    document = json.loads(told(capsys, state, "audit", "-o", "json"))
    assert [row["number"] for row in document["rows"]] == list(range(1, len(lines)))
    assert document["head"].endswith(document["rows"][-1]["hash"])


def test_a_row_that_cannot_be_read_does_not_keep_the_others_from_being_listed(state: Path, capsys: Said) -> None:
    tampered(state, "UPDATE audit SET record = 'gone' WHERE number = 2;")
    lines = told(capsys, state, "audit").splitlines()
    assert "2 cannot be read" in lines[1] and len(lines) > 5


def test_the_audit_is_listed_from_a_moment_on(state: Path, capsys: Said) -> None:
    assert told(capsys, state, "audit", "--since", "2999-01-01").splitlines()[0].startswith("head ")
    assert len(told(capsys, state, "audit", "--since", "1999-01-01").splitlines()) > 5
    with pytest.raises(SystemExit) as end:
        interlock(state, "audit", "--since", "yesterday")
    assert end.value.code == 2
    assert 'found "yesterday"' in capsys.readouterr().err


def test_a_record_that_is_whole_says_so_and_what_it_cannot_know(state: Path, capsys: Said) -> None:
    said = told(capsys, state, "audit", "verify")
    assert "rows are what was written" in said and "only an older head can tell" in said


def test_a_record_that_was_changed_fails_with_the_row(state: Path, capsys: Said) -> None:
    tampered(state, "UPDATE audit SET record = replace(record, 'ada', 'eve') WHERE number = 1;")
    assert "✖ row 1 is not what was written" in told(capsys, state, "audit", "verify", status=Exit.ERROR)
    document = json.loads(told(capsys, state, "audit", "verify", "-o", "json", status=Exit.ERROR))
    assert not document["whole"] and document["troubles"][0]["row"] == 1


@pytest.mark.parametrize("form", [["report"], ["report", "--incident"], ["report", "--html"], ["report", "-o", "json"]])
def test_a_record_that_was_cut_is_found_by_a_saved_report(
    state: Path, capsys: Said, tmp_path: Path, form: list[str]
) -> None:
    saved = tmp_path / "saved.md"
    saved.write_text(told(capsys, state, *form))
    assert "agree with the published head" in told(capsys, state, "audit", "verify", str(saved))
    tampered(
        state,
        "DELETE FROM audit WHERE number > 3; DELETE FROM entries WHERE rollout || seq NOT IN"
        " (SELECT json_extract(record, '$.subject') || json_extract(record, '$.seq') FROM audit);",
    )
    assert "rows are what was written" in told(capsys, state, "audit", "verify"), "it agrees with itself"
    (head,) = published_in(saved.read_text())
    for given in ([str(tmp_path)], ["--head", str(head)], ["--head", head.hash[:16]]):
        assert "cut" in told(capsys, state, "audit", "verify", *given, status=Exit.ERROR)


def test_what_is_no_head_and_no_report_is_a_usage_error(state: Path, capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "letter.md").write_text("dear all")
    for given in (["--head", "57"], [str(tmp_path / "letter.md")]):
        with pytest.raises(SystemExit) as end:
            interlock(state, "audit", "verify", *given)
        assert end.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")
    assert interlock(state, "audit", "verify", str(tmp_path / "none.md")) == Exit.ERROR
    assert "No such file" in capsys.readouterr().err


# --- incidents


def test_an_incident_is_unresolved_until_a_person_writes_the_cause(state: Path, capsys: Said) -> None:
    listed = told(capsys, state, "incident", "list")
    assert "shop-2-production" in listed and "UNRESOLVED: " in listed
    assert told(capsys, state, "incident", "list", "--open") == listed
    assert "**UNRESOLVED**" in told(capsys, state, "incident", "show", "shop-2")

    async def write() -> None:
        store = SQLite(state / "interlock.db")
        now = seen("rolled back")[1] + timedelta(hours=1)
        await store.note("shop-2-production", (resolved(now, "a cache without bounds", "grace", "command line"),))
        store.close()

    asyncio.run(write())
    assert "resolved by grace: a cache without bounds" in told(capsys, state, "incident", "list")
    assert told(capsys, state, "incident", "list", "--open") == "no incident is unresolved\n"
    report = told(capsys, state, "incident", "show")
    assert "- **a cache without bounds** (grace, " in report and "UNRESOLVED" not in report
    document = json.loads(told(capsys, state, "incident", "show", "-o", "json"))
    assert document["resolved"] and document["cause"]["cause"] == "a cache without bounds"
    assert "Root cause" not in report


def test_an_incident_for_programs_has_timeline_suspects_and_the_head(state: Path, capsys: Said) -> None:
    document = json.loads(told(capsys, state, "incident", "show", "-o", "json"))
    assert (document["type"], document["id"], document["resolved"]) == ("incident", "shop-2-production", False)
    assert any("weight 10 %" in line["text"] for line in document["timeline"])
    assert document["suspects"]["commits"]["why"].startswith("not both releases were made from git")
    assert document["audit_head"].count(":") == 1


def test_closing_what_is_no_incident_is_an_error_and_a_cause_must_be_said(tmp_path: Path, capsys: Said) -> None:
    keep(seen("succeeded")[0], tmp_path)
    assert interlock(tmp_path, "incident", "close", "shop-2", "--cause", "none") == Exit.ERROR
    assert "nothing was taken back, so there is no incident" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        interlock(tmp_path, "incident", "close", "shop-2", "--cause", " ")
    assert "expected a cause" in capsys.readouterr().err
    assert told(capsys, tmp_path, "incident", "list") == "nothing was ever taken back\n"


# --- reports


def test_a_report_for_programs_is_data_beside_the_text(state: Path, capsys: Said) -> None:
    document = json.loads(told(capsys, state, "report", "-o", "json"))
    report = document["report"]
    assert document["text"].startswith("## Deployment Report")
    assert (report["service"], report["version"], report["replaces"]) == ("shop", "2", "1")
    assert report["status"].startswith("ROLLBACK in production")
    assert {gate["gate"] for gate in report["gates"]} >= {"staging", "not-quarantined", "rollback-ready"}
    assert [one["environment"] for one in report["environments"]] == ["staging", "production"]
    assert report["audit_head"] in document["text"]


def test_a_page_is_written_to_a_file_or_to_standard_output(state: Path, capsys: Said, tmp_path: Path) -> None:
    assert told(capsys, state, "report", "--html").startswith("<!DOCTYPE html>")
    file = tmp_path / "page.html"
    assert "no scripts, no network" in told(capsys, state, "report", "shop-2", "--incident", "--html", str(file))
    assert "Incident Report: shop-2" in file.read_text()
    assert interlock(state, "report", "--html", str(tmp_path / "no" / "page.html")) == Exit.ERROR
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        interlock(state, "report", "--html", "-o", "json")


# --- locks


def test_a_lock_is_seen_by_status_and_doctor(state: Path, capsys: Said) -> None:
    async def write() -> None:
        store = SQLite(state / "interlock.db")
        await store.lock(Lock("shop", "grace", seen("rolled back")[1], "the database moves"))
        store.close()

    assert json.loads(told(capsys, state, "status", "-o", "json", status=Exit.ROLLED_BACK))["lock"] is None
    asyncio.run(write())
    wanted = "locked by grace since"
    assert f"shop is {wanted}" in told(capsys, state, "status", status=Exit.ROLLED_BACK)
    assert wanted in json.loads(told(capsys, state, "status", "-o", "json", status=Exit.ROLLED_BACK))["lock"]
    interlock(state, "doctor", "-o", "json")
    findings = {one["name"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert "the database moves" in findings["lock"]["text"] and findings["lock"]["well"] is None
    assert findings["audit"]["well"] and "rows are what was written" in findings["audit"]["text"]


def test_the_doctor_says_when_the_audit_was_changed(state: Path, capsys: Said) -> None:
    tampered(state, "DELETE FROM audit WHERE number = 2;")
    interlock(state, "doctor", "-o", "json")
    findings = {one["name"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["audit"]["well"] is False and "row 2 was taken out" in findings["audit"]["text"]


# --- the file


def test_a_setting_is_explained_by_its_name_or_its_end(capsys: Said, tmp_path: Path) -> None:
    said = told(capsys, tmp_path, "explain", "strategy.canary.first_bake")
    assert said.splitlines() == [
        "strategy.canary.first_bake",
        "  how long the first weight is watched",
        "  default: 15m",
    ]
    assert "strategy.rolling.first_bake" in told(capsys, tmp_path, "explain", "first_bake")
    assert "  required" in told(capsys, tmp_path, "explain", "environments.production.port")
    assert told(capsys, tmp_path, "explain", "environments.staging.instances").startswith("instances\n")
    assert "  has criteria.error_rate" in told(capsys, tmp_path, "explain", "criteria")
    (setting,) = json.loads(told(capsys, tmp_path, "explain", "smoke_tests[0].path", "-o", "json"))["settings"]
    assert setting["name"] == "smoke_tests.path"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("strategy.canary.wieghts", "did you mean strategy.canary.weights"),
        ("first_bkae", "first_bake"),
        ("qqqqqqqq", "all of them: docs/file.md"),
    ],
)
def test_a_setting_that_is_not_there_names_the_nearest(capsys: Said, tmp_path: Path, name: str, hint: str) -> None:
    assert interlock(tmp_path, "explain", name) == Exit.ERROR
    said = capsys.readouterr().err
    assert f'there is no setting "{name}" in interlock.yaml' in said and hint in said


def test_the_schema_is_a_json_schema_that_knows_every_block(capsys: Said, tmp_path: Path) -> None:
    schema = json.loads(told(capsys, tmp_path, "schema"))
    assert {"service", "artefact", "environments", "strategy"} <= schema["properties"].keys()
    assert "service" in schema["required"]
