"""How are smoke tests asked of every machine? The port `Prober` over many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from interlock.adapters.host.fleet.fleet import Fleet, everywhere
from interlock.adapters.host.fleet.member import Member
from interlock.core.health import Answer, SmokeTest
from interlock.core.release import Revision
from interlock.ports.traffic import TrafficError


class ManyProber:
    """Each machine asks its own preview; the first answer that is not ok is that of all."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def smoke(self, test: SmokeTest, revision: Revision, preview: str) -> Answer:
        return await self._asked(revision, lambda one: one.prober.smoke(test, revision, self._preview(one, preview)))

    async def identify(self, revision: Revision, preview: str) -> Answer:
        return await self._asked(revision, lambda one: one.prober.identify(revision, self._preview(one, preview)))

    def _preview(self, one: Member, preview: str) -> str:
        return preview if one is self._fleet.own else ""  # another machine knows its own

    async def _asked(self, revision: Revision, ask: Callable[[Member], Awaitable[Answer]]) -> Answer:
        members = self._fleet.of(revision.environment)
        try:
            answers = await everywhere(members, ask, TrafficError)
        except TrafficError as error:
            return Answer(False, str(error))
        if len(members) == 1:
            return answers[0]
        wrong = [(one, answer) for one, answer in zip(members, answers, strict=True) if not answer.ok]
        return replace(wrong[0][1], reason=f"{wrong[0][0].name}: {wrong[0][1].reason}") if wrong else answers[0]
