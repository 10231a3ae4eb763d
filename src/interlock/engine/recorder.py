"""How does a rollout leave behind what its judge saw?

Nothing here may stop a rollout: what cannot be written waits in memory for the next time, and that is said once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from interlock.core.events import Done, Event, Failed, Held, Order, Unsafe
from interlock.core.judge import Evidence
from interlock.core.recording import FORMAT, Begun, Line, Loaded, Moved, Resumed, Sampled, Voided, Weighted, write
from interlock.core.rollout import Rollout
from interlock.core.sample import Sample, Side
from interlock.core.weight import Weight
from interlock.engine.ports import Ports
from interlock.ports.recordings import RecordingsError

KEEP = 50
"""So many recordings are kept, the newest."""

WAITING_AT_MOST = 2_000

log = logging.getLogger(__name__)


class Recorder:
    """Writes one rollout's recording, from its first weight or load on; nothing for a rollout that nobody judges."""

    def __init__(self, ports: Ports, rollout: Rollout, begins: Evidence, stable: Callable[[], Side]) -> None:
        self._ports, self._id, self._begins, self._stable = ports, rollout.id, begins, stable
        self._recordings = ports.recordings if rollout.stage.criteria is not None else None
        self._begun = self._recordings is not None and self._recordings.begun(rollout.id)
        self._waiting: deque[str] = deque(maxlen=WAITING_AT_MOST)
        self._held = -1
        self._said = False

    def weighted(self, rollout: Rollout) -> None:
        """A weight is in force."""
        self._begin_once(rollout)
        clock = self._ports.clock
        self._add(Weighted(clock.now(), clock.monotonic(), clock.boot, rollout.index, rollout.weight))

    def sampled(self, rollout: Rollout, weight: Weight, sample: Sample, *, concurrent: bool) -> None:
        """The judge gets a sample."""
        self._begin_once(rollout)
        self._add(Sampled(self._ports.clock.now(), rollout.index, weight, concurrent, sample))

    def loaded(self, rollout: Rollout, sample: Sample, *, anew: bool) -> None:
        """The judge gets a sample of synthetic load; `anew`: it is the first of its step."""
        self._begin_once(rollout)
        self._add(Loaded(self._ports.clock.now(), rollout.index, anew, sample))

    def voided(self, rollout: Rollout) -> None:
        """What a load has shown in favour of the release counts for nothing."""
        clock = self._ports.clock
        self._add(Voided(clock.now(), clock.monotonic(), clock.boot, rollout.index))

    def moved(self, before: Rollout, event: Event, after: Rollout) -> None:
        """The rollout stands elsewhere, or begins to hold. Where only a flag goes back, the judge's part ends, too."""
        if before.retracting:
            return  # it has ended already
        stood = before.index, before.phase, before.turned_at
        holds = isinstance(event, Held) and self._held != after.index
        if (after.index, after.phase, after.turned_at) == stood and not holds:
            return
        self._held = after.index if isinstance(event, Held) else self._held
        clock, name, text = self._ports.clock, _name(event), _text(event, after)
        place = clock.now(), clock.monotonic(), clock.boot, after.index
        self._add(Moved(*place, after.phase, after.going_back or after.retracting, name, text))

    def resumed(
        self,
        rollout: Rollout,
        evidence: Evidence | None,
        weight: Weight,
        observed: timedelta,
        synthetic: Evidence | None = None,
    ) -> None:
        """Another owner goes on from what it knew, at this weight; without evidence the judge begins anew."""
        if not self._begun:
            return
        if evidence is None:
            self._begin(rollout)
            return
        clock = self._ports.clock
        place = clock.now(), clock.monotonic(), clock.boot, rollout.index
        if not rollout.going_back:  # then nothing is judged any more
            loaded = synthetic.sight.monotonic if synthetic else None
            self._add(Resumed(*place, observed, weight, evidence.sight.monotonic, loaded))
        # Where it stands now, as the last owner may have died before that was written here.
        self._add(Moved(*place, rollout.phase, rollout.going_back, _turned(rollout), rollout.reason))

    def _begin_once(self, rollout: Rollout) -> None:
        if not self._begun:
            self._begin(rollout)

    def _begin(self, rollout: Rollout) -> None:
        if self._recordings is None:
            return
        stage, begins, release = rollout.stage, self._begins, rollout.stage.revision.release
        self._begun = True
        self._recordings.prune(KEEP - 1)
        self._add(
            Begun(
                FORMAT,
                rollout.id,
                rollout.run,
                release.service,
                release.version,
                stage.environment,
                stage.replaces.release.version if stage.replaces else None,
                self._ports.clock.now(),
                stage.steps,
                begins.criteria,
                begins.history,
                begins.samples,
                self._stable(),
            )
        )

    def _add(self, line: Line) -> None:
        if self._recordings is None or not self._begun:
            return
        try:
            self._waiting.append(write(line))
            self._recordings.add(self._id, tuple(self._waiting))
            self._waiting.clear()
        except (RecordingsError, ValueError) as error:
            if not self._said:
                log.warning("%s: what its judge sees is not recorded, and waits in memory: %s", self._id, error)
            self._said = True


def _name(event: Event) -> str:
    match event:
        case Done(unproven=unproven):
            return "unproven" if unproven else "done"
        case Failed(quarantine=True):  # by a load
            return "unsafe"
        case Unsafe(quarantine=quarantine):
            return "unsafe" if quarantine else "blind"
        case Order(kind=kind):
            return kind.value
    return type(event).__name__.lower()


def _turned(rollout: Rollout) -> str:
    """Name what a rollout turned back for, from its record alone."""
    if rollout.superseded:
        return "supersede"
    if rollout.reason.startswith("aborted"):
        return "abort"
    return "unsafe" if rollout.quarantine else "failed" if rollout.going_back else "resumed"


def _text(event: Event, after: Rollout) -> str:
    match event:
        case Done(note=note):
            return note
        case Failed() | Unsafe() | Held():
            return event.reason
        case Order(kind=kind, by=by):
            return after.reason if after.going_back else f"{kind.value} by {by}"
    return ""
