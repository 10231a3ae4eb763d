"""Does the code keep the rules that its layout promises?"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "interlock"
MODULES = sorted(PACKAGE.rglob("*.py"))
CORE = sorted((PACKAGE / "core").rglob("*.py"))

# What the core may import beside itself: the part of the standard library that computes and touches nothing.
# Something else as pure may join; a clock, a random number, a file, a process or a log may not.
PURE = frozenset(
    "__future__ abc base64 binascii bisect calendar collections contextlib copy dataclasses datetime decimal difflib "
    "enum fractions functools graphlib hashlib heapq hmac html itertools json math numbers operator re statistics "
    "string struct textwrap types typing unicodedata zoneinfo".split()
)
# By these a module could reach the outside without an import that shows it.
BUILT_IN = frozenset("open input print exec eval breakpoint __import__".split())
CLOCKS = frozenset("now utcnow today".split())


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-logo",
            "--no-cache",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_a_module_opens_with_the_question_it_answers(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert not tree.body or ast.get_docstring(tree), (
        f"{named(module)}:1: expected a docstring of one plain sentence first"
    )


@pytest.mark.parametrize("module", CORE, ids=named)
def test_a_core_module_reaches_nothing_outside_itself(module: Path) -> None:
    assert list(reaches(ast.parse(module.read_text()))) == []


def reaches(tree: ast.AST) -> Iterator[str]:
    """Yield what in this module is not pure: foreign imports, and calls that read a clock or do input and output."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"line {node.lineno}: import {a.name}" for a in names if foreign(a.name))
            case ast.ImportFrom(module=module, level=level) if level or foreign(module or ""):
                yield f"line {node.lineno}: from {'.' * level}{module or ''} import …"
            case ast.Call(func=ast.Name(id=name)) if name in BUILT_IN:
                yield f"line {node.lineno}: {name}()"
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCKS:
                yield f"line {node.lineno}: .{name}()"


def foreign(module: str) -> bool:
    return module.split(".")[0] not in PURE and not f"{module}.".startswith("interlock.core.")


@pytest.mark.parametrize(
    "source",
    ["import os", "from time import time", "import interlock.ports", "from . import weight", "datetime.now(UTC)"],
)
def test_a_module_that_reaches_outside_is_seen(source: str) -> None:
    assert len(list(reaches(ast.parse(source)))) == 1


# Assembled here, so that this file does not name what it looks for.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    )
]
# A folder of one machine: at the start of a path, not in the middle of an address or behind a variable.
LOCAL = re.compile(r"(?<![\w.~*})\]>-])/(?:root|home|work)/\w")


def test_no_committed_file_names_a_registry_or_a_folder_of_one_machine(needs: Callable[[str], Path]) -> None:
    listed = subprocess.run(
        [needs("git"), "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    assert files
    assert [
        f"{named(file)}:{finding}" for file in files if file.is_file() for finding in strays(file.read_bytes())
    ] == []


def strays(content: bytes) -> Iterator[str]:
    """Yield each line of a text that names a registry's host or a path that exists on one machine only."""
    if b"\0" in content:
        return
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        if any(host in line for host in REGISTRIES) or LOCAL.search(line):
            yield f"{number}: {line.strip()[:120]}"


def test_a_stray_name_is_seen_and_an_ordinary_path_is_not() -> None:
    bad = f'index = "{REGISTRIES[0]}"\ncd /{"home"}/me\nopen("/{"work"}/x")\n'
    good = "GET http://127.0.0.1:8080/work/1\n$HOME/work/x\n~/work/x\nsrc/home/page\n"
    assert len(list(strays(bad.encode()))) == 3
    assert list(strays(good.encode())) == []
