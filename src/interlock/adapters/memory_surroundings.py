"""What are the world's surroundings like, for tests: who is on call, what is on fire, what the calendar has?

Every port of conditions at once. `fails` is raised by whoever is asked, `hangs` is how long they take first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from interlock.core import checks, incidents, on_call
from interlock.core.gates import Answer
from interlock.core.hooks import Hook
from interlock.core.incidents import Incident
from interlock.core.on_call import Person
from interlock.core.release import Release
from interlock.core.verification import Verification
from interlock.core.window import Entries, Period, Window


@dataclass
class Surroundings:
    """All is well at first; `asked` counts questions by port."""

    tests: Answer = Answer(True, "42 tests passed")
    fires: list[Incident] = field(default_factory=list)
    staff: tuple[Person, ...] = (Person("ada"),)
    entries: tuple[Period, ...] = ()
    copy: str = ""
    fails: dict[str, Exception] = field(default_factory=dict)
    hangs: dict[str, timedelta] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    hooks: dict[str, Answer] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    image: Answer = Answer(True, "signed by ada")

    async def passed(self, source: checks.Source, release: Release, within: timedelta) -> Answer:
        """Say what tests say."""
        await self._answer("tests")
        return self.tests

    async def active(self, source: incidents.Source, within: timedelta) -> tuple[Incident, ...]:
        """List the fires."""
        await self._answer("incidents")
        return tuple(self.fires)

    async def people(self, source: on_call.Source, at: datetime, within: timedelta) -> tuple[Person, ...]:
        """List the staff."""
        await self._answer("on-call")
        return self.staff

    async def periods(self, window: Window, at: datetime, within: timedelta) -> Entries:
        """List the entries."""
        await self._answer("calendar")
        return Entries(self.entries, self.copy)

    async def ask(self, hook: Hook, facts: Mapping[str, Any], within: timedelta) -> Answer:
        """Agree, or say what `hooks` has under the name of the hook; the facts are kept."""
        self.told.append(dict(facts))
        await self._answer("hooks")
        return self.hooks.get(str(hook), Answer(True, "go ahead"))

    async def verified(self, demanded: Verification, release: Release, within: timedelta) -> Answer:
        """Say what is proven of the image."""
        await self._answer("images")
        return self.image

    async def _answer(self, port: str) -> None:
        self.asked[port] = self.asked.get(port, 0) + 1
        if port in self.hangs:
            await asyncio.sleep(self.hangs[port].total_seconds())
        if port in self.fails:
            raise self.fails[port]
