"""What may every test ask for?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def needs() -> Callable[[str], Path]:
    """Return a function that finds a program, or skips the test where it is missing; in CI nothing may be missing."""

    def find(program: str) -> Path:
        found = shutil.which(program)
        if found is not None:
            return Path(found)
        reason = f"needs the program {program}, which is not installed here"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}: CI runs every test, so `make test` has to install it")
        pytest.skip(reason)

    return find
