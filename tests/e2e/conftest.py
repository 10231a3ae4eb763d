"""What does a test of the whole path ask for?

`town` is shared by all tests of a run, for a keeper, an Envoy and a first release take seconds: each test finds a
version stable and nothing under way. A town that a test has wrecked is replaced.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.town import Town


class Shared:
    """The one town, made when first asked for."""

    def __init__(self) -> None:
        self._town: Town | None = None

    async def town(self) -> Town:
        """Return the town, ready."""
        if self._town is not None:
            try:
                await self._town.ready()
                return self._town
            except (Exception, AssertionError):
                await self.end()
        self._town = Town(Path(tempfile.mkdtemp(prefix="interlock-")))
        await self._town.begin()
        await self._town.ready()
        return self._town

    async def end(self) -> None:
        """Leave nothing of it."""
        if self._town is not None:
            await self._town.end()
            shutil.rmtree(self._town.place, ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> Iterator[Shared]:
    shared = Shared()
    yield shared
    asyncio.run(shared.end())


@pytest.fixture
def town(shared: Shared) -> Town:
    return asyncio.run(shared.town())
