"""How does the judge do in the evaluator? The project's judge behind its interface, as `bench.judge:Judge`."""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import reduce
from math import inf
from operator import sub
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from interlock.core.criteria import Criteria
from interlock.core.judge import Baseline, Evidence, Verdict, begin, decide, observe
from interlock.core.sample import Sample, Side

if TYPE_CHECKING:
    from bench.evaluator.contract import Counts, Poll, Setting

_BAKE = 60.0
_DECISIONS = {Verdict.FAIL: "rollback", Verdict.PASS: "advance", Verdict.INCONCLUSIVE: "continue"}


class Judge:
    """One rollout's judge at the default criteria and a bake of 60 s; only the warm-up comes from the scenario."""

    name = "interlock"
    evidence: Evidence

    def reset(self, ctx: Setting) -> None:
        """Begin a rollout: `ctx` says what the plan would know, not what will happen."""
        edges = ctx.get("edges")
        self.edges = [] if edges is None else [float(e) for e in edges] + [inf]
        self.warm_up = float(ctx.get("warmup_s", 0.0))
        criteria = Criteria(warm_up=timedelta(seconds=self.warm_up), sample_every=timedelta(seconds=ctx["poll_s"]))
        past = [s for s in map(self._side, ctx.get("history") or []) if s is not None]
        history = reduce(Baseline.add, past, Baseline()) if past else None
        self.evidence = begin(criteria, round(ctx["horizon_s"] / ctx["poll_s"]), history=history)

    def update(self, poll: Poll) -> str:
        """Take in one poll and say what to do."""
        return self.weigh(self.sample(poll))

    def sample(self, poll: Poll) -> Sample:
        """Return a poll as the engine would have sampled it: the bench's own work, and none of the judge's."""
        canary, stable = self._side(poll["canary"]), self._side(poll["baseline"])
        return Sample(poll["t"], timedelta(seconds=poll["dt"]), canary, stable)

    def weigh(self, sample: Sample) -> str:
        """Take in one sample and say what to do: the judge's work."""
        self.evidence = observe(self.evidence, sample, concurrent=True)
        verdict = decide(self.evidence)
        if verdict is Verdict.PASS and sample.monotonic < self.warm_up + _BAKE:
            return "continue"
        return _DECISIONS[verdict]

    def _side(self, counts: Counts | None) -> Side | None:
        if counts is None:
            return None
        requests, latency = float(counts["requests"]), {}
        if self.edges and counts.get("buckets") is not None:
            upto = counts["buckets"].tolist()
            latency = dict(zip(self.edges, map(sub, upto, [0, *upto]), strict=True))
        started, pending = float(counts.get("started", requests)), float(counts.get("pending", 0.0))
        return Side(started, requests, float(counts["errors"]), latency, pending)
