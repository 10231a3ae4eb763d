"""What may every test ask for, and how is one that is a coroutine run?"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.parts import lacks, needed

if TYPE_CHECKING:
    from tests.unleash.server import UnleashServer


@pytest.fixture(scope="session")
def needs() -> Callable[[str], Path]:
    """Return a function that finds a program, or skips the test where it is missing; in CI nothing may be missing."""
    return needed


@pytest.fixture(scope="session")
def unleash() -> Iterator[UnleashServer]:
    """Return a real Unleash that runs; made when first asked for, and each test uses flags of its own."""
    from tests.unleash.server import missing, unleash_server

    if reason := missing():
        lacks(reason)
    with unleash_server() as server:
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
