"""Does `interlock flag` show, move and plan flags truly, in the keeper, on record, and past no closed gate?

The real command, the real keeper, and a file of flags in flagd's format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.test_commands import Project

from interlock.surfaces.cli.parser import parse

FILE = """\
service: shop
artefact: {directory: app}
command: [python, app.py]
environments:
  staging: {port: 24821}
  production:
    port: 24820
    gates: {incidents: {file: on-fire}, window: {open: [daily 00:00-24:00]}}
flags:
  file: "flags/{environment}.json"
  release: [new_feature]
"""
FLAGS: dict[str, Any] = {
    "flags": {
        "new_feature": {
            "state": "DISABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {"fractional": [["on", 10], ["off", 90]]},
        }
    }
}


def written(tmp_path: Path, file: str = FILE) -> Project:
    project = Project(tmp_path / "shop")
    (project.root / "app").mkdir(parents=True)
    (project.root / "app" / "app.py").write_text("print('hello')\n")
    (project.root / "flags").mkdir()
    for name in ("staging", "production"):
        (project.root / "flags" / f"{name}.json").write_text(json.dumps(FLAGS))
    project.write(file)
    return project


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with flags, whose keeper is started by the first change and stopped at the end."""
    project = written(tmp_path_factory.mktemp("flags"))
    yield project
    assert project.run("down").returncode == 0


@pytest.fixture
def project(kept: Project) -> Project:
    """The same, with all flags as they were at first and nothing on fire."""
    for name in ("staging", "production"):
        (kept.root / "flags" / f"{name}.json").write_text(json.dumps(FLAGS))
    (kept.root / "on-fire").unlink(missing_ok=True)
    return kept


def ok(project: Project, *arguments: str) -> str:
    done = project.run("flag", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def in_file(project: Project, environment: str = "production") -> Any:
    return json.loads((project.root / "flags" / f"{environment}.json").read_text())["flags"]["new_feature"]


def test_a_flag_is_shown_where_it_is_kept(project: Project) -> None:
    assert ok(project, "get", "new_feature").splitlines() == [
        "staging     disabled at 10% (by targetingKey)",
        "production  disabled at 10% (by targetingKey)",
    ]
    (one,) = json.loads(ok(project, "get", "new_feature", "-e", "production", "-o", "json"))["flags"]
    assert (one["environment"], one["flag"], one["rollout"], one["trouble"]) == (
        "production",
        "new_feature",
        None,
        None,
    )
    assert (one["state"]["enabled"], one["state"]["percentage"], one["state"]["exposure"]) == (False, 10, 0)


def test_all_flags_of_an_environment_are_listed(project: Project) -> None:
    assert ok(project, "list", "--environment", "production") == "new_feature  disabled at 10% (by targetingKey)\n"
    (one,) = json.loads(ok(project, "list", "-e", "production", "-o", "json"))["flags"]
    assert one["flag"] == "new_feature"


def test_a_flag_is_moved_read_back_and_on_record_with_who_before_and_after(project: Project) -> None:
    said = ok(project, "set", "new_feature", "--environment", "production", "--percentage", "5%", "--wait")
    first, second = said.splitlines()
    assert first == "flag new_feature in production is enabled at 5%; it was disabled at 10%"
    assert "after the change it still stood" in second
    assert in_file(project)["state"] == "ENABLED"
    assert in_file(project)["targeting"]["fractional"][0] == ["on", 5]
    assert in_file(project, "staging") == FLAGS["flags"]["new_feature"], "the other environment is left alone"
    document = json.loads(ok(project, "set", "new_feature", "-e", "production", "--off", "-o", "json"))
    assert (document["type"], document["action"]) == ("flag-set", "disable")
    assert (document["before"]["exposure"], document["now"]["exposure"], document["now"]["percentage"]) == (5, 0, 5)
    audit = project.run("audit").stdout
    assert "flag new_feature in production is enabled at 5%; it was disabled at 10% (by " in audit
    assert "flag new_feature in production is disabled at 5%; it was enabled at 5% (by " in audit
    assert project.run("audit", "verify").returncode == 0


def test_during_an_incident_it_goes_to_no_more_users_and_may_always_go_off(project: Project) -> None:
    ok(project, "set", "new_feature", "-e", "production", "--percentage", "50")
    (project.root / "on-fire").write_text("INC-1 the till burns\n")
    refused = project.run("flag", "set", "new_feature", "-e", "production", "--percentage", "60")
    assert refused.returncode == 4
    assert "may not go to more users of production now: gate no-incident: " in refused.stderr
    assert "INC-1 (the till burns)" in refused.stderr
    ok(project, "set", "new_feature", "-e", "production", "--percentage", "20")
    ok(project, "set", "new_feature", "-e", "staging", "--percentage", "100")
    assert "disabled at 20%" in ok(project, "set", "new_feature", "-e", "production", "--percentage", "0")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("set new_feature -e production --percentage 101", "from 0 to 100"),
        ("set new_feature -e production --percentage 2.5", "expected a whole percentage"),
        ("set new_feature -e production", "--percentage --on --off is required"),
        ("set new_feature -e production --on --off", "not allowed with"),
        ("set new_feature --on", "--environment"),
        ("rollout new_feature -e production --steps 5,x", "expected a whole percentage"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["flag", *arguments.split()])
    assert ended.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("set", "nope", "-e", "production", "--on"), 1, "has no flag nope"),
        (("rollout", "new_feature", "-e", "production", "--off", "--to", "50%"), 2, "found both"),
        (("rollout", "new_feature", "-e", "production"), 4, "production of shop runs nothing yet"),
    ],
)
def test_what_cannot_be_done_is_one_error_and_changes_nothing(
    project: Project, arguments: tuple[str, ...], status: int, said: str
) -> None:
    before = in_file(project)
    assert said in project.fails("flag", *arguments, status=status)
    assert in_file(project) == before


def test_a_flag_that_is_nowhere_is_said_not_to_be(project: Project) -> None:
    done = project.run("flag", "get", "nope")
    assert done.returncode == 1 and "has no flag nope" in done.stdout


def test_check_and_doctor_say_whether_the_flags_can_be_moved(project: Project) -> None:
    assert "flag             new_feature is disabled at 10% and can be moved" in project.run("check").stdout
    (project.root / "flags" / "production.json").write_text("{")
    shut = project.run("check")
    assert shut.returncode == 4 and "is no file of flags" in shut.stdout
    assert "✖ flags          production: " in project.run("doctor").stdout


def test_a_file_without_flags_says_what_is_missing(tmp_path: Path) -> None:
    project = written(tmp_path, FILE[: FILE.index("flags:")])
    assert "does not say who keeps the flags of production" in project.fails("flag", "get", "new_feature")
