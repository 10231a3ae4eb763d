"""What do users who get a flag show beside those who do not, and what is kept of it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from interlock.core.cohort import split
from interlock.core.criteria import Criteria
from interlock.core.flag import OFF
from interlock.core.judge import Evidence, Verdict, begin, decode, encode, judge, observe, step
from interlock.core.metric import Metric
from interlock.core.record import plain, restore
from interlock.core.rollout import Rollout
from interlock.core.sample import Sample, Side
from interlock.core.tally import total

EVERYBODY = 100


class Exposed:
    """The evidence of one rollout's cohorts; there is none where the criteria name no cohort.

    `with_flag` and `without` are the sums of both, while there were both.
    """

    def __init__(self, criteria: Criteria, planned: int) -> None:
        self._cohort = criteria.cohort
        self._criteria = replace(criteria, metrics=(), counted=None, cohort=None)
        self._planned = planned
        self.with_flag, self.without = Side(), Side()
        self.evidence: Evidence | None = begin(self._criteria, planned) if self._cohort else None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What must be read for it."""
        return self._cohort.metrics if self._cohort else ()

    @property
    def accusation(self) -> str:
        """What condemns the flag; "" as long as nothing does."""
        if self.evidence is None:
            return ""
        judgement = judge(self.evidence)
        if judgement.verdict is not Verdict.FAIL:
            return ""
        found = [finding.text for finding in judgement.findings if finding.verdict is Verdict.FAIL]
        return f"of requests with the flag, beside those without it: {'; '.join(found)}"

    def take(self, rollout: Rollout, sample: Sample) -> Sample:
        """Take in what both cohorts did, while some users have a flag and others do not; return the sample without."""
        if self.evidence is None:
            return sample
        others, cohorts = split(sample)
        if any(OFF < one.now.exposure < EVERYBODY for one in rollout.flags) and not rollout.going_back:
            self.evidence = observe(self.evidence, cohorts, concurrent=True)
            self.with_flag = total(self.with_flag, cohorts.canary or Side())
            self.without = total(self.without, cohorts.stable or Side())
        return others

    def stepped(self) -> None:
        """Tell of more users: what speaks against the flag is kept, what speaks for it starts again."""
        if self.evidence is not None:
            self.evidence = step(self.evidence)

    def begin_anew(self) -> None:
        """Forget what was held against a flag that nobody has any more."""
        if self.evidence is not None:
            self.evidence = begin(self._criteria, self._planned)

    def record(self) -> dict[str, Any] | None:
        """Return what is kept, None where there is no cohort."""
        if self.evidence is None:
            return None
        return {"evidence": encode(self.evidence), **self.live()}

    def live(self) -> dict[str, Any]:
        """Return what surfaces show."""
        return {"with_flag": plain(self.with_flag), "without": plain(self.without)}

    def recover(self, kept: Mapping[str, Any] | None) -> None:
        """Take up what the last owner kept; raise ValueError or KeyError when it does not fit."""
        if self.evidence is None or not kept:
            return
        self.evidence = decode(kept["evidence"], self._criteria)
        self.with_flag, self.without = restore(Side, kept["with_flag"]), restore(Side, kept["without"])
