"""Does each command do what it says, and is everything that can go wrong one clear paragraph?

The real command as a process of its own, on a project and a state directory of its own.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.parts import needed
from tests.surfaces.worlds import keep, seen

from interlock.surfaces.cli.parser import COMMANDS

SOURCE = Path(__file__).parents[2] / "src"
COMMANDS_BY_NAME = [name for group in COMMANDS.values() for name in group]
FILE = """\
service: shop
artefact: {directory: app}
command: [python, app.py]
environments:
  staging: {port: 24811}
  production: {port: 24810}
"""


@dataclass(frozen=True)
class Project:
    """A project's directory, in which commands are run as a person would."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.root.parent / "xdg" / "interlock" / "shop"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; standard output and error are no terminals."""
        return self.script(sys.executable, "-m", "interlock", *arguments, **environment)

    def script(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run any program to its end, in the project."""
        temporary = self.root.parent / "t"
        temporary.mkdir(exist_ok=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
        ours = {
            "PYTHONPATH": str(SOURCE),
            "XDG_STATE_HOME": str(self.root.parent / "xdg"),
            "COLUMNS": "80",
            "TMPDIR": str(temporary),
            "XDG_RUNTIME_DIR": "",
        }
        return subprocess.run(
            argv,
            cwd=self.root,
            env={**inherited, **ours, **environment},
            capture_output=True,
            text=True,
            timeout=50,
        )

    def apart(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script that may mount file systems which nobody else sees; skip where that is not allowed."""
        done = subprocess.run([needed("unshare"), "-rm", "true"], capture_output=True, text=True, timeout=10)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted in a namespace of its own here: {done.stderr.strip()}")
        return self.script("unshare", "-rm", "sh", "-c", script)

    def fails(self, *arguments: str, status: int = 1, **environment: str) -> str:
        """Run a command that must fail; return its paragraph."""
        done = self.run(*arguments, **environment)
        assert done.returncode == status, done.stdout + done.stderr
        assert done.stderr.startswith("error: "), done.stderr
        assert "Traceback" not in done.stderr
        assert "this is a bug" not in done.stderr.lower()
        return done.stderr

    def write(self, text: str) -> None:
        (self.root / "interlock.yaml").write_text(text)


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    root = tmp_path / "shop"
    root.mkdir()
    return Project(root)


@pytest.fixture
def project(empty: Project) -> Iterator[Project]:
    """A project with a file and an artefact, of which nothing runs. Nothing here may start a keeper."""
    (empty.root / "app").mkdir()
    (empty.root / "app" / "app.py").write_text("print('hello')\n")
    empty.write(FILE)
    yield empty
    assert not (empty.state / "keeper.log").exists(), "a keeper was started"


@pytest.fixture
def records(project: Project) -> Callable[[str], Project]:
    """Return a function that puts a run into the project's records."""

    def put(name: str) -> Project:
        keep(seen(name)[0], project.state)
        return project

    return put


# --- the command line


def test_help_names_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "interlock", "--help"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0
    assert all(re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in COMMANDS_BY_NAME)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_every_command_of_the_help_is_in_the_manual() -> None:
    manual = (SOURCE.parent / "docs" / "cli.md").read_text()
    assert [name for name in COMMANDS_BY_NAME if f"interlock {name}" not in manual] == []


def test_nothing_said_is_a_usage_error_with_the_help(empty: Project) -> None:
    done = empty.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: interlock" in done.stderr


def test_an_unknown_command_names_the_nearest(empty: Project) -> None:
    assert 'there is no "deplyo"; did you mean "deploy"?' in empty.fails("deplyo", status=2)


def test_a_wrong_duration_says_what_is_expected(empty: Project) -> None:
    assert 'expected a duration such as "90s", "15m" or "1h30m", found "2"' in empty.fails(
        "status", "--timeout", "2", status=2
    )


def test_deploy_wants_either_a_version_or_a_plan(project: Project) -> None:
    assert "either a VERSION or --plan FILE" in project.fails("deploy", status=2)
    assert "either a VERSION or --plan FILE" in project.fails("deploy", "v1", "--plan", "p", status=2)


# --- the file


def test_init_writes_a_file_that_can_be_planned_and_never_writes_over_one(empty: Project) -> None:
    done = empty.run("init")
    assert done.returncode == 0, done.stderr
    text = (empty.root / "interlock.yaml").read_text()
    assert "service: shop\n" in text
    assert "is there already, and was not changed" in empty.fails("init")
    assert (empty.root / "interlock.yaml").read_text() == text


@pytest.mark.parametrize("command", [["get"], ["deploy", "v1"], ["plan", "v1"], ["history"], ["down"]])
def test_without_a_file_a_command_says_how_to_get_one(empty: Project, command: list[str]) -> None:
    said = empty.fails(*command)
    assert f"no interlock.yaml in {empty.root} or above it: run `interlock init`" in said


def test_a_file_that_is_named_and_not_there_is_an_error(empty: Project) -> None:
    assert "run `interlock init`" in empty.fails("-f", "other.yaml", "plan", "v1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("service: shop\ncommand: [\n", r"interlock\.yaml:\d+:\d+: .*expected YAML"),
        (FILE.replace("command:", "comand:"), r'interlock\.yaml:3:1: .*did you mean "command"\?'),
        (FILE + "strategy: {canary: {weights: [50%, 5%, 100%]}}\n", r"interlock\.yaml:7:\d+: .*weights must rise"),
        (FILE + "strategy: {canary: {weights: [5%, 150%]}}\n", r"interlock\.yaml:7:\d+: .*150%"),
        (FILE.replace("  staging: {port: 24811}\n", ""), r"interlock\.yaml:5:3: .*expected at least two environments"),
    ],
    ids=["broken YAML", "unknown key", "weights that fall", "a weight over 100 %", "no staging"],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(project: Project, text: str, expected: str) -> None:
    project.write(text)
    assert re.search(expected, project.fails("deploy", "v1"))


# --- versions, plans


def test_a_plan_shows_what_would_be_done_and_changes_nothing(project: Project) -> None:
    done = project.run("plan", ".", "--first")
    assert done.returncode == 0, done.stderr
    assert "+ start 1 instance of production-" in done.stdout
    assert "nothing to go back to" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Plan: staging then production, ")
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if line.lstrip().startswith("i "))


def test_the_exit_status_of_a_plan_says_whether_there_is_something_to_do(project: Project) -> None:
    assert project.run("plan", ".", "--first", "--detailed-exitcode").returncode == 10


def test_a_first_production_release_must_be_meant(project: Project) -> None:
    for command in ("plan", "deploy"):
        assert "nothing to go back to. If that is meant, say so with --first" in project.fails(command, ".", status=4)


def test_a_version_that_is_nothing_is_said_to_be_nothing(project: Project) -> None:
    assert 'no such git ref, directory or digest: "v9"' in project.fails("deploy", "v9")


def test_a_secret_that_is_not_set_is_named_and_never_its_value(project: Project) -> None:
    project.write(FILE + "secrets: {TOKEN: env:SHOP_TOKEN}\n")
    assert "the secret env:SHOP_TOKEN is not set" in project.fails("plan", ".", "--first")
    done = project.run("plan", ".", "--first", "--out", "plan.json", SHOP_TOKEN="hush-hush")
    assert "secret TOKEN from env:SHOP_TOKEN" in done.stdout
    assert "hush-hush" not in done.stdout + (project.root / "plan.json").read_text()


def test_a_plan_for_programs_is_one_document(project: Project) -> None:
    told = json.loads(project.run("plan", ".", "--first", "-o", "json").stdout)
    assert told["type"] == "plan"
    assert [one["environment"] for one in told["stages"]] == ["staging", "production"]


def test_a_plan_file_that_was_changed_or_is_none_is_refused(project: Project) -> None:
    written = project.run("plan", ".", "--first", "--out", "plan.json")
    assert "interlock deploy --plan plan.json" in written.stdout
    file = project.root / "plan.json"
    file.write_text(file.read_text().replace('"start_within": 60.0', '"start_within": 61.0'))
    assert "was changed after it was written" in project.fails("deploy", "--plan", "plan.json")
    file.write_text("{}")
    assert "plan.json is no plan" in project.fails("deploy", "--plan", "plan.json")
    file.write_text("not even JSON")
    assert "plan.json is no plan" in project.fails("deploy", "--plan", "plan.json")
    assert "there is no other.json" in project.fails("deploy", "--plan", "other.json")


def test_a_plan_that_cannot_be_written_is_an_error(project: Project) -> None:
    assert "nowhere/plan.json cannot be written: No such file or directory" in project.fails(
        "plan", ".", "--first", "--out", "nowhere/plan.json"
    )


# --- the state directory


@pytest.mark.parametrize("command", ["get", "status", "history", "logs", "abort", "promote", "retry"])
def test_before_the_first_deploy_looking_and_ordering_say_so(project: Project, command: str) -> None:
    assert "nothing has been deployed from here yet" in project.fails(command)


def test_down_where_nothing_runs_starts_nothing(project: Project) -> None:
    done = project.run("down")
    assert (done.returncode, done.stdout) == (0, "nothing of this project runs here\n")


def test_records_of_a_newer_version_are_left_alone(records: Callable[[str], Project]) -> None:
    project = records("succeeded")
    db = sqlite3.connect(project.state / "interlock.db")
    with db:
        db.execute("UPDATE meta SET value = '999' WHERE name = 'schema'")
    db.close()
    for command in (["get"], ["abort"], ["plan", ".", "--first"]):
        assert "was written by a newer Interlock" in project.fails(*command)


def test_a_state_directory_that_is_a_file_is_an_error(project: Project) -> None:
    (project.root / "state").write_text("")
    assert "--state or INTERLOCK_STATE" in project.fails("--state", "state", "plan", ".", "--first")


def test_a_read_only_state_directory_is_an_error(project: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs none {disk} && mkdir {disk}/s && mount -o remount,ro {disk}"
    done = project.apart(f"{mount} && {sys.executable} -m interlock --state {disk}/s deploy . --first")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"error: the state directory {disk}/s cannot be used: Read-only file system" in done.stderr
    assert "--state or INTERLOCK_STATE" in done.stderr


def test_a_state_directory_where_none_can_be_made_is_an_error(project: Project) -> None:
    assert "the state directory /proc/interlock cannot be used" in project.fails(
        "--state", "/proc/interlock", "plan", ".", "--first"
    )


def test_a_plan_that_finds_no_space_is_an_error(project: Project) -> None:
    # /dev/full refuses every write as a full disk does.
    assert "/dev/full cannot be written: No space left on device" in project.fails(
        "plan", ".", "--first", "--out", "/dev/full"
    )


def test_a_full_disk_is_an_error_before_anything_is_started(project: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = f"mount -t tmpfs -o size=64k none {disk} && mkdir {disk}/s && ! head -c 1m /dev/zero > {disk}/s/full"
    command = f"{fill} 2>/dev/null && {sys.executable} -m interlock --state {disk}/s deploy . --first"
    done = project.apart(command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


# --- looking at runs


def test_get_shows_the_newest_run_of_the_records(records: Callable[[str], Project]) -> None:
    done = records("succeeded").run("get")
    assert done.returncode == 0, done.stderr
    assert "Status:      ✔ succeeded since" in done.stdout
    assert "└── ✔ production: succeeded" in done.stdout
    assert "\x1b" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_get_and_history_for_programs_are_one_document_each(records: Callable[[str], Project]) -> None:
    project = records("rolled back")
    run = json.loads(project.run("get", "-o", "json").stdout)
    assert (run["type"], run["run"], run["over"]) == ("run", "shop-2", True)
    assert run["rollouts"][-1]["phase"] == "rolled back"
    history = json.loads(project.run("history", "-o", "json").stdout)
    assert (history["type"], len(history["rollouts"])) == ("history", 2)


@pytest.mark.parametrize(("name", "status"), [("succeeded", 0), ("rolled back", 3), ("quarantined", 4), ("failed", 6)])
def test_status_exits_as_the_run_ended(records: Callable[[str], Project], name: str, status: int) -> None:
    project = records(name)
    assert project.run("status").returncode == status
    watched = project.run("status", "--watch")
    assert watched.returncode == status
    assert "production → canary of 2 (production-2) in production begins" in watched.stdout


def test_a_watch_that_outlasts_its_time_says_that_the_run_goes_on(records: Callable[[str], Project]) -> None:
    said = records("watched").fails("status", "--watch", "--timeout", "1s", status=5)
    assert "shop-2 is still progressing in production after" in said
    assert "interlock abort shop-2" in said


def test_following_for_programs_is_one_document_a_line(records: Callable[[str], Project]) -> None:
    lines = records("rolled back").run("get", "-w", "-o", "json").stdout.splitlines()
    types = [json.loads(line)["type"] for line in lines]
    assert types[-1] == "end"
    assert set(types[:-1]) == {"event"}
    assert json.loads(lines[-1])["exit"] == 3


def test_an_unknown_run_names_the_newest(records: Callable[[str], Project]) -> None:
    project = records("succeeded")
    for command in ("get", "status", "abort", "logs", "retry"):
        assert "there is no rollout shop-77; the newest are shop-2" in project.fails(command, "shop-77")


def test_history_has_a_line_for_each_rollout_and_its_reason(records: Callable[[str], Project]) -> None:
    lines = records("rolled back").run("history").stdout.splitlines()
    assert lines[0].split() == ["RUN", "ENVIRONMENT", "VERSION", "PHASE", "STARTED", "(UTC)", "TOOK", "BY"]
    assert lines[1].startswith("shop-2  production   2")
    assert "canary requests failed" in lines[2]
    assert all(len(line) <= 80 for line in lines)


def test_logs_of_a_run_are_its_journal_and_what_its_instances_wrote(records: Callable[[str], Project]) -> None:
    project = records("rolled back")
    written = project.state / "instances" / "logs" / "production-2-0.log"
    written.parent.mkdir(parents=True)
    written.write_text("listening\nit burns\n")
    said = project.run("logs").stdout
    assert "production ← going back: " in said
    assert said.endswith("==> production-2 <==\nlistening\nit burns\n")
    assert project.run("logs", "production-2", "-n", "1").stdout == "it burns\n"


def test_logs_of_our_own_programs_are_there_too(project: Project) -> None:
    (project.state / "envoy").mkdir(parents=True)
    (project.state / "envoy" / "envoy.log").write_text("one\ntwo\n")
    assert project.run("logs", "envoy", "-n", "1").stdout == "two\n"


def test_the_reports_are_markdown_and_only_a_run_that_went_back_has_an_incident(
    records: Callable[[str], Project],
) -> None:
    project = records("rolled back")
    assert project.run("report").stdout.startswith("## Deployment Report\n")
    incident = project.run("report", "shop-2", "--incident")
    assert incident.returncode == 0, incident.stderr
    assert incident.stdout.startswith("#")
    told = json.loads(project.run("report", "-o", "json").stdout)
    assert (told["type"], told["run"], told["incident"]) == ("report", "shop-2", False)


def test_a_run_that_went_well_has_no_incident(records: Callable[[str], Project]) -> None:
    assert "shop-2" in records("succeeded").fails("report", "--incident")


# --- orders


@pytest.mark.parametrize("order", ["abort", "pause", "resume", "promote", "approve", "acknowledge"])
def test_an_order_to_a_finished_run_is_refused_and_starts_nothing(
    records: Callable[[str], Project], order: str
) -> None:
    said = records("succeeded").fails(order)
    assert "shop-2-production is succeeded since" in said
    assert f"there is nothing left to {order}" in said
    assert "interlock rollback VERSION" in said


def test_down_in_the_middle_of_a_rollout_must_be_meant(records: Callable[[str], Project]) -> None:
    said = records("watched").fails("down", status=4)
    assert "shop-2-production is progressing since" in said
    assert "started by ada" in said
    assert "--force" in said


def test_a_rollback_where_nothing_was_proven_says_so(project: Project) -> None:
    assert "nothing has been deployed from here yet" in project.fails("rollback")


def test_quarantine_is_listed_and_what_is_not_in_it_cannot_be_released(records: Callable[[str], Project]) -> None:
    project = records("succeeded")
    assert project.run("quarantine", "list").stdout == "no release is in quarantine\n"
    assert "0123 is not in quarantine; in quarantine: none" in project.fails(
        "quarantine", "release", "0123", "--reason", "fixed"
    )
    project.fails("quarantine", "release", "0123", status=2)


# --- the doctor


def test_the_doctor_looks_at_everything_and_starts_nothing(project: Project) -> None:
    done = project.run("doctor", "-o", "json")
    told = json.loads(done.stdout)
    names = [one["name"] for one in told["findings"]]
    expected = ["machine", "glibc", "python", "state", "disk", "records", "clock", "keeper", "twin", "envoy program"]
    assert names[: len(expected)] == expected
    assert {"port 24810", "port 24811"} <= set(names)
    assert told["well"] is (done.returncode == 0)


def test_the_doctor_says_what_to_do_about_a_port_that_is_taken(project: Project) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project.write(FILE.replace("24810", str(port)))
        done = project.run("doctor")
    assert done.returncode == 1
    assert f"✖ port {port}" in done.stdout
    assert f"port {port} on 127.0.0.1 is taken" in done.stdout
    assert "environments.production.port" in done.stdout


def test_the_doctor_prints_a_unit_for_systemd(project: Project) -> None:
    unit = project.run("doctor", "--unit").stdout
    assert f"ExecStart={sys.executable} -m interlock --state {project.state} doctor --start" in unit
    assert "WantedBy=default.target" in unit


def test_the_doctor_looks_also_when_the_file_is_broken(project: Project) -> None:
    project.write(FILE.replace("command:", "comand:"))
    done = project.run("doctor")
    assert done.returncode == 1
    assert "✖ file" in done.stdout
    assert "✔ machine" in done.stdout
