"""Does what the examples' READMEs say to type do what they say? Each is typed as it stands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.engines import Harbour, harbour

from interlock.adapters.host.local import LocalHost
from interlock.app.state import StateDirectory
from interlock.app.verbs import App
from interlock.core.phase import Phase

__all__ = ["harbour"]

ROOT = Path(__file__).parents[2]
DEADLINE = 150
NONE: Mapping[str, str] = {}
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)

pytestmark = pytest.mark.timeout(DEADLINE + 60)


def typed(
    example: str, place: Path, ports: Mapping[str, str] = NONE, variables: Mapping[str, str] = NONE
) -> tuple[str, Path]:
    """Type all that the example's README says, in a copy on ports of its own; return the output and the state.

    `ports` are those that something else listens on, `variables` what it is told besides.
    """
    project, state, programs = place / "project", place / "state", place / "bin"
    shutil.copytree(ROOT / "examples" / example, project)
    programs.mkdir()
    for name, argv in (("interlock", "-m interlock "), ("python3", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {argv}"$@"\n')
        (programs / name).chmod(0o755)
    free_ports = {port: str(asyncio.run(LocalHost().free_port())) for port in ("8000", "8001", "8002")}
    for port, free in (free_ports | dict(ports)).items():
        for file in ("README.md", "interlock.yaml"):
            (project / file).write_text((project / file).read_text().replace(port, free))
    script = "".join(BLOCK.findall((project / "README.md").read_text()))
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "INTERLOCK_STATE": str(state),
        **variables,
        **{f"GIT_{who}_{what}": "example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    script = f"set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true; interlock down --force' EXIT\n{script}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=project, env=environment, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout, state


def test_the_quick_start_releases_twice_reports_and_goes_back(tmp_path: Path, needs: Callable[[str], Path]) -> None:
    needs("git")
    output, state = typed("01-quick-start", tmp_path)
    assert "v2 runs in production" in output
    assert "- Version: v1 → v2" in output and "- Status: SUCCESS" in output
    assert "FAILED" not in output, "a user was not answered"
    newest, *_ = asyncio.run(App(StateDirectory(state)).history(1))
    assert newest.phase is Phase.SUCCEEDED and newest.stage.revision.release.version == "v1"
    assert asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()


def test_the_grpc_service_takes_a_version_back_whose_calls_fail(tmp_path: Path, needs: Callable[[str], Path]) -> None:
    needs("git")
    output, state = typed("02-grpc", tmp_path)
    assert "v2 runs in production" in output
    assert "requests failed" in output and "quarantine" in output
    newest, before, *_ = asyncio.run(App(StateDirectory(state)).history(2))
    assert newest.phase is Phase.ROLLED_BACK and newest.stage.revision.release.version == "v3"
    assert newest.stage.environment == "production"
    assert before.phase is Phase.SUCCEEDED
    failed = {line for line in output.splitlines() if "FAILED" in line and "FAILED with status 14" not in line}
    assert not failed


def test_a_release_that_refuses_payments_at_status_200_is_taken_back_by_what_the_service_counts(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    needs("git")
    output, state = typed("03-own-metrics", tmp_path)
    output = " ".join(output.split())  # lines wrap where the terminal is narrow
    assert "judged and to be proven too, by what each instance shows at /metrics: refused-payments" in output
    assert "v2 runs in production" in output
    assert 'checkouts_total{result="refused"} of checkouts_total' in output and "FAILED: " not in output
    assert re.search(r"- refused-payments: \S+ % \([\d,]+ of [\d,]+ events\) beside it → \S+ % \(", output)
    newest, before, *_ = asyncio.run(App(StateDirectory(state)).history(2))
    assert newest.phase is Phase.ROLLED_BACK and newest.quarantine and newest.stage.environment == "production"
    assert "canary events of refused-payments were bad" in newest.reason and "requests failed" not in newest.reason
    assert before.phase is Phase.SUCCEEDED
    assert asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()


def test_with_few_users_load_proves_the_good_release_and_finds_the_bad_one_first(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    needs("git")
    output, state = typed("05-low-traffic", tmp_path)
    assert "synthetic load: 1,000 requests to " in output
    assert "v2 runs in production" in output
    assert "PROVEN BY SYNTHETIC LOAD, NOT BY USERS" in output
    assert "it went back" in output and "of synthetic requests: " in output
    assert "FAILED: " not in output and "\nv3\n" not in output, "a user got to the bad release"
    newest, *_ = asyncio.run(App(StateDirectory(state)).history(1))
    assert newest.phase is Phase.ROLLED_BACK and newest.quarantine and not newest.exposed
    assert asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()


def test_a_receiver_is_told_once_of_each_thing_and_the_deployment_is_in_the_log(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    needs("git")
    output, state = typed("06-telling", tmp_path)
    told = (tmp_path / "project" / "told.log").read_text().splitlines()
    assert len(told) == len(set(told))
    kinds = [line.partition(" | ")[2].partition(":")[0] for line in told]
    assert (
        kinds[0] == "Started"
        and kinds.count("Succeeded") == 2
        and kinds[-2:] == ["GOING BACK", "Rolled back, verified"]
    )
    assert any(line.startswith("dev.cdevents.service.deployed.0.2.0 | ") for line in told)
    assert "Enter the deployment of shop v1 to production" in output
    log = (tmp_path / "project" / "DEPLOYMENTS.md").read_text()
    assert "| v1 | production |" in log and "v2" not in log
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path / "project", capture_output=True, text=True)
    assert status.stdout == "" and asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()


def test_an_incident_blocks_and_holds_and_only_a_signature_approves(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    needs("git")
    needs("ssh-keygen")
    output, state = typed("07-gates", tmp_path)
    assert "✔ production   window           open" in output
    assert "✖ production   no-incident      active: INC-7 (checkout is down)" in output
    assert "blocked, status 4" in output and "refused: a name proves nothing" in output
    assert "approved by ada@shop.example (proven by a signature)" in output
    assert re.search(r"waiting.*INC-8 \(payments are slow\)", output)
    assert "active: INC-8 (payments are slow)" in output and "over: INC-8" in output
    newest, _, first, *_ = asyncio.run(App(StateDirectory(state)).history(4))
    assert (newest.phase, newest.stage.revision.release.version) == (Phase.SUCCEEDED, "v2")
    assert all(one.proven and one.by == "ada@shop.example" for rollout in (newest, first) for one in rollout.approvals)
    assert asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()


def test_a_board_is_asked_a_database_is_migrated_once_and_a_veto_ends_it_before_the_build(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    needs("git")
    needs("curl")
    output, state = typed("08-hooks-and-migrations", tmp_path)
    assert "! migration: python3 migrate.py (within 1 min)" in output
    assert "going back runs no migration" in output and "tells the log after" in output
    assert "v2 runs in production" in output
    assert "v2 may have 50 %" in output and "v2 may have 100 %" in output
    assert "change 2: ALTER TABLE orders ADD total INTEGER" in output
    assert "is not built: the board for production: ended with status 1: not on a Friday" in output
    assert "blocked, status 4" in output and "it went back" in output
    assert 'near "order": syntax error' in output
    told = (tmp_path / "project" / "told.log").read_text().splitlines()
    assert [line.partition(":")[0] for line in told] == ["after v1", "after v2"]
    newest, *_ = asyncio.run(App(StateDirectory(state)).history(1))
    assert newest.stage.environment == "staging" and newest.phase is Phase.ROLLED_BACK and not newest.exposed
    assert asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()


def test_an_image_is_built_pushed_and_released_as_containers(
    tmp_path: Path, needs: Callable[[str], Path], harbour: Harbour
) -> None:
    for program in ("git", "buildah", "busybox"):
        needs(program)
    engine = harbour.engine("docker")
    (tmp_path / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n'
    )
    variables = {"DOCKER_HOST": engine.address, "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf")}
    output, state = typed("10-containers", tmp_path, {"5000": str(harbour.registry.port)}, variables)
    assert f"at {engine.address}" in output and "instances outlive the engine" in output
    assert "\nhello from v1" in output and output.count("\ngood morning and hello from v2") == 2
    assert "version v1 listens on port 8080" in output
    assert "it went back, status" in output and "500" in output
    newest, *_ = asyncio.run(App(StateDirectory(state)).history(1))
    assert newest.phase is Phase.ROLLED_BACK and newest.stage.revision.release.version == "v3"
    assert engine.containers() == [] and "interlock-" not in str(engine.ask("GET", "/networks"))


def test_a_flag_moves_with_its_release_and_goes_back_alone_or_with_everything(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    needs("git")
    output, state = typed("11-flags", tmp_path)
    assert "the flag went back" in output and "it went back at once" in output and "everything went back" in output
    assert "flag rolled back" in output
    assert "of requests with the flag, beside those without it: " in " ".join(output.split())
    kept = json.loads((tmp_path / "project" / "flags" / "production.json").read_text())["flags"]["new_checkout"]
    assert kept["state"] == "DISABLED"
    rollouts = asyncio.run(App(StateDirectory(state)).history(10))
    v3, alone, v2 = [one for one in rollouts if one.stage.environment == "production"][:3]
    assert [one.stage.revision.release.version for one in (v3, alone, v2)] == ["v3", "v2", "v2"]
    assert (v3.phase, v3.quarantine, v3.retracted) == (Phase.ROLLED_BACK, True, "")
    assert alone.stage.flag_alone and alone.phase is Phase.ROLLED_BACK and not alone.quarantine
    assert v2.phase is Phase.SUCCEEDED and "requests failed" in v2.retracted
    assert "FAILED: " not in output, "a user was not answered"
    assert asyncio.run(LocalHost().find(StateDirectory(state).label)) == ()
