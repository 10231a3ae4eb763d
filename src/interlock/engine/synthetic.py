"""What do requests of our own show of both sides, and what is kept of it?

Their counters are the previews', which no user's request enters, and so is their evidence: nothing here is ever added
to what users showed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.core.criteria import Criteria
from interlock.core.judge import Evidence, begin, decode, encode, observe, step
from interlock.core.load import Tried, of_load
from interlock.core.plan import Stage
from interlock.core.record import plain, restore
from interlock.core.rollout import Rollout
from interlock.core.sample import Reading, Sample, difference
from interlock.core.steps import Load, SetWeight, Until, Watch


class Synthetic:
    """The evidence of the synthetic load of one rollout; `evidence` is None where none is planned.

    `tried` counts the requests of the whole rollout, `step` those of the present load step.
    """

    def __init__(self, stage: Stage, criteria: Criteria) -> None:
        self._names = (stage.revision.name, stage.replaces.name if stage.replaces else None)
        planned = any(isinstance(one, Load) for one in stage.steps)
        samples = max(1, round(stage.loaded / criteria.sample_every))
        self._criteria = of_load(criteria)
        self.evidence: Evidence | None = begin(self._criteria, samples) if planned else None
        self.tried, self.step = Tried(), Tried()
        self._began = ""
        self._reading: Reading | None = None

    def begin(self, rollout: Rollout) -> None:
        """Begin a load step, or go on with it: what speaks for the release starts again only where the step does."""
        began = rollout.step_since.isoformat()
        if self.evidence is None or began == self._began:
            return
        self.evidence, self.step = step(self.evidence), Tried()
        self._began, self._reading = began, None

    def take(self, reading: Reading) -> Sample | None:
        """Take in the counters of both previews and return what came since the last ones.

        The first reading of a step only sets its starting point: None.
        """
        canary, stable = self._names
        sample = difference(self._reading, reading, canary, stable)
        self._reading = reading
        if sample is None or self.evidence is None:
            return None
        self.evidence = observe(self.evidence, sample, concurrent=stable is not None)
        self.tried, self.step = self.tried.add(sample), self.step.add(sample)
        return sample

    def stepped(self, rollout: Rollout) -> None:
        """Tell of a new weight: what was proven before it holds there only if a load was sent just before it."""
        if self.evidence is not None and not loaded(rollout):
            self.evidence = step(self.evidence)

    def void(self) -> None:
        """Let what speaks for the release count for nothing: the load was not what was planned."""
        if self.evidence is not None:
            self.evidence = step(self.evidence)

    def record(self) -> dict[str, Any] | None:
        """Return what is kept, None where no load is planned."""
        if self.evidence is None:
            return None
        return {
            "evidence": encode(self.evidence),
            "reading": plain(self._reading),
            "tried": plain(self.tried),
            "step": plain(self.step),
            "began": self._began,
        }

    def live(self) -> dict[str, Any] | None:
        """Return what surfaces show, None where no load is planned."""
        return None if self.evidence is None else {"tried": plain(self.tried), "step": plain(self.step)}

    def recover(self, kept: Mapping[str, Any] | None) -> None:
        """Take up what the last owner kept; raise ValueError or KeyError when it does not fit."""
        if self.evidence is None or not kept:
            return
        reading = restore(Reading, kept["reading"]) if kept["reading"] is not None else None
        evidence = decode(kept["evidence"], self._criteria)
        tried, now = restore(Tried, kept["tried"]), restore(Tried, kept["step"])
        self.evidence, self.tried, self.step = evidence, tried, now
        self._began, self._reading = str(kept["began"]), reading


def loaded(rollout: Rollout) -> bool:
    """Say whether a load was sent just before the present weight: since the watch before it, or since the beginning."""
    steps = rollout.reached
    weights = [place for place, one in enumerate(steps) if isinstance(one, SetWeight)]
    before = steps[: weights[-1]] if weights else steps
    for one in reversed(before):
        if isinstance(one, Load):
            return True
        if isinstance(one, Watch) and one.until is not Until.APPROVED:
            return False
    return False
