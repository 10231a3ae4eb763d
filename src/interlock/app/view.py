"""How does a run stand? Asked of the keeper and read from the records, without anything that changes something.

Nothing is imported here that looking does not need: `interlock get` has 250 ms for all, and most of it goes to imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from interlock.adapters.inquiry import Unreachable, inquire
from interlock.adapters.store.records import Records
from interlock.app.state import StateDirectory
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.record import restore
from interlock.core.rollout import Rollout
from interlock.ports.store import Entry, StoreError

LIVE = "live"
"""What the keeper is asked."""

ANSWERS_WITHIN = timedelta(seconds=3)


AsTold = Callable[[Mapping[str, Any]], Rollout]


class NoSuchRollout(Exception):
    """There is no rollout of that name here; the message says which there are."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything a surface shows of one run: its rollouts by environment, their journals, and what is live.

    `live` is by rollout id and has `judgement`, `points`, `strength`, `route`, `tally`, `trouble`; empty when nothing
    is under way. `keeper` says whether a keeper answers, `stuck` by rollout id what keeps it from driving one.
    """

    run: str
    plan: Plan
    rollouts: tuple[Rollout, ...]
    entries: Mapping[str, tuple[Entry, ...]]
    checkpoints: Mapping[str, Mapping[str, Any]]
    live: Mapping[str, Mapping[str, Any]]
    keeper: bool
    stuck: Mapping[str, str] = field(default_factory=dict)

    @property
    def current(self) -> Rollout:
        """The newest environment's rollout."""
        return self.rollouts[-1]

    def lasted(self, rollout: Rollout) -> timedelta | None:
        """How long the rollout has stood at its present step, as its keeper counts; None when no keeper says so."""
        seconds = self.live.get(rollout.id, {}).get("lasted")
        return None if seconds is None else timedelta(seconds=seconds)

    @property
    def not_begun(self) -> str:
        """Why the environment after the newest one was not begun; "" when it was, or may still be."""
        found = [entry.text for entry in self.entries.get(self.current.id, ()) if entry.kind == "not begun"]
        return found[-1] if found else ""

    @property
    def over(self) -> bool:
        """Whether the run has ended: its last environment succeeded, or one did not, or the next was not begun."""
        last = self.current
        whole = last.stage.environment == self.plan.stages[-1].environment
        return last.over and (last.phase is not Phase.SUCCEEDED or whole or bool(self.not_begun))


def look(state: StateDirectory, run: str | None = None) -> View:
    """Return one run, the newest when none is named; accepts a rollout's id too."""
    try:  # first: what is live must not be newer than what the journal says
        told = inquire(state.socket, LIVE, ANSWERS_WITHIN)
    except Unreachable:
        told = None
    return view(state, run, told)


def view(state: StateDirectory, run: str | None, told: Mapping[str, Any] | None) -> View:
    """Read one run from the records, with what the keeper told before that; None: it does not answer."""
    try:
        with Records(state.database) as records:
            return seen(records, run, told)
    except StoreError as error:
        stuck = {} if told is None else not_driven(told)
        why = "".join(f". {one}: {why}" for one, why in stuck.items())
        raise StoreError(f"{error}{why}") from error


def seen(records: Records, run: str | None, told: Mapping[str, Any] | None, as_told: AsTold | None = None) -> View:
    """Return the same from records that are open; `as_told` reads a rollout out of what the keeper told of it."""
    live, stuck = ({}, {}) if told is None else (told.get("rollouts", told), not_driven(told))
    return _view(records, run, live, stuck, as_told or _as_told, keeper=told is not None)


def rollouts(state: StateDirectory, run: str | None) -> tuple[Rollout, ...]:
    """Return the rollouts of a run, the newest when none is named, in the order of their environments."""
    with Records(state.database) as records:
        return _run(records, run)


def not_driven(told: Mapping[str, Any]) -> dict[str, str]:
    """Read from the keeper's answer to "live" what it cannot drive, since when, why, and what becomes of it."""
    return {
        id: f"not driven since {datetime.fromisoformat(one['since']):%Y-%m-%d %H:%M:%S} UTC: {one['why']}. What serves "
        "goes on serving, unwatched by this rollout; it is tried again every few seconds"
        for id, one in told.get("stuck", {}).items()
    }


def _as_told(told: Mapping[str, Any]) -> Rollout:
    return restore(Rollout, told["rollout"])


def _view(
    records: Records,
    run: str | None,
    live: Mapping[str, Any],
    stuck: Mapping[str, str],
    as_told: AsTold,
    *,
    keeper: bool,
) -> View:
    found = _run(records, run)
    first = found[0]
    plan = records.plan(first.plan)
    if plan is None:
        raise NoSuchRollout(f"the plan {first.plan} of {first.run} is not in {records.path}")
    entries = {rollout.id: records.entries(rollout.id) for rollout in found}
    kept = {rollout.id: records.last_checkpoint(rollout.id) or {} for rollout in found}
    now = tuple(as_told(live[one.id]) if one.id in live else one for one in found)
    why = {one.id: stuck.get(one.id) or stuck.get("", "") for one in now if not one.over}
    return View(first.run, plan, now, entries, kept, live, keeper, {id: text for id, text in why.items() if text})


def _run(records: Records, name: str | None) -> tuple[Rollout, ...]:
    wanted = records.newest() if name is None else name
    if wanted is not None:
        if found := records.run(wanted):
            return found
        if (one := records.rollout(wanted)) is not None:
            return records.run(one.run)
    raise NoSuchRollout(_known(records, name or ""))


def _known(records: Records, name: str) -> str:
    newest = records.rollouts(8)
    if not newest:
        return "nothing has been deployed from here yet. Begin with: interlock deploy VERSION"
    known = ", ".join(dict.fromkeys(rollout.run for rollout in newest))
    return f"there is no rollout {name}; the newest are {known}. All of them: interlock history"
