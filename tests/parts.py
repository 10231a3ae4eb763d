"""What do tests need of the machine, and what becomes of one where that is missing?

A program that is not installed skips a test, and in CI fails it: `make test` installs all of them. What is installed
and this kernel, or this user, may not do skips it in CI too, with the kernel's own words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest


def needed(program: str) -> Path:
    """Return where a program is; skip the test where it is missing, and in CI fail it."""
    found = shutil.which(program)
    return Path(found) if found is not None else lacks(f"needs the program {program}, which is not installed here")


def lacks(reason: str) -> NoReturn:
    """Skip the test for want of something that could be installed; in CI fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}: CI runs every test, so `make test` has to install it")
    pytest.skip(reason)


def small_disk(place: Path, size: str) -> None:
    """Mount a file system of its own at a directory; skip the test where this user or kernel may not."""
    argv: list[str | Path] = [needed("mount"), "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
