"""How is each kind of step carried out? One step, a few calls on ports, one outcome.

Every function that carries out a step reaches a state and may be repeated from the start; every wait has a deadline;
being cancelled in the middle loses nothing. What goes wrong is an outcome: ports raise, `perform` returns `Failed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta

from interlock.core.hooks import GATES
from interlock.core.steps import (
    CaptureFlags,
    ConfirmFlags,
    Drain,
    Gate,
    Load,
    Migrate,
    PullFlags,
    RestoreFlags,
    Retire,
    SetFlag,
    Settle,
    SetWeight,
    Smoke,
    Start,
    Step,
    Until,
    Watch,
    spell,
)
from interlock.engine.flags import capture, confirm, keep_pulling, pull, restore, set_flag
from interlock.engine.gate import gate
from interlock.engine.hooks import consent
from interlock.engine.leave import drain, retire
from interlock.engine.load import load
from interlock.engine.migrate import migrate
from interlock.engine.ports import Deadline
from interlock.engine.scene import CALL_WITHIN, LATER, Outcome, Scene
from interlock.engine.start import PREPARED_WITHIN, smoke, start
from interlock.engine.steer import SETTLE_WITHIN, held_at_most, set_weight, settle, take_back
from interlock.engine.watch import await_person, longest, recover, watch
from interlock.ports.flags import FlagsError
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

BACK_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Performer:
    """Carries out the steps of one rollout."""

    scene: Scene

    async def perform(self, step: Step) -> Outcome:
        """Carry out one step; return its outcome.

        What a port refuses on the way back, or when the new revision has been proven and only the old one is to leave,
        is asked again for a while: to give up there helps nobody.
        """
        keep_pulling(self.scene)
        deadline = Deadline.after(self.scene.ports.clock, self._persists(step))
        while True:
            outcome = await self._attempt(step)
            if isinstance(outcome, Outcome):
                return outcome
            if deadline.over:
                return self._given_up(step, outcome)
            self.scene.trouble = outcome
            await self.scene.ports.clock.sleep(LATER)

    async def _attempt(self, step: Step) -> Outcome | str:
        """Carry out a step once; return its outcome, or what broke it."""
        try:
            async with asyncio.timeout(self._at_most(step).total_seconds()):
                return await self._verb(step)
        except TimeoutError:
            return f"{step}: not done, and no answer, within {spell(self._at_most(step))}"
        except (TrafficError, WorkloadError, FlagsError) as error:
            return str(error)
        except Exception as error:  # an adapter's own fault is no reason to stop going back
            return f"{step}: {error!r}"

    def _persists(self, step: Step) -> timedelta:
        match step:
            case Start(within=within) if self.scene.rollout().going_back:
                return within
            case _ if self.scene.rollout().going_back:
                return BACK_WITHIN
            case Settle() | Drain() | Retire():
                return SETTLE_WITHIN
        return timedelta(0)

    def _at_most(self, step: Step) -> timedelta:
        """How long one attempt may take: what the step allows itself, and some more to say so."""
        match step:
            case Smoke(within=within):
                return within
            case SetWeight(within=within) if not self.scene.rollout().going_back:
                return within + held_at_most(self.scene.rollout().stage) + 2 * CALL_WITHIN
            case Start(within=within) if not self.scene.rollout().going_back:
                return PREPARED_WITHIN + within + 2 * CALL_WITHIN
            case Start(within=within) | SetWeight(within=within) | Drain(within=within):
                return within + 2 * CALL_WITHIN
            case Load(within=within):
                return within + 4 * CALL_WITHIN
            case Gate(patience=patience):
                return patience + 2 * CALL_WITHIN
            case Migrate(revision=name, migration=migration):
                stop_within = self.scene.rollout().stage.known(name).release.configuration.stop_within
                return migration.timeout + stop_within + 4 * CALL_WITHIN
            case Watch():
                return longest(step) + 2 * CALL_WITHIN
            case CaptureFlags(within=within) | PullFlags(within=within) | ConfirmFlags(within=within):
                return within + 2 * CALL_WITHIN
            case SetFlag(flag=flag, within=within):
                known = 4 * flag.source.refresh
                return within + known + held_at_most(self.scene.rollout().stage) + 2 * CALL_WITHIN
            case RestoreFlags():
                return 4 * CALL_WITHIN
            case Settle():
                return SETTLE_WITHIN + CALL_WITHIN
            case Retire(revision=name):
                return self.scene.rollout().stage.known(name).release.configuration.stop_within + 4 * CALL_WITHIN

    def _given_up(self, step: Step, reason: str) -> Outcome:
        if isinstance(step, Start) and self.scene.rollout().going_back:
            return self.scene.done(f"{step}: {reason}; going back as far as it can carry")
        return self.scene.failed(reason)

    def _verb(self, step: Step) -> Awaitable[Outcome]:
        match step:
            case Gate(name=name) if name in GATES:
                return consent(self.scene, step)
            case Gate():
                return gate(self.scene, step)
            case Migrate():
                return migrate(self.scene, step)
            case Start():
                return start(self.scene, step)
            case Smoke():
                return smoke(self.scene, step)
            case Load():
                return load(self.scene, step)
            case SetWeight() if self.scene.rollout().going_back:
                return take_back(self.scene, step)
            case SetWeight():
                return set_weight(self.scene, step)
            case Watch(until=Until.APPROVED):
                return await_person(self.scene, step)
            case Watch(until=Until.RECOVERED):
                return recover(self.scene, step)
            case Watch():
                return watch(self.scene, step)
            case CaptureFlags():
                return capture(self.scene, step)
            case SetFlag():
                return set_flag(self.scene, step)
            case PullFlags():
                return pull(self.scene, step)
            case ConfirmFlags():
                return confirm(self.scene, step)
            case RestoreFlags():
                return restore(self.scene, step)
            case Settle():
                return settle(self.scene, step)
            case Drain():
                return drain(self.scene, step)
            case Retire():
                return retire(self.scene, step)
