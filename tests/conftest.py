"""What may every test ask for, and how is one that is a coroutine run?"""

from __future__ import annotations

import asyncio
import inspect
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


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
