"""Is what is sent to another machine a wheel with all of Interlock in it?"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import interlock
from interlock.app import wheel

METADATA = "Metadata-Version: 2.1\nName: interlock\nVersion: 9.8.7\nRequires-Dist: h11\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    about = tmp_path / "site" / "interlock-9.8.7.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return wheel.make(tmp_path)


def test_it_holds_every_file_of_the_package_and_says_what_each_is(made: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        lines = [line.split(",") for line in archive.read("interlock-9.8.7.dist-info/RECORD").decode().splitlines()]
        for name, digest, size in lines[:-1]:
            content = archive.read(name)
            wanted = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, int(size)) == (f"sha256={wanted}", len(content)), name
        assert {*archive.namelist()} == {name for name, _, _ in lines}
    root = Path(interlock.__path__[0])
    for one in ("config/starter.yaml", "keeper.py", "surfaces/cli/setup.py"):
        assert (root / one).exists() and f"interlock/{one}" in {name for name, _, _ in lines}


def test_python_runs_what_is_in_it(made: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(made)!r}); import interlock.keeper as k; print(k.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, env={"PATH": "/usr/bin"}
    )
    assert ran.stdout.startswith(str(made)), ran.stderr
