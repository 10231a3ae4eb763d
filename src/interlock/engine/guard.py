"""Does the world around a rollout still allow it to go on? Asked all the time, not only at the start.

What is found closed holds the next advance; what policy says is reason to go back is told as unsafe. Going back itself
is never asked about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from interlock.core import gates
from interlock.core.events import TurnedOff, Unsafe
from interlock.core.gates import Answer
from interlock.core.incidents import Incident, Mine
from interlock.core.record import plain
from interlock.core.rollout import Rollout
from interlock.core.steps import GateName, spell
from interlock.core.weight import NONE
from interlock.core.window import WhenClosed
from interlock.engine.eye import FlagsEye
from interlock.engine.outside import ask, incidents
from interlock.engine.ports import Outside, Ports
from interlock.ports.incidents import IncidentsError
from interlock.ports.store import Entry, StoreError

EVERY = {
    GateName.NO_INCIDENT: timedelta(seconds=1),
    GateName.WINDOW: timedelta(seconds=1),
    GateName.ON_CALL: timedelta(seconds=60),
}
"""What is asked again, and how often; whether the tests have passed does not change."""

PACE = {GateName.NO_INCIDENT: timedelta(seconds=1.5), GateName.WINDOW: timedelta(seconds=1.5)}
SLOWER = timedelta(seconds=5)
"""How often somebody is asked at most while a gate is waited for: about tests and people less often than of alerts.

