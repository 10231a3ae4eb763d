"""Does a real shell complete commands, options, values and files?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.parts import needed

SOURCE = Path(__file__).parents[2] / "src"
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
set -- $(complete -p interlock); while [ "$1" != -F ]; do shift; done
$2 interlock "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def written(shell: str) -> str:
    argv = [sys.executable, "-m", "interlock", "completion", shell]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=50).stdout


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("bash")
    path = tmp_path_factory.mktemp("completion") / "interlock"
    path.write_text(written("bash"))
    return path


def completed(script: Path, *words: str) -> set[str]:
    """Return what bash would offer for the last of these words."""
    argv = ["bash", "--norc", "-c", ASK, "ask", str(script), "interlock", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, cwd=script.parent)
    assert done.stderr == "", done.stderr
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_values(script: Path) -> None:
    assert {"deploy", "demo"} <= completed(script, "de")
    assert {"get", "abort", "completion"} <= completed(script, "")
    assert completed(script, "deploy", "--sup") == {"--supersede"}
    assert completed(script, "get", "-o", "") == {"text", "json"}
    assert completed(script, "completion", "f") == {"fish"}


def test_bash_completes_a_file_where_a_file_is_taken(script: Path) -> None:
    (script.parent / "plan.json").write_text("{}")
    assert "plan.json" in completed(script, "deploy", "--plan", "pla")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_theirs(shell: str, tmp_path: Path) -> None:
    text = written(shell)
    assert "supersede" in text and "show a run" in text.lower()
    if shutil.which(shell) is not None:
        (tmp_path / "script").write_text(text)
        subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=50)


def test_another_shell_is_one_clear_error() -> None:
    argv = [sys.executable, "-m", "interlock", "completion", "csh"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 2 and done.stderr.startswith('error: there is no "csh"')
