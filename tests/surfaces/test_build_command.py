"""Does `interlock build` answer people and programs, and is what it cannot do one clear error?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.registry.registries import Docked, registry
from tests.app.yard import Yard, git, tools, yard

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def docked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docked]:
    with registry(tmp_path_factory.mktemp("registry")) as one, tools(tmp_path_factory.mktemp("tools")):
        yield one


@pytest.fixture
def here(tmp_path: Path, docked: Docked) -> Yard:
    one = yard(tmp_path, docked, f"t/{tmp_path.name.lower()[:30].strip('-_')}")
    one.write(
        "interlock.yaml",
        f'service: shop\nimage: {{name: "{one.source.image.name}", builder: buildah}}\n'
        "environments: {staging: {port: 18001}, production: {port: 18000}}\n",
    )
    one.commit()
    return one


def interlock(here: Yard, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "interlock", "--state", str(here.place / "state"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(argv, cwd=here.project, env=environment, capture_output=True, text=True, timeout=55)


def test_people_read_the_digest_on_standard_output_and_progress_beside_it(here: Yard) -> None:
    done = interlock(here, "build", "main", "--tag", "1.4")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{here.source.image.name}:1.4@sha256:")
    assert "building" in done.stderr and "COPY app.txt" in done.stderr and f"pushed {line}" in done.stderr
    again = interlock(here, "build", "HEAD", "-o", "json")
    said = json.loads(again.stdout)
    assert said["type"] == "build" and said["found"] and line.endswith(said["digest"]) and Path(said["log"]).is_file()
    assert "nothing is built" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("nope",), 1, 'error: no such git ref: "nope"'),
        (("--target", "nope"), 1, "expected the name of a stage"),
        (("--context", "nope"), 1, "does not exist"),
        (("--image", "Nope"), 1, "expected an image such as"),
        (("--build-arg", "VERSION"), 2, "expected --build-arg NAME=VALUE"),
        (("--secret", "npm=hunter2"), 2, "expected a reference"),
        (("--builder", "kaniko"), 2, 'there is no "kaniko"'),
    ],
)
def test_what_cannot_be_built_is_one_clear_error(
    here: Yard, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = interlock(here, "build", *arguments)
    assert done.returncode == status and said in done.stderr and done.stdout == ""
    assert "hunter2" not in done.stderr and "Traceback" not in done.stderr


def test_without_an_image_in_the_file_one_must_be_named(here: Yard) -> None:
    here.write(
        "interlock.yaml", "service: shop\ncommand: [a]\nenvironments: {staging: {port: 1}, production: {port: 2}}\n"
    )
    done = interlock(here, "build")
    assert done.returncode == 2 and "has no `image`" in done.stderr
    (here.project / "interlock.yaml").unlink()
    git(here.project, "add", "-A")
    named = interlock(here, "build", "--image", here.source.image.name, "--builder", "buildah", "--no-push")
    assert named.returncode == 0 and "was not pushed and so has no digest yet" in named.stdout
