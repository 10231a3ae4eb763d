"""What would a rollout do with these samples, and when?

The same judge and the same rules of a watch as the engine's, without a world: samples go in one after another, and what
happens comes out. Time is what the samples say. Health, the proxy and people are not there: what they did is not seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from interlock.core.course import Course, Leg
from interlock.core.judge import Evidence, Judgement, Verdict, decide_both, judge_both, observe, step
from interlock.core.patience import given_up
from interlock.core.sample import Sample, Side
from interlock.core.steps import Until, spell
from interlock.core.watching import BLIND_FROM, Unproven, enough, lacking, without_proof
from interlock.core.weight import NONE, Weight

_LATELY = 60.0


class What(StrEnum):
    """What can happen; the last five end a trial."""

    WEIGHT = "weight"
    HELD = "holds"
    ADVANCED = "advances"
    UNPROVEN = "advances unproven"
    THROUGH = "goes through"
    ROLLED_BACK = "rolled back"
    NO_PROOF = "goes back without proof"
    ABORTED = "aborted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened, so many seconds after the first weight was in force and after so many of the canary's requests.

    `index` is the step's, `weight` the one in force. `judgement` is what was known then, where it was asked for.
    """

    seconds: float
    what: What
    index: int
    weight: Weight
    requests: float
    text: str = ""
    judgement: Judgement | None = None


