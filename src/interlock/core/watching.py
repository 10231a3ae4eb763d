"""Has a watch seen enough, and what follows when it has not?

The engine asks this of the present, a replay of what was recorded, a simulation of what might be: one rule for all.
"""

from __future__ import annotations

from enum import StrEnum

from interlock.core.criteria import WithoutProof
from interlock.core.judge import Evidence, Judgement, Verdict, decide_both, odds_against
from interlock.core.steps import Until, Watch
from interlock.core.weight import Weight

BLIND_FROM = Weight(500)
"""From this weight on blindness is not borne for long."""

LEAST_CONTROL = Weight(100)
"""With less than this of the traffic the old revision is nothing to compare with."""

SUSPICIOUS = 2.0
"""From these odds on there is something against the release, which good requests must first outweigh."""


class Unproven(StrEnum):
    """What becomes of a watch whose time is up and whose evidence does not suffice."""

    HOLDS = "holds"
    ADVANCES = "advances unproven"
    FAILS = "fails"


def compared(weight: Weight) -> bool:
    """Whether the old revision has enough of the traffic to be compared with, when the new one has this weight."""
    return weight.rest >= LEAST_CONTROL


def enough(step: Watch, evidence: Evidence, synthetic: Evidence | None = None) -> bool:
    """Whether what the judge knows suffices to end the watch well: proof, or nothing bad where no proof is asked."""
    if evidence.blind:
        return False
    if step.until is Until.PROVEN and decide_both(evidence, synthetic) is not Verdict.PASS:
        return False
    return odds_against(evidence) < SUSPICIOUS


def lacking(step: Watch, evidence: Evidence, judgement: Judgement) -> str | None:
    """Say what the judge still lacks for the watch to end well; None when it is `enough`, also by synthetic load."""
    if judgement.blind:
        return "no telemetry: neither good nor bad is known"
    if step.until is Until.PROVEN and judgement.verdict is not Verdict.PASS:
        return judgement.missing or "the evidence does not suffice yet"
    if odds_against(evidence) < SUSPICIOUS:
        return None
    return f"odds of {odds_against(evidence):.2g} to 1 against the release, which good requests must first outweigh"


def without_proof(policy: WithoutProof, *, over: bool, good: bool) -> Unproven:
    """Say what follows; `over`: its patience is at an end, `good`: only proof is missing, all is seen and seen well."""
    if policy is WithoutProof.ADVANCE and good:
        return Unproven.ADVANCES
    if policy is WithoutProof.ROLL_BACK or over:
        return Unproven.FAILS
    return Unproven.HOLDS