What is asked all the time anyhow answers for the step that waits, too: together they ask once a second.
"""

TOO_OLD = timedelta(seconds=15)
"""An answer from so long ago, beyond the time at which it was to be asked again, is none."""


class Guard:
    """Asks as long as the rollout lives; `closed` is why it may not advance now."""

    def __init__(
        self,
        ports: Ports,
        outside: Outside | None,
        rollout: Callable[[], Rollout],
        turned_off: Callable[[TurnedOff], None] = lambda event: None,
    ) -> None:
        self._ports, self._outside, self._rollout = ports, outside, rollout
        self.answers: dict[GateName, Answer] = {}
        self._began: dict[GateName, float] = {}
        self._asked: dict[GateName, float] = {}
        self._said: dict[GateName, tuple[str, str]] = {}
        self._active: dict[str, Incident] = {}
        self._flags = FlagsEye(ports, rollout, turned_off)
        self.turned_off = turned_off

    @property
    def closed(self) -> str:
        """Why nothing may advance now; "" when all that is declared is open."""
        gates = (self._why_closed(gate) for gate in self._watched())
        return "; ".join(why for why in (*gates, self._flags.closed) if why)

    async def paced(self, gate: GateName) -> Answer:
        """Return what one gate said lately, or ask again: at its pace, and at once when people have said something."""
        answer, at = self.answers.get(gate), self._asked.get(gate)
        if answer is not None and at is not None and self._said.get(gate) == _said(self._rollout()):
            age = timedelta(seconds=self._ports.clock.monotonic() - at)
            if age < PACE.get(gate, SLOWER):
                return answer
        return await self.ask(gate)

    async def ask(self, gate: GateName) -> Answer:
        """Ask one gate now."""
        rollout, now = self._rollout(), self._ports.clock.now()
        if self._outside is None:
            return Answer(False, f"{gate.value} cannot be asked here")
        conditions, release = rollout.stage.conditions, rollout.stage.revision.release
        began, (known_to, _) = self._ports.clock.monotonic(), _said(rollout)
        answer = await ask(self._outside, gate, conditions, release, now, _approved_by(rollout), known_to)
        self._keep(gate, answer, began, _said(rollout))
        return answer

    async def renew(self) -> None:
        """Ask all that is watched now, right before an advance: what was open a second ago may be closed."""
        await asyncio.gather(self._flags.look(), *(self._renewed(gate) for gate in self._watched()))

    async def _renewed(self, gate: GateName) -> None:
        try:
            await self.ask(gate)
        except Exception as error:
            self._broke(gate, error)

    async def run(self, tell: Callable[[Unsafe], None]) -> None:
        """Ask for ever, each gate in its own time: one that is slow holds up no other."""
        await asyncio.gather(self._flags.run(), *(self._keep_asking(gate, tell) for gate in self._watched()))

    async def _keep_asking(self, gate: GateName, tell: Callable[[Unsafe], None]) -> None:
        while True:
            if not self._rollout().going_back:
                await self._try(gate, tell)
            await self._ports.clock.sleep(EVERY[gate])

    async def _try(self, gate: GateName, tell: Callable[[Unsafe], None]) -> None:
        try:
            await self._look(gate, tell)
        except Exception as error:
            self._broke(gate, error)

    async def _look(self, gate: GateName, tell: Callable[[Unsafe], None]) -> None:
        if gate is GateName.NO_INCIDENT:
            await self._look_for_incidents(tell)
            return
        answer = await self.ask(gate)
        window = self._rollout().stage.conditions.window
        if gate is GateName.WINDOW and window and not answer.open and window.when_closed is WhenClosed.ROLL_BACK:
            self._unsafe(tell, f"the deployment window has closed: {answer.reason}")

    async def _look_for_incidents(self, tell: Callable[[Unsafe], None]) -> None:
        rollout = self._rollout()
        conditions, declared = rollout.stage.conditions, rollout.stage.conditions.incidents
        if self._outside is None or declared is None:
            return
        began = self._ports.clock.monotonic()
        try:
            found = await incidents(self._outside, declared)
        except IncidentsError as error:
            unknown = Answer(False, f"whether there is an incident is not known: {error}")
            self._keep(GateName.NO_INCIDENT, unknown, began)
            return
        self._keep(GateName.NO_INCIDENT, gates.no_incident(found, conditions.fixes, _approved_by(rollout)), began)
        mine = [one for one in found if one.mine and one.id != conditions.fixes]
        if mine and declared.mine is Mine.ROLL_BACK:
            self._unsafe(tell, f"critical alert: {', '.join(map(str, mine[:3]))}")
        await self._note(rollout, {one.id: one for one in found})

    async def _note(self, rollout: Rollout, found: dict[str, Incident]) -> None:
        """Write down what began and what ended; a store that is full costs only that."""
        began = [one for id, one in found.items() if id not in self._active]
        ended = [one for id, one in self._active.items() if id not in found]
        self._active, now = found, self._ports.clock.now()
        lines = [Entry(now, "alert", f"active: {one}", {"alert": plain(one)}) for one in began]
        lines += [Entry(now, "alert", f"over: {one.id}", {"alert": plain(one), "over": True}) for one in ended]
        if lines:
            with suppress(StoreError):
                await self._ports.store.note(rollout.id, tuple(lines))

    def _unsafe(self, tell: Callable[[Unsafe], None], reason: str) -> None:
        """Go back, where users are on the new revision; where none are, to hold is enough."""
        rollout = self._rollout()
        if rollout.exposed and rollout.weight != NONE and not rollout.going_back and not rollout.retracting:
            tell(Unsafe(self._ports.clock.now(), reason, quarantine=False))

    def _broke(self, gate: GateName, error: Exception) -> None:
        """Our own fault: not to know is to hold, and asking goes on."""
        self._keep(gate, Answer(False, f"could not be asked: {error!r}"), self._ports.clock.monotonic())

    def _keep(self, gate: GateName, answer: Answer, began: float, said: tuple[str, str] | None = None) -> None:
        """Keep an answer, but for one to an older question than what is known: it was only slower."""
        if began < self._began.get(gate, began):
            return
        self._began[gate] = began
        self.answers[gate], self._asked[gate] = answer, self._ports.clock.monotonic()
        self._said[gate] = _said(self._rollout()) if said is None else said

    def _watched(self) -> tuple[GateName, ...]:
        """Return what is asked all the time: not a window that lets finish what began in it."""
        conditions = self._rollout().stage.conditions
        finishes = conditions.window is not None and conditions.window.when_closed is WhenClosed.FINISH
        return tuple(g for g in conditions.gates if g in EVERY and not (g is GateName.WINDOW and finishes))

    def _why_closed(self, gate: GateName) -> str:
        answer, at = self.answers.get(gate), self._asked.get(gate)
        if answer is None or at is None:
            return f"gate {gate.value}: not asked yet"
        age = timedelta(seconds=self._ports.clock.monotonic() - at)
        if age > EVERY[gate] + TOO_OLD:
            return f"gate {gate.value}: no answer for {spell(age)}"
        return "" if answer.open else f"gate {gate.value}: {answer.reason}"


def _said(rollout: Rollout) -> tuple[str, str]:
    """Return who on call knows of the rollout, and who has approved of a fix: an answer from before that is old."""
    return rollout.acknowledged.by if rollout.acknowledged else "", _approved_by(rollout)


def _approved_by(rollout: Rollout) -> str:
    return next((one.by for one in rollout.approvals if one.on_call), "")


def live(guard: Guard) -> dict[str, Any]:
    """Return what the gates said last, for the surfaces."""
    return {"gates": {gate.value: plain(answer) for gate, answer in guard.answers.items()}}