class Trial:
    """One rollout under way by samples alone: a machine and no value, as a million samples go through it."""

    def __init__(self, course: Course, explain: bool = True) -> None:
        self.course, self.criteria = course, course.criteria
        self.evidence: Evidence = course.begin()
        self.synthetic: Evidence | None = course.begin_load()
        self.happenings: list[Happening] = []
        self.verdicts: list[tuple[float, Verdict]] = []
        self.requests = 0.0
        self.over = False
        self.elsewhere: dict[int, int] = {}
        self._explain = explain
        self._known: dict[float, tuple[Evidence, float, Side]] = {}
        self._known_load: dict[float | None, Evidence | None] = {None: self.synthetic}
        self._loaded_for = -1
        self._every = self.criteria.sample_every.total_seconds()
        self._lately: deque[Side] = deque(maxlen=max(1, round(_LATELY / self._every)))
        self._stable = course.stable
        self._at = self._blind_since = self._before = 0.0
        self._leg = -1
        self._straddles = self._held = self._waits = False
        self._observed, self._paused, self._looked, self._deadline = 0.0, 0.0, inf, inf
        self._go_on(0.0)

    @property
    def leg(self) -> Leg:
        """The weight and the watch under way."""
        return self.course.legs[self._leg]

    @property
    def weight(self) -> Weight:
        """The weight in force."""
        if self._in_force:
            return self.leg.weight
        return self.course.legs[self._leg - 1].weight if self._leg else NONE

    @property
    def outcome(self) -> Happening:
        """How it ended."""
        return self.happenings[-1]

    def take(self, seconds: float, sample: Sample, concurrent: bool, weight: Weight | None = None) -> None:
        """Take in a sample that ended at `seconds`; `weight` is the one it was really seen at, where that is known."""
        self._until(seconds)
        if self.over:
            return
        self._at = seconds
        if weight is not None and weight not in (self.leg.weight, self.weight):
            self.elsewhere[self._leg] = self.elsewhere.get(self._leg, 0) + 1
        self.evidence = observe(self.evidence, sample, concurrent=concurrent)
        if self._straddles and sample.canary is not None:
            self.evidence, self._straddles = step(self.evidence), False
        self._judge(sample)
        self._remember()
        if not self.over and self._watched and not self._waits and sample.canary is not None:
            self._watch(seconds, sample)

    def take_load(self, seconds: float, sample: Sample, *, anew: bool) -> None:
        """Take in a sample of synthetic load; nothing where the course plans none. `anew`: of another load than before.

        It was sent before the next weight: to both sides alike, however much of the traffic either has.
        """
        self._until(seconds)
        if self.over or self.synthetic is None:
            return
        self._loaded_for = self._leg + self._in_force
        self.synthetic = observe(step(self.synthetic) if anew else self.synthetic, sample, concurrent=True)
        self._known_load[sample.monotonic] = self.synthetic
        self._decide(seconds)

    def void_load(self, seconds: float) -> None:
        """Let what speaks for the release in synthetic load count for nothing."""
        self._until(seconds)
        if not self.over and self.synthetic is not None:
            self.synthetic = step(self.synthetic)

    def pause(self, seconds: float, index: int) -> None:
        """Somebody said `pause` in the step at `index`: what passes from now on is not watched."""
        self._until(seconds)
        if not self.over and not self._waits and index == self.leg.index:
            self._waits, self._paused = True, seconds

    def resume(self, seconds: float) -> None:
        """Go on after a pause."""
        if self._waits and not self.over:
            self._waits, self._looked = False, seconds
            self._deadline += seconds - self._paused

    def weighted_again(self, seconds: float, weight: Weight) -> None:
        """Another owner has set the weight once more: what spoke for the release begins again."""
        self._until(seconds)
        if not self.over and self._in_force and self.leg.weight == weight:
            self._step()

    def taken_over(
        self, seconds: float, index: int, observed: float, last: float | None, loaded: float | None = None
    ) -> None:
        """Another owner goes on, who knows the samples up to the one at `last`, and that so much was observed in the
        watch at `index`; of synthetic load those up to `loaded`. What came since is in its next sample once more."""
        self._until(seconds)
        self.synthetic = self._known_load.get(loaded, self.synthetic)
        known = (self.course.begin(), 0.0, self.course.stable) if last is None else self._known.get(last)
        if known is not None:
            self.evidence, self.requests, self._stable = known
            self._before = min(self._before, self.requests)
        self._blind_since, self._straddles = seconds, False
        self._lately.clear()
        if not self.over and index == self.leg.index:
            self._observed, self._looked = min(self._observed, observed), seconds

    def end(self, seconds: float) -> None:
        """There are no more samples."""
        self._until(seconds)
        if not self.over:
            judgement = self._judgement()
            missing = lacking(self.leg.watch, self.evidence, judgement) or "the time of its watch is not over"
            self._happen(seconds, What.UNDECIDED, missing, judgement)

    @property
    def _in_force(self) -> bool:
        return self._weighted_at == -inf

    @property
    def _watched(self) -> bool:
        return self._watched_at == -inf

    def _go_on(self, seconds: float) -> None:
        """Want the next weight; what is to be done before it is in force takes as long as its leg says."""
        self._leg += 1
        self._held = False
        self._weighted_at = seconds + self.leg.ready
        self._watched_at = self._weighted_at + self.leg.verified
        self._observed, self._looked = 0.0, inf
        self._deadline = inf

    def _until(self, seconds: float) -> None:
        """Have happen what is due by then."""
        if self.over:
            return
        if not self._in_force and self._weighted_at <= seconds:
            self._at, self._weighted_at, self._before = self._weighted_at, -inf, self.requests
            self._step()
            self._happen(self._at, What.WEIGHT)
            self._remember()
        if self._in_force and not self._watched and self._watched_at <= seconds:
            watch = self.leg.watch
            self._looked, self._watched_at = self._watched_at, -inf
            self._deadline = self._looked + (watch.duration + watch.patience).total_seconds()
        if self._deadline <= seconds and not self._waits:
            self._conclude(self._deadline, over=True)

    def _step(self) -> None:
        """Let what speaks for the release begin again; that of a load only if none was sent just before this weight."""
        self.evidence, self._straddles = step(self.evidence), True
        if self.synthetic is not None and self._loaded_for != self._leg:
            self.synthetic = step(self.synthetic)

    def _judgement(self) -> Judgement:
        return judge_both(self.evidence, self.synthetic)

    def _remember(self) -> None:
        """Keep what was known after the last sample: an owner that takes over may know no more."""
        if self._explain and self.evidence.sight.monotonic is not None:
            self._known[self.evidence.sight.monotonic] = (self.evidence, self.requests, self._stable)

    def _judge(self, sample: Sample) -> None:
        """Go back when the judge says so, when users give up, or when nobody counts any more."""
        seconds, canary = self._at, sample.canary
        if sample.stable is not None:
            self._stable = _more(self._stable, sample.stable)
        if canary is not None:
            self.requests += canary.completed
            self._blind_since = seconds
            self._lately.append(canary)
        self._decide(seconds)
        if self.over:
            return
        if canary is not None and canary.abandoned and (gone := given_up(self._lately, self._stable)):
            self._happen(seconds, What.ROLLED_BACK, gone, self._judgement())
        elif canary is None and self.weight >= BLIND_FROM:
            self._look_for_blindness(seconds)

    def _decide(self, seconds: float) -> None:
        """Go back when the judge says so."""
        verdict = decide_both(self.evidence, self.synthetic)
        if not self.verdicts or self.verdicts[-1][1] is not verdict:
            self.verdicts.append((seconds, verdict))
        if verdict is Verdict.FAIL:
            judgement = self._judgement()
            why = "; ".join(finding.text for finding in judgement.findings if finding.verdict is Verdict.FAIL)
            self._happen(seconds, What.ROLLED_BACK, why, judgement)

    def _look_for_blindness(self, seconds: float) -> None:
        blind = seconds - self._blind_since
        if blind > self.criteria.blind_at_most.total_seconds():
            self._happen(seconds, What.NO_PROOF, f"blind for {blind:.0f} s with {self.weight} of the traffic")

    def _watch(self, seconds: float, sample: Sample) -> None:
        """Count the time that is observed: no more than a sample covers, and none before the watch began."""
        covers = min(sample.covers.total_seconds(), 2 * self._every)
        self._observed += max(0.0, min(covers, seconds - self._looked))
        self._looked = seconds
        if self._observed >= self.leg.watch.duration.total_seconds() - 1e-5:
            self._conclude(seconds, over=False)

    def _conclude(self, seconds: float, *, over: bool) -> None:
        """End the watch, or hold."""
        watch = self.leg.watch
        short = self._observed < watch.duration.total_seconds() - 1e-5
        blind = self._at > self._blind_since
        if enough(watch, self.evidence, self.synthetic) and not short and not blind:
            self._advance(seconds, What.ADVANCED, self._proven)
            return
        good = not (short or blind or self.evidence.blind)
        follows = without_proof(self.criteria.without_proof, over=over, good=good)
        if follows is Unproven.ADVANCES:
            self._advance(seconds, What.UNPROVEN, self._missing)
        elif follows is Unproven.FAILS:
            self._happen(seconds, What.NO_PROOF, f"no proof in time: {self._missing()}", self._judgement())
        elif not self._held:
            self._held = True
            text = f"holds, at most {spell(watch.patience)}: {self._missing()}" if self._explain else ""
            self._happen(seconds, What.HELD, text)

    def _advance(self, seconds: float, what: What, text: Callable[[], str]) -> None:
        last = self._leg + 1 == len(self.course.legs)
        said = text() if self._explain else ""
        self._happen(seconds, What.THROUGH if last else what, said, self._judgement() if self._explain else None)
        if not last:
            self._go_on(seconds)

    def _missing(self) -> str:
        judgement = self._judgement()
        return lacking(self.leg.watch, self.evidence, judgement) or "not all of its time could be observed"

    def _proven(self) -> str:
        requests, judgement = self.requests - self._before, self._judgement()
        if judgement.synthetic and self.leg.watch.until is Until.PROVEN:
            return f"proven by synthetic load, not by users, who sent {requests:.0f} requests"
        verdict = "proven" if judgement.verdict is Verdict.PASS else "nothing bad found"
        return f"{verdict} on {requests:.0f} requests"

    def _happen(self, seconds: float, what: What, text: str = "", judgement: Judgement | None = None) -> None:
        place = self.leg.index, self.weight
        self.happenings.append(Happening(seconds, what, *place, self.requests, text, judgement))
        self.over = what in _ENDS


_ENDS = frozenset({What.THROUGH, What.ROLLED_BACK, What.NO_PROOF, What.ABORTED, What.UNDECIDED})


def _more(so_far: Side, side: Side) -> Side:
    """Sum what is asked of stable: how many were answered, how many given up."""
    completed, abandoned = so_far.completed + side.completed, so_far.abandoned + side.abandoned
    return Side(completed=completed, abandoned=abandoned)
